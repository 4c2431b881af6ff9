"""The cost of bundles by a stranger: documents as large as the caps of bundle-format.md allow.

Makes unsigned bundles that keep every rule, each large in another way, and runs `verify` and `inspect` on
them without a key. A bundle of half the size takes half as long where the time is linear.
"""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

import measure
import report

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import make_vectors as m  # noqa: E402

CONFIG = "application/vnd.oci.image.config.v1+json"
RAW = {"codec": "raw", "needs": [], "memory": 0, "scratch": 0}
PLAN = m.sha256(b"plan")
LAYERS_OF_ONE = 9000  # what fits into an OCI manifest of 4 MiB


class Bundle:
    """Collects images, manifests and blobs, then writes a bundle."""

    def __init__(self):
        self.images, self.documents, self.blobs = [], {}, {}

    def blob(self, data):
        digest = m.sha256(data)
        self.blobs[digest] = data
        return digest, len(data)

    def image(self, layers, config=b"{}"):
        descriptors = [m.descriptor(m.LAYER, digest, size) for digest, size in layers]
        config = m.descriptor(CONFIG, *self.blob(config))
        text = f'{{"schemaVersion":2,"mediaType":"{m.OCI}","config":{config},"layers":[{",".join(descriptors)}]}}'
        return self.document(text, m.OCI)

    def index(self, children):
        parts = (m.descriptor(kind, digest, size) for digest, size, kind in children)
        return self.document(f'{{"schemaVersion":2,"mediaType":"{m.INDEX}","manifests":[{",".join(parts)}]}}', m.INDEX)

    def document(self, text, kind):
        data = text.encode()
        digest = m.sha256(data)
        self.documents[digest] = (data, kind)
        return digest, len(data), kind

    def name(self, root, repository, tag="1", **more):
        row = {"root": root[0], "tag": tag, "cosign": "absent", "source": repository, "attached": [], "platforms": [],
               "referrers": "absent", "requested": f"{repository}:{tag}", "fetched_from": repository}
        self.images.append(row | more)

    def write(self, path):
        shutil.rmtree(path, ignore_errors=True)
        (path / "chunks").mkdir(parents=True)
        data_chunk, rows = self.data_chunk()
        metadata, extents = self.metadata_chunk()
        compressed = compress(metadata)
        files = {"chunks/000001.tar": data_chunk, "chunks/000002.tar.zst": compressed}
        inventory = m.cbor({
            "type": "airferry-inventory", "bases": [], "blobs": rows, "format": 1,
            "chunks": [{"plan": PLAN, "decoded": len(data_chunk), "number": 1, "generation": 1},
                       {"plan": PLAN, "decoded": len(metadata), "number": 2, "generation": 1}],
            "images": sorted(self.images, key=lambda row: row["requested"]), "request": PLAN,
            "manifests": [self.row(digest, extents[digest]) for digest in sorted(self.documents)],
        })
        complete = not any("problem" in image for image in self.images)
        manifest = {
            "type": "airferry-manifest", "label": {}, "format": 1, "complete": complete, "requires": [],
            "chunks": [m.chunk_row(1, "data", data_chunk), m.chunk_row(2, "metadata", compressed)],
            "inventory": m.entry(inventory), "block_size": m.BLOCK, "generation": 1, "chunk_limit": len(data_chunk),
        }
        root = m.cbor(manifest)
        files |= {"inventory.cbor": inventory, "manifest.cbor": root, "LABEL.txt": m.label(manifest, root)}
        order = ["LABEL.txt", "inventory.cbor", "manifest.cbor", "chunks/000001.tar", "chunks/000002.tar.zst"]
        files["SHA256SUMS"] = "".join(f"{m.sha256(files[name])[7:]}  {name}\n" for name in order).encode()
        for name, content in files.items():
            (path / name).write_bytes(content)
        return len(inventory) >> 20, len(metadata) >> 20

    def row(self, digest, extent):
        data, kind = self.documents[digest]
        document = json.loads(data)
        parts = document.get("manifests") or [document["config"], *document["layers"]]
        named = list(dict.fromkeys(part["digest"] for part in parts))
        lists = {"children": named, "blobs": []} if kind == m.INDEX else {"children": [], "blobs": named}
        return {"digest": digest, "extent": extent, "omitted": [], "media_type": kind, **lists}

    def data_chunk(self):
        tar, rows = [m.marker(PLAN, 1)], []
        at = len(tar[0])
        for digest in sorted(self.blobs):
            data = self.blobs[digest]
            entry = m.file("v2/blobs/sha256-" + digest[7:], data) if data else b""
            extents = [[1, at + 512, len(data), len(data)]] if data else []
            rows.append({"digest": digest, "size": len(data), "place": {"carried": RAW | {"extents": extents}}})
            tar.append(entry)
            at += len(entry)
        return b"".join(tar) + bytes(1024), rows

    def metadata_chunk(self):
        tar, extents = [m.marker(PLAN, 2)], {}
        at = len(tar[0])
        for digest, (data, _) in sorted(self.documents.items()):
            extents[digest] = [2, at + 512, len(data), len(data)]
            tar.append(m.file("v2/blobs/sha256-" + digest[7:], data))
            at += len(tar[-1])
        names = {}
        for image in self.images:
            if "root" not in image:
                continue
            base = "v2/" + image["source"]
            names[f"{base}/manifests/{image['tag']}"] = ("2", image["root"])
            for digest in self.reached(image["root"]):
                kind = "manifests" if digest in self.documents else "blobs"
                names[f"{base}/{kind}/{digest}"] = ("1", "v2/blobs/sha256-" + digest[7:])
        tar += [m.header(name, kind, 0, link) for name, (kind, link) in sorted(names.items())]
        return b"".join(tar) + bytes(1024), extents

    def reached(self, root):
        found, waiting = {root}, [root]
        while waiting:
            row = self.row(waiting.pop(), None)
            new = [digest for digest in row["children"] if digest not in found]
            waiting += new
            found.update(new, (digest for digest in row["blobs"] if self.blobs[digest]))
        return found


