"""A registry in memory that believes everything and remembers what it saw.

Other registries refuse a manifest whose blobs they lack, so a client that sets tags too early is never seen
there. This one takes what comes, and looks at the moment at which a tag is set whether its content is
whole (`Content.early`). A blob whose bytes are not its digest's is taken as well, and counts as missing.
"""

import http.server
import json
import re
import threading
import urllib.parse
import uuid

from registries import digest, lacking

ROUTE = re.compile(r"/v2/(.+)/(blobs/uploads|blobs|manifests|tags|referrers)/([^/]*)$")


class Content:
    """What the registry holds. A new one is an empty registry."""

    def __init__(self, other=None):
        self.lock = threading.RLock()
        self.blobs, self.manifests, self.tagged, self.uploads, self.early, self.right = {}, {}, {}, {}, [], {}
        if other:
            self.blobs, self.manifests = dict(other.blobs), dict(other.manifests)
            self.tagged = {repository: dict(tags) for repository, tags in other.tagged.items()}

    def repositories(self):
        # Lists are made at once, dictionaries may grow while they are walked.
        return sorted({repository for repository, _ in [*list(self.blobs), *list(self.manifests)]} | set(self.tagged))

    def tags(self, repository):
        return dict(self.tagged.get(repository, {}))

    def manifest(self, repository, name):
        data = self.manifests.get((repository, name), (None, None))[0]
        return data if data is not None and digest(data) == name else None

    def has_blob(self, repository, name):
        data = self.blobs.get((repository, name))
        if data is None:
            return False
        # The same object has the same bytes.
        if self.right.get(name) is not data:
            if digest(data) != name:
                return False
            self.right[name] = data
        return True

    def listing(self):
        return ({(repository, "tag", tag, name) for repository in list(self.tagged)
                 for tag, name in self.tags(repository).items()}
                | {(repository, "manifest", name, "") for repository, name in list(self.manifests)}
                | {(repository, "blob", name, "") for repository, name in list(self.blobs)})

    def put_manifest(self, repository, reference, data, kind):
        with self.lock:
            name = digest(data)
            self.manifests[repository, name] = (data, kind)
            if not reference.startswith("sha256:"):
                self.tagged.setdefault(repository, {})[reference] = name
                self.early += [f"{repository}:{reference} was set: {line}" for line in lacking(self, repository, name)]
            return name


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response_only(status)
        headers.setdefault("Content_Length", len(body))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def refuse(self, status, code):
        self.answer(status, json.dumps({"errors": [{"code": code}]}).encode(), Content_Type="application/json")

    def body(self):
        """The request's body, and whether all of it came."""
        length = int(self.headers.get("Content-Length") or 0)
        pieces, left = [], length
        while left:
            try:
                piece = self.rfile.read1(min(left, 1 << 20))
            except OSError:
                piece = b""
            if not piece:
                self.close_connection = True
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces), left == 0

    def route(self):
        content = self.server.content
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body, whole = self.body()
        if url.path == "/v2/":
            return self.answer(200, b"{}")
        match = ROUTE.match(url.path)
        if not match:
            return self.refuse(404, "NOT_FOUND")
        repository, kind, name = match.groups()
        if kind == "blobs/uploads":
            return self.upload(content, repository, name, query, body, whole)
        if not whole:
            return None
        if kind == "blobs":
            return self.blob(content, repository, name)
        if kind == "manifests":
            return self.manifest(content, repository, name, body)
        if kind == "tags" and repository in content.repositories():
            tags = sorted(content.tags(repository))
            return self.answer(200, json.dumps({"name": repository, "tags": tags}).encode(),
                               Content_Type="application/json")
        return self.refuse(404, "NAME_UNKNOWN")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = route

    def blob(self, content, repository, name):
        data = content.blobs.get((repository, name))
        if data is None:
            return self.refuse(404, "BLOB_UNKNOWN")
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        headers = {"Docker_Content_Digest": name, "Accept_Ranges": "bytes", "Content_Type": "application/octet-stream"}
        if self.command == "HEAD":
            return self.answer(200, Content_Length=len(data), **headers)
        if not asked:
            return self.answer(200, data, **headers)
        first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
        if first > last:
            return self.answer(416, Content_Range=f"bytes */{len(data)}")
        return self.answer(206, data[first:last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)

    def manifest(self, content, repository, reference, body):
        if self.command == "PUT":
            name = content.put_manifest(repository, reference, body, self.headers.get("Content-Type"))
            return self.answer(201, Location=f"/v2/{repository}/manifests/{name}", Docker_Content_Digest=name)
        name = content.tags(repository).get(reference, reference)
        data, kind = content.manifests.get((repository, name), (None, None))
        if data is None:
            return self.refuse(404, "MANIFEST_UNKNOWN")
        headers = {"Content_Type": kind, "Docker_Content_Digest": name}
        if self.command == "HEAD":
            return self.answer(200, Content_Length=len(data), **headers)
        return self.answer(200, data, **headers)

    def upload(self, content, repository, name, query, body, whole):
        place = f"/v2/{repository}/blobs/uploads/"
        if self.command == "POST" and "mount" in query:
            data = content.blobs.get((query.get("from"), query["mount"]))
            if data is not None:
                content.blobs[repository, query["mount"]] = data
                return self.answer(201, Location=f"/v2/{repository}/blobs/{query['mount']}",
                                   Docker_Content_Digest=query["mount"])
        if self.command == "POST" and not name:
            name = str(uuid.uuid4())
            content.uploads[name] = b""
            return self.answer(202, Location=place + name, Range="0-0", Docker_Upload_UUID=name)
        if name not in content.uploads:
            return self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        held = content.uploads[name]
        if self.command == "PATCH":
            start = re.match(r"(?:bytes )?(\d+)-", self.headers.get("Content-Range") or f"{len(held)}-")
            if not start or int(start[1]) != len(held):
                return self.answer(416, Location=place + name, Range=f"0-{max(0, len(held) - 1)}")
            # What came before the client was killed stays, as with other registries.
            held = content.uploads[name] = held + body
        elif self.command == "PUT":
            if not whole:
                return None
            content.blobs[repository, query["digest"]] = held + body
            del content.uploads[name]
            return self.answer(201, Location=f"/v2/{repository}/blobs/{query['digest']}",
                               Docker_Content_Digest=query["digest"])
        elif self.command == "DELETE":
            del content.uploads[name]
            return self.answer(204)
        status = 202 if self.command == "PATCH" else 204
        return self.answer(status, Location=place + name, Range=f"0-{max(0, len(held) - 1)}", Docker_Upload_UUID=name)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

    def handle_error(self, request, client_address):
        """A client that was killed is what this is for."""


class Witness:
    """The registry: `address`, and `content`, which may be replaced between two imports."""

    def __init__(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.content = Content()
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def content(self):
        return self.server.content

    def fill(self, other):
        """An empty registry, or a copy of another content."""
        self.server.content = Content(other)
