"""The pushing half of the distribution specification, over plain HTTP and one kept connection."""

import hashlib
import http.client
import json
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def config_of(diff_ids, title):
    """An image's config; the title makes configs of equal layers differ."""
    return canonical({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {"title": title}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })


def manifest_of(config, layers):
    """A manifest's bytes, from the (digest, size) of its config and layers."""
    def descriptor(kind, row):
        return {"mediaType": kind, "digest": row[0], "size": row[1]}

    return canonical({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [descriptor(LAYER, row) for row in layers],
    })


class Push:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=120)

    def call(self, method, path, body=b"", kind=None):
        headers = {"Content-Type": kind} if kind else {}
        self.connection.request(method, path, body=body, headers=headers)
        answer = self.connection.getresponse()
        said = answer.read().decode(errors="replace")
        if answer.status >= 300:
            raise SystemExit(f"bench: {method} {path}: {answer.status} {said[:400]}")
        return answer

    def blob(self, repository, data):
        """Uploads a blob; its (digest, size)."""
        name = digest(data)
        place = self.call("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
        parts = urllib.parse.urlsplit(place)
        query = parts.query + ("&" if parts.query else "") + "digest=" + name
        self.call("PUT", f"{parts.path}?{query}", data, "application/octet-stream")
        return name, len(data)

    def image(self, repository, tag, layers):
        """Uploads an image of (bytes, diff id) layers; the (digest, size) of its blobs."""
        rows = [self.blob(repository, data) for data, _ in layers]
        config = config_of([diff_id for _, diff_id in layers], f"{repository}:{tag}")
        rows.append(self.blob(repository, config))
        manifest = manifest_of(rows[-1], rows[:-1])
        self.call("PUT", f"/v2/{repository}/manifests/{tag}", manifest, MANIFEST)
        return rows
