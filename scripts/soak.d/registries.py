"""Debian's docker-registry over a folder, and what stands in that folder.

`Registry` is the process; it ends with the one that started it. `DiskStore` reads the folder as the registry
does (distribution 2.8): which tags there are, and whether what they name is whole. It is read while nothing
writes to it.
"""

import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import subprocess
import time

TIED = ["setpriv", "--pdeathsig", "KILL"]
ACCEPT = ", ".join(["application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
                    "application/vnd.docker.distribution.manifest.v2+json",
                    "application/vnd.docker.distribution.manifest.list.v2+json"])


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def own_address():
    """An address of this machine that nobody else uses: one of 16 million, which need no setting up."""
    return "127.%d.%d.%d:5000" % tuple(random.SystemRandom().randrange(1, 255) for _ in range(3))


class Registry:
    """A docker-registry that listens on `address`: the one that is given, or one of its own."""

    def __init__(self, folder, address=None):
        self.folder = pathlib.Path(folder)
        self.store = self.folder / "data"
        self.store.mkdir(parents=True, exist_ok=True)
        if not self.start(address or own_address()):
            raise SystemExit("soak: docker-registry does not start (scripts/setup soak)")

    def start(self, address):
        self.address = address
        config = self.folder / "config.yml"
        config.write_text(
            "version: 0.1\n"
            "log: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.store}}}, "
            "maintenance: {uploadpurging: {enabled: false}}}\n"
            "validation: {manifests: {urls: {allow: ['^https://']}}}\n"
            f"http: {{addr: '{self.address}', secret: a secret for the soak}}\n")
        self.process = subprocess.Popen([*TIED, "docker-registry", "serve", str(config)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(800):
            try:
                if self.get("/v2/")[0] == 200:
                    return True
            except OSError:
                pass
            if self.process.poll() is not None:
                return False
            time.sleep(0.01)
        self.stop()
        return False

    def get(self, path):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request("GET", path, headers={"Accept": ACCEPT})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def fill(self, other):
        """Puts the content of another store's folder, or none, in place of what is there."""
        shutil.rmtree(self.store / "docker", ignore_errors=True)
        if other:
            shutil.copytree(pathlib.Path(other) / "docker", self.store / "docker")

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class DiskStore:
    """What a registry's folder holds. No hash is believed: every content is hashed when it is asked for."""

    def __init__(self, store):
        self.root = pathlib.Path(store) / "docker/registry/v2"
        self.right = {}

    def repositories(self):
        """The names of repositories."""
        top, found = str(self.root / "repositories"), []
        for folder, below, _ in os.walk(top):
            if "_manifests" in below or "_layers" in below:
                found.append(os.path.relpath(folder, top))
            # Sessions come and go while the registry still hears what a killed client sent.
            below[:] = [name for name in below if not name.startswith("_")]
        return sorted(found)

    def tags(self, repository):
        """Tag to digest."""
        folder = self.root / "repositories" / repository / "_manifests/tags"
        links = sorted(folder.glob("*/current/link"))
        return {link.parent.parent.name: link.read_text() for link in links}

    def linked(self, repository, name, kind):
        algorithm, value = name.split(":")
        return (self.root / "repositories" / repository / kind / algorithm / value / "link").is_file()

    def content(self, name):
        """The bytes with this digest; None when they are missing or others."""
        value = name.split(":")[1]
        try:
            data = (self.root / "blobs/sha256" / value[:2] / value / "data").read_bytes()
        except OSError:
            return None
        return data if digest(data) == name else None

    def manifest(self, repository, name):
        return self.content(name) if self.linked(repository, name, "_manifests/revisions") else None

    def has_blob(self, repository, name):
        if not self.linked(repository, name, "_layers"):
            return False
        if name not in self.right:
            self.right[name] = self.content(name) is not None
        return self.right[name]

    def listing(self):
        """All that can be seen: (repository, kind, name, what it names)."""
        rows = set()
        for repository in self.repositories():
            rows |= {(repository, "tag", tag, name) for tag, name in self.tags(repository).items()}
            for kind, folder in (("manifest", "_manifests/revisions"), ("blob", "_layers")):
                links = (self.root / "repositories" / repository / folder).glob("sha256/*/link")
                rows |= {(repository, kind, "sha256:" + link.parent.name, "") for link in links}
        return rows


def lacking(store, repository, name, seen=None):
    """What a manifest names and the repository does not have whole, as lines; none when all is there."""
    seen = set() if seen is None else seen
    if name in seen:
        return []
    seen.add(name)
    raw = store.manifest(repository, name)
    if raw is None:
        return [f"{repository}: manifest {name} is missing or has other bytes"]
    document, lines = json.loads(raw), []
    for child in document.get("manifests") or []:
        lines += lacking(store, repository, child["digest"], seen)
    blobs = [document["config"]] if document.get("config") else []
    for blob in blobs + (document.get("layers") or []):
        # What may not be distributed is fetched from elsewhere.
        if not blob.get("urls") and not store.has_blob(repository, blob["digest"]):
            lines.append(f"{repository}: blob {blob['digest']} of {name} is missing or has other bytes")
    return lines


def half_visible(store):
    """Every tag of which the content is not whole, as lines."""
    return [f"{repository}:{tag} is visible: {line}" for repository in store.repositories()
            for tag, name in store.tags(repository).items() for line in lacking(store, repository, name)]


def differences(store, wanted):
    """What a store has more or less than `wanted`, a listing; and content that is not its digest's."""
    found = store.listing()
    lines = [f"missing: {' '.join(row)}" for row in sorted(wanted - found)]
    lines += [f"not in an undisturbed import: {' '.join(row)}" for row in sorted(found - wanted)]
    for repository, kind, name, _ in sorted(found):
        if kind == "blob" and not store.has_blob(repository, name):
            lines.append(f"{repository}: {name} has other bytes")
        if kind == "manifest" and store.manifest(repository, name) is None:
            lines.append(f"{repository}: {name} has other bytes")
    return lines