def compress(tar):
    command = ["zstd", "-q", "-1", "--no-check", f"--stream-size={len(tar)}", "-c", "-"]
    return subprocess.run(command, input=tar, stdout=subprocess.PIPE, check=True).stdout


def numbered(number):
    return hashlib.sha256(b"%d" % number).digest()


def many_images(scale):
    """Images with long names, all with one root."""
    bundle = Bundle()
    root = bundle.image([bundle.blob(b"layer")])
    for number in range(int(60_000 * scale)):
        bundle.name(root, f"r{number:06}.example.com/" + "/".join(["component"] * 18))
    return bundle


def many_manifests(scale):
    """Indexes full of images that share their blobs."""
    bundle = Bundle()
    layer = bundle.blob(b"layer")
    for index in range(int(12 * scale)):
        children = [bundle.image([layer], b'{"n":%d}' % (index * 10_000 + n)) for n in range(10_000)]
        bundle.name(bundle.index(children), f"r.co/i{index:03}")
    return bundle


def many_edges(scale):
    """Images with thousands of layers, all of them the same few."""
    bundle = Bundle()
    layers = [bundle.blob(numbered(number)) for number in range(LAYERS_OF_ONE)]
    for image in range(int(150 * scale)):
        root = bundle.image(layers, b'{"n":%d}' % image)
        bundle.name(root, f"r.co/i{image:03}")
    return bundle


def many_blobs(scale):
    """Images with layers of 32 bytes."""
    bundle = Bundle()
    for image in range(int(40 * scale)):
        layers = [bundle.blob(numbered(image * LAYERS_OF_ONE + number)) for number in range(LAYERS_OF_ONE)]
        bundle.name(bundle.image(layers), f"r.co/i{image:03}")
    return bundle


def deep_indexes(scale):
    """Seven levels of indexes, each of which names all of the next level, below many images."""
    bundle = Bundle()
    level = [bundle.image([bundle.blob(b"layer")], b'{"n":%d}' % n) for n in range(100)]
    for _ in range(7):
        level = [bundle.index(level[n:] + level[:n]) for n in range(100)]
    for image in range(int(2000 * scale)):
        bundle.name(level[image % 100], f"r.example.com/image{image % 20:05}", tag=f"t{image}")
    return bundle


def long_problems(scale):
    """Images that are missing, each with a reason as long as allowed."""
    bundle = many_edges(0.01)
    for number in range(int(30_000 * scale)):
        repository = f"r{number:06}.example.com/x"
        bundle.images.append({
            "tag": "1", "cosign": "not-asked", "source": repository, "attached": [], "platforms": [],
            "referrers": "not-asked", "requested": f"{repository}:1", "fetched_from": repository, "problem": "x" * 4096})
    return bundle


FAMILIES = [many_images, many_manifests, many_edges, many_blobs, deep_indexes, long_problems]


def measured(binary, path, sizes, family, scale):
    """A row for each verb. Exit codes other than 0, 3 and 5 mean that a cap or a rule cut the work short."""
    for verb in ("verify", "inspect"):
        spent = measure.run([binary, verb, path], codes=(0, 3, 5))
        yield [family.__name__, scale, *sizes, verb, f"{spent['wall']:.2f}", f"{spent['cpu']:.2f}",
               f"{spent['memory'] / 2**20:.0f}"]


def main(args):
    rows = []
    for family in FAMILIES:
        if args.only and family.__name__ not in args.only.split(","):
            continue
        for scale in (0.5, 1):
            path = pathlib.Path(args.work) / family.__name__
            sizes = family(scale).write(path)
            rows += measured(args.binary, path, sizes, family, scale)
            print(rows[-1], file=sys.stderr, flush=True)
            shutil.rmtree(path)
    about = report.machine([["airferry", args.binary, "--version"]])
    print(report.machine_line(about), end="\n\n")
    print("Unsigned bundles near the caps, and half as large; no key is given\n")
    print(report.table(
        ["bundle", "size", "inventory MiB", "metadata MiB", "verb", "wall s", "CPU s", "peak MiB"], rows))
    report.write(args.out, "hostile.json", {"machine": about, "rows": rows})
