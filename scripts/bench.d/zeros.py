"""A registry whose images are zeros: hundreds of GiB that take no disk and little hashing.

Layer number i is `shortest + i` zero bytes, so that all are distinct and the digests of all come
out of one pass over the longest. What is sent are zeros from memory.
"""

import hashlib
import http.server
import json
import sys
import threading

from push import MANIFEST, config_of, digest, manifest_of

ZEROS = memoryview(bytes(1 << 20))
LAYERS_OF_IMAGE = 100


class Handler(http.server.BaseHTTPRequestHandler):
    """What the answers of both registries of the measurement have in common."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nothing is logged."""

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def unknown(self, code):
        self.answer(404, json.dumps({"errors": [{"code": code}]}).encode(),
                    Content_Type="application/json")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Clients are killed here, and then their connections end as they end."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Listener:
    """A server on a free port of loopback, in threads of this process."""

    def __init__(self, handler):
        self.server = Server(("127.0.0.1", 0), handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Images:
    """Images of `total` bytes together, in layers of about `layer` bytes."""

    def __init__(self, total, layer):
        self.sizes, self.documents, self.manifests, self.references = {}, {}, {}, []
        running, rows = hashlib.sha256(), []
        for _ in range(layer >> 20):
            running.update(ZEROS)
        running.update(ZEROS[:layer & ((1 << 20) - 1)])
        for number in range(max(1, total // layer)):
            rows.append(("sha256:" + running.hexdigest(), layer + number))
            running.update(b"\0")
        self.sizes = dict(rows)
        for first in range(0, len(rows), LAYERS_OF_IMAGE):
            self.add(f"zeros/image-{first // LAYERS_OF_IMAGE:05}",
                     rows[first:first + LAYERS_OF_IMAGE])

    def add(self, repository, layers):
        config = config_of([name for name, _ in layers], repository)
        self.documents[digest(config)] = config
        manifest = manifest_of((digest(config), len(config)), layers)
        self.manifests[repository, "v1"] = self.manifests[repository, digest(manifest)] = manifest
        self.references.append(f"{repository}:v1")

    def serve(self):
        """Starts a registry that has these images."""
        images = self

        class Source(Handler):
            def do_GET(self):
                if self.path == "/v2/":
                    return self.answer(200, b"{}", Content_Type="application/json")
                repository, _, rest = self.path.removeprefix("/v2/").partition("/manifests/")
                if rest:
                    return self.manifest(repository, rest)
                name = self.path.rpartition("/")[2]
                if name in images.documents:
                    return self.answer(200, images.documents[name], Docker_Content_Digest=name,
                                       Content_Type="application/octet-stream")
                if name in images.sizes and "/blobs/" in self.path:
                    return self.zeros(images.sizes[name])
                return self.unknown("BLOB_UNKNOWN")

            do_HEAD = do_GET

            def manifest(self, repository, name):
                manifest = images.manifests.get((repository, name))
                if manifest is None:
                    return self.unknown("MANIFEST_UNKNOWN")
                return self.answer(200, manifest, Content_Type=MANIFEST,
                                   Docker_Content_Digest=digest(manifest))

            def zeros(self, size):
                self.send_response(200)
                self.send_header("Content-Length", str(size))
                self.send_header("Content-Type", "application/octet-stream")
                self.end_headers()
                while size and self.command != "HEAD":
                    size -= self.wfile.write(ZEROS[:min(size, len(ZEROS))])

        return Listener(Source)
