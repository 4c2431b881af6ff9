"""Registries on loopback: Debian's docker-registry and `airferry serve`. They end with the script.

docker-registry can keep a log of its requests, in JSON, from which requests are counted. It costs
it some time, so only the counting of requests asks for it.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time

from measure import TIED


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process that listens on `address` and answers GET /v2/."""

    def __init__(self, command, address, log=subprocess.DEVNULL):
        self.address = address
        self.process = subprocess.Popen([*TIED, *map(str, command)],
                                        stdout=subprocess.DEVNULL, stderr=log)
        for _ in range(400):
            try:
                connection = http.client.HTTPConnection(address, timeout=5)
                connection.request("GET", "/v2/")
                connection.getresponse().read()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.025)
        self.stop()
        raise SystemExit(f"bench: {command[0]} does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def cpu(self):
        """Seconds of CPU that the process has spent."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait()


class DockerRegistry(Server):
    """Debian's docker-registry over an empty folder."""

    def __init__(self, folder, log=False):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        address, config = f"127.0.0.1:{free_port()}", folder / "config.yml"
        level = "info" if log else "error"
        config.write_text(
            "version: 0.1\n"
            f"log: {{level: {level}, formatter: json, accesslog: {{disabled: true}}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '{address}'}}\n"
        )
        self.log, self.read_to = folder / "log", 0
        with open(self.log, "wb") as file:
            super().__init__(["docker-registry", "serve", config], address, file)

    def requests(self):
        """The requests since this was asked last: method, URI, the client's address and port."""
        with open(self.log) as file:
            file.seek(self.read_to)
            text = file.read()
            self.read_to = file.tell()
        rows = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
        return [(row["http.request.method"], row["http.request.uri"],
                 row["http.request.remoteaddr"])
                for row in rows if row.get("msg", "").startswith("response completed")]


class AirferryServe(Server):
    """`airferry serve` over a store, which is made when it is not there."""

    def __init__(self, binary, store):
        address = f"127.0.0.1:{free_port()}"
        super().__init__([binary, "serve", "--store", store, "--listen", address], address)
