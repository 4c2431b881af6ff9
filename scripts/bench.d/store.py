"""Writes the store of `airferry serve` directly: 100 000 blobs in seconds, not in requests.

The layout is airferry's own and may change; its documentation is the head of
src/sys/registry_store/layout.rs. `airferry serve` is started once on the empty folder, so that the
folder is a store in its own words.
"""

import pathlib

from corpus import tiny_layer
from push import MANIFEST, config_of, digest, manifest_of
from registry import AirferryServe


class Store:
    def __init__(self, binary, folder):
        AirferryServe(binary, folder).stop()
        self.folder, self.made = pathlib.Path(folder), set()

    def write(self, path, data):
        parent = path.parent
        if parent not in self.made:
            parent.mkdir(parents=True, exist_ok=True)
            self.made.add(parent)
        path.write_bytes(data)

    def data(self, content):
        name = digest(content).removeprefix("sha256:")
        self.write(self.folder / "blobs" / "sha256" / name[:2] / name, content)
        return name

    def image(self, number, count):
        """A tiny image of `count` layers in a repository of its own; its reference without the
        registry."""
        repository = f"scale/image-{number:06}"
        place = self.folder / "repositories" / repository
        layers = [tiny_layer(f"{number}-{layer}", 512) for layer in range(count)]
        config = config_of([diff_id for _, diff_id in layers], repository)
        rows = []
        for content in [config, *(data for data, _ in layers)]:
            name = self.data(content)
            self.write(place / "_blobs" / name, b"")
            rows.append(("sha256:" + name, len(content)))
        manifest = self.data(manifest_of(rows[0], rows[1:]))
        self.write(place / "_manifests" / manifest, f"{MANIFEST}\n".encode())
        self.write(place / "_tags" / "v1", f"sha256:{manifest}\n".encode())
        return f"{repository}:v1"
