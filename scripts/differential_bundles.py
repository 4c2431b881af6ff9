#!/usr/bin/env python3
"""Makes bundles for scripts/differential.py, with a binary of airferry and nothing else.

    differential_bundles.py --airferry PATH OUT

Fills a registry that it starts on a free port of 127.0.0.1, exports from it into OUT/<name>, signed with
OUT/key.pem, and ends the registry. The bundles are small; together they have cut blobs, sparse indexes of all kinds,
attachments, foreign layers, long names, a base, two generations, missing images, a catalog and a release.
"""

import argparse
import gzip
import hashlib
import http.client
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time

OCI = "application/vnd.oci.image."
IMAGE, INDEX, CONFIG = OCI + "manifest.v1+json", OCI + "index.v1+json", OCI + "config.v1+json"
LAYER, FOREIGN = OCI + "layer.v1.tar+gzip", OCI + "layer.nondistributable.v1.tar+gzip"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
LONG = "team/" + "/".join("component-%02d" % i for i in range(9))


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def noise(seed, length):
    return random.Random(seed).randbytes(length)


def tar_gz(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


class Registry:
    def __init__(self, airferry, store):
        self.log = store + ".log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([airferry, "serve", "--store", store, "--listen", "127.0.0.1:0"],
                                            stdout=log, stderr=log)
        for _ in range(200):
            with open(self.log, encoding="utf-8") as log:
                text = log.read()
            if "http://" in text:
                self.address = text.split("http://")[1].split()[0].rstrip("/")
                return
            time.sleep(0.05)
        raise SystemExit("the registry does not start: " + text)

    def request(self, method, path, body=b"", kind=None):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise SystemExit("%s %s: %d %r" % (method, path, response.status, answer[:300]))
        return response.getheader("Location")

    def blob(self, repository, data, kind, **more):
        place = self.request("POST", "/v2/%s/blobs/uploads/" % repository).replace("http://" + self.address, "")
        self.request("PUT", place + ("&" if "?" in place else "?") + "digest=" + digest(data), data,
                     "application/octet-stream")
        return {"mediaType": kind, "digest": digest(data), "size": len(data), **more}

    def manifest(self, repository, document, tag=None):
        data = json.dumps(document, separators=(",", ":")).encode()
        self.request("PUT", "/v2/%s/manifests/%s" % (repository, tag or digest(data)), data, document["mediaType"])
        return {"mediaType": document["mediaType"], "digest": digest(data), "size": len(data)}

    def image(self, repository, layers, tag=None, kind=IMAGE, labels=None, architecture="amd64", **more):
        """Pushes an image of these layers (bytes, or descriptors of layers that stay where they are)."""
        config = {"architecture": architecture, "os": "linux", "config": {"Labels": labels or {}},
                  "rootfs": {"type": "layers", "diff_ids": [digest(repr(x).encode()) for x in layers]}}
        described = [x if isinstance(x, dict) else self.blob(repository, x, LAYER) for x in layers]
        document = {"schemaVersion": 2, "mediaType": kind, "layers": described,
                    "config": self.blob(repository, json.dumps(config).encode(), CONFIG), **more}
        return self.manifest(repository, document, tag)

    def index(self, repository, children, tag=None, kind=INDEX, **more):
        return self.manifest(repository, {"schemaVersion": 2, "mediaType": kind, "manifests": children, **more}, tag)


def platform(child, architecture, **more):
    return {**child, "platform": {"os": "linux", "architecture": architecture, **more}}


def push_team(registry):
    """Images of all shapes; returns their references."""
    shared, cut = noise(1, 3000), noise(2, 9_000_000)
    registry.image("team/one", [shared, b"", cut], "1")
    registry.image("team/one", [shared, noise(3, 511)], "2", kind=DOCKER)
    children = [platform(registry.image("team/app", [shared, noise(i, 100 + i)], architecture=a), a)
                for i, a in enumerate(("amd64", "arm64", "s390x"))]
    app = registry.index("team/app", children, "1.4")
    signature = registry.image("team/app", [noise(9, 200)], app["digest"].replace(":", "-") + ".sig")
    registry.image("team/app", [noise(10, 50)], signature["digest"].replace(":", "-") + ".sig")
    registry.image("team/app", [noise(11, 70)], children[0]["digest"].replace(":", "-") + ".att")
    sbom = registry.image("team/app", [noise(12, 700)], subject=app, artifactType="application/spdx+json")
    registry.image("team/app", [noise(13, 60)], subject=sbom, artifactType="application/x")
    left = [{"mediaType": FOREIGN, "digest": digest(b"far"), "size": 3, "urls": ["https://b.example/x", "https://a.example/x"]}]
    registry.image("team/windows", left + [noise(14, 90)], "1")
    registry.image(LONG, [noise(15, 64)], "latest")
    inner = registry.index("team/nested", [registry.image("team/nested", [noise(16, 30)])])
    registry.index("team/nested", [inner], "1", kind=DOCKER_LIST)
    names = ["team/one:1", "team/one:2", "team/app:1.4", "team/windows:1", LONG, "team/nested:1",
             "team/app@" + children[0]["digest"], "team/app:1.4@" + app["digest"]]
    return ["%s/%s" % (registry.address, name) for name in names]


