"""A registry in this process that has what Debian's has not: the referrers API of distribution-spec 1.1.

It keeps blobs and manifests per repository and does what the specification says; ``odd`` may take
a request away from it, and counts and limits are for tests to set.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from linuxkit.base import digest as digests
from linuxkit.oci import model

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST_TYPES = model.MANIFESTS | model.INDEXES


class Listener(ThreadingHTTPServer):
    """A server whose clients may hang up; telling of that while a test reads sources upsets CPython."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Modern:
    """The registry; ``seen`` has method, path and headers of every request."""

    def __init__(self, address: str = "127.0.0.1", *, referrers: bool = True) -> None:
        self.referrers = referrers
        self.page = 100  # entries of a page of referrers
        self.filters = True  # whether it filters by artifactType
        self.etags = True
        self.least_chunk = 0  # bytes, for OCI-Chunk-Min-Length
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.odd: Callable[[Answer], bool] = lambda _request: False
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.lock = threading.RLock()
        registry = self

        class Bound(Answer):
            site = registry

        self.http = Listener((address, 0), Bound)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()
        self.host = f"{address}:{self.http.server_port}"

    def requests(self, method: str, part: str = "") -> list[str]:
        """The paths of the requests of a method."""
        return [path for m, path, _ in self.seen if m == method and part in path]

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    def about(self, repository: str, digest: str) -> list[dict[str, object]]:
        """The entries of the list of referrers."""
        found = []
        for reference, (kind, data) in self.manifests.get(repository, {}).items():
            value = json.loads(data)
            if ":" in reference and value.get("subject", {}).get("digest") == digest:
                artifact = value.get("artifactType") or value["config"]["mediaType"]
                found.append(
                    {"mediaType": kind, "digest": reference, "size": len(data), "artifactType": artifact,
                     "annotations": value.get("annotations", {})}
                )  # fmt: skip
        return sorted(found, key=lambda entry: str(entry["digest"]))


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    site: Modern
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        with self.site.lock:
            headers = {k.lower(): v for k, v in self.headers.items()}
            self.site.seen.append((self.command, self.path, headers))
        with contextlib.suppress(OSError):
            if not self.site.odd(self):
                self.route()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass

    def body(self) -> bytes:
        length = int(self.headers.get("Content-Length", "0"))
        data = self.rfile.read(length)
        if len(data) < length:
            self.close_connection = True
        return data

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def route(self) -> None:
        split = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(split.query).items()}
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|referrers)/(.+|uploads/)", split.path)
        if split.path == "/v2/":
            self.send(200)
        elif not match:
            self.send(404)
        elif match[2] == "manifests":
            self.manifest(match[1], match[3])
        elif match[2] == "referrers":
            self.list(match[1], match[3], query)
        elif match[3].startswith("uploads/"):
            self.upload(match[1], match[3].partition("/")[2], query)
        else:
            data = self.site.blobs.get(match[1], {}).get(match[3])
            self.send(404) if data is None else self.send(200, data)

    def manifest(self, repository: str, reference: str) -> None:
        mine = self.site.manifests.setdefault(repository, {})
        if self.command != "PUT":
            kind, data = mine.get(reference, ("", b""))
            tag = {"ETag": f'"{digests.of_bytes(data)}"'} if self.site.etags else {}
            self.send(200, data, Content_Type=kind, **tag) if kind else self.send(404)
            return
        data = self.body()
        with self.site.lock:
            wanted = self.headers.get("If-Match")
            if wanted and wanted != f'"{digests.of_bytes(mine.get(reference, ("", b""))[1])}"':
                self.send(412)
                return
            mine[reference] = mine[digests.of_bytes(data)] = (self.headers["Content-Type"], data)
        subject = json.loads(data).get("subject")
        extra = {"OCI_Subject": subject["digest"]} if subject and self.site.referrers else {}
        self.send(201, **extra)

    def list(self, repository: str, digest: str, query: dict[str, str]) -> None:
        if not self.site.referrers:
            self.send(404, b"404 page not found")
            return
        found = self.site.about(repository, digest)
        wanted = query.get("artifactType")
        extra = {}
        if wanted and self.site.filters:
            found = [entry for entry in found if entry["artifactType"] == wanted]
            extra["OCI_Filters_Applied"] = "artifactType"
        at = int(query.get("at", "0"))
        rest = found[at + self.site.page :]
        if rest:
            more = urlencode({**query, "at": str(at + self.site.page)})
            extra["Link"] = f'<{urlsplit(self.path).path}?{more}>; rel="next"'
        index = {"schemaVersion": 2, "mediaType": model.OCI_INDEX, "manifests": found[at:][: self.site.page]}
        self.send(200, json.dumps(index).encode(), Content_Type=model.OCI_INDEX, **extra)

    def upload(self, repository: str, session: str, query: dict[str, str]) -> None:
        """Monolithic, in chunks, or a mount from another repository."""
        mine = self.site.blobs.setdefault(repository, {})
        where = f"/v2/{repository}/blobs/uploads/"
        if self.command == "POST":
            self.body()
            other = self.site.blobs.get(query.get("from", ""), {})
            if query.get("mount", "") in other:
                mine[query["mount"]] = other[query["mount"]]
                self.send(201, Location=f"/v2/{repository}/blobs/{query['mount']}")
                return
            with self.site.lock:
                session = str(len(self.site.uploads))
                self.site.uploads[session] = bytearray()
            extra = {"OCI_Chunk_Min_Length": str(self.site.least_chunk)} if self.site.least_chunk else {}
            self.send(202, Location=where + session, **extra)
            return
        had = self.site.uploads.get(session)
        if had is None:
            self.send(404)
        elif self.command == "GET":
            self.send(204, Location=where + session, Range=f"0-{max(0, len(had) - 1)}")
        elif self.command == "PATCH":
            begin = self.headers.get("Content-Range", f"{len(had)}-").partition("-")[0]
            length = int(self.headers["Content-Length"])
            data = self.rfile.read(length)
            if int(begin) != len(had):
                self.send(416, Location=where + session, Range=f"0-{max(0, len(had) - 1)}")
                return
            had += data
            if len(data) == length:
                self.send(202, Location=where + session, Range=f"0-{max(0, len(had) - 1)}")
        else:
            had += self.body()
            fits = digests.of_bytes(had) == query.get("digest")
            if fits:
                mine[query["digest"]] = bytes(had)
            self.send(201 if fits else 400)