def push_platforms(registry):
    """Indexes from which filters leave children out in all ways that R-26 knows."""
    def child(i, **more):
        return registry.image("team/many", [noise(40 + i, 60 + i)], **more)

    arm = [platform(child(i), "arm", variant="v%d" % (6 + i)) for i in range(2)]
    arm64 = [platform(child(2), "arm64"), platform(child(3), "arm64", variant="v8")]
    amd64, plain = platform(child(4), "amd64"), child(5)
    # What BuildKit adds about a child: it goes where the child goes.
    about = [{**platform(child(6 + i), "unknown", os="unknown"), "annotations": {
        "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": c["digest"]}}
             for i, c in enumerate((amd64, arm64[1]))]
    # One child twice, for two platforms.
    twice = platform({k: x for k, x in amd64.items() if k != "platform"}, "s390x")
    many = registry.index("team/many", arm + arm64 + [amd64, plain] + about + [twice], "1")
    # An attachment and a child that are indexes themselves.
    registry.index("team/many", arm64 + [amd64], many["digest"].replace(":", "-") + ".att")
    registry.index("team/many", [registry.index("team/many", arm + [amd64]), arm64[0]], "2")
    return ["%s/team/many:%d" % (registry.address, i) for i in (1, 2)]


def push_catalog(registry):
    images = [registry.image("ops/bundle-%d" % i, [noise(100 + i, 40)], "v1") for i in range(2)]
    named = ["%s/ops/bundle-%d@%s" % (registry.address, i, image["digest"]) for i, image in enumerate(images)]
    blobs = [{"schema": "olm.package", "name": "etcd", "defaultChannel": "stable"},
             {"schema": "olm.channel", "package": "etcd", "name": "stable",
              "entries": [{"name": "etcd.v1"}, {"name": "etcd.v2", "replaces": "etcd.v1"}]}]
    for i, image in enumerate(named):
        blobs.append({"schema": "olm.bundle", "name": "etcd.v%d" % (i + 1), "package": "etcd", "image": image,
                      "properties": [{"type": "olm.package", "value": {"packageName": "etcd", "version": "%d.0.0" % (i + 1)}}],
                      "relatedImages": [{"name": "self", "image": image}] + (
                          [{"name": "bad", "image": "Not A Reference"}] if i == 0 else [])})
    layer = tar_gz({"configs/etcd/catalog.json": b"".join(json.dumps(b).encode() + b"\n" for b in blobs)})
    registry.image("ops/catalog", [layer], "latest", labels={
        "operators.operatorframework.io.index.configs.v1": "/configs"})
    return registry.address + "/ops/catalog:latest"


def push_release(registry):
    names = ("cli", "machine-os")
    components = [registry.image("okd/content", [noise(200 + i, 80)], "c%d" % i) for i in range(len(names))]
    tags = [{"name": name, "from": {"kind": "DockerImage", "name": "%s/okd/content@%s" % (registry.address, c["digest"])}}
            for name, c in zip(names, components)]
    references = {"kind": "ImageStream", "apiVersion": "image.openshift.io/v1", "metadata": {"name": "4.18.0"},
                  "spec": {"tags": tags}}
    layer = tar_gz({"release-manifests/image-references": json.dumps(references).encode(),
                    "release-manifests/release-metadata": json.dumps(
                        {"kind": "cincinnati-metadata-v0", "version": "4.18.0"}).encode()})
    registry.image("okd/release", [layer], "4.18.0", labels={"io.openshift.release": "4.18.0"})
    return registry.address + "/okd/release:4.18.0"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--airferry", default="airferry")
    parser.add_argument("out")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    os.makedirs(options.out)
    key = os.path.join(options.out, "key.pem")
    subprocess.run([options.airferry, "keygen", "--out", key[:-4]], check=True, stdout=subprocess.DEVNULL)
    registry = Registry(options.airferry, os.path.join(options.out, "registry"))
    try:
        def export(name, *arguments, wanted=(0,)):
            command = [options.airferry, "export", "-q", "--tls-verify=false", "--key", key, "--to",
                       os.path.join(options.out, name), *arguments]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode not in wanted:
                raise SystemExit("%s: %d\n%s" % (" ".join(command), done.returncode, done.stdout.decode()))

        team = push_team(registry)
        label = ["--title", "Bundles for a comparison", "--owner", "Nobody", "--marking", "None"]
        export("team", *team, *label, "--chunk-size", "5MB")
        export("sparse", *team[:3], "--platform", "linux/amd64", "--no-attachments", "--chunk-size", "5MB")
        many = push_platforms(registry)
        export("variants", *many, "--platform", "linux/amd64", "--platform", "linux/arm/v7")
        export("variant", many[0], "--platform", "linux/arm64")
        export("exact", many[0], "--platform", "linux/arm64/v8", "--platform", "linux/s390x")
        registry.image("team/one", [noise(1, 3000), noise(20, 40)], "3")
        export("increment", team[1], team[0].rsplit(":", 1)[0] + ":3", "--base", os.path.join(options.out, "team"))
        later = registry.address + "/team/later:1"
        for name in ("incomplete", "completed"):
            export(name, team[1], later, "--keep-going", "--chunk-size", "5MB", wanted=(5,))
        registry.image("team/later", [noise(30, 6_000_000)], "1")
        export("completed", team[1], later, "--keep-going", "--chunk-size", "5MB")
        export("catalog", "--catalog", push_catalog(registry), "--keep-going", wanted=(0, 5))
        export("filtered", "--catalog", push_catalog(registry), "--operator", "etcd:stable=2.0.0", wanted=(0, 5))
        export("release", "--release", push_release(registry), "--allow-unsigned-release")
    finally:
        registry.process.terminate()
        registry.process.wait()


if __name__ == "__main__":
    sys.exit(main())
