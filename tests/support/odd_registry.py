"""A registry in this process that answers as a test wishes, and what pulls from it."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.net.http import Settings
from linuxkit.oci import model, pull, ref, registry
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support.modern_registry import Listener
from support.registry import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

AMD = Platform("linux", "amd64")
QUICK = Settings(tries=3, pause_s=0.01, connect_s=5, read_s=5)
Handler = BaseHTTPRequestHandler


class Fake:
    """A registry with one image, "app:1"; ``odd`` answers instead where it has the path."""

    def __init__(self, blobs: dict[str, bytes], manifest: bytes, address: str) -> None:
        self.blobs = blobs
        self.manifest = manifest
        self.kind = model.OCI_MANIFEST
        self.odd: dict[str, Callable[[Handler], None]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.lock = threading.Lock()
        fake = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with fake.lock:
                    fake.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                with contextlib.suppress(OSError):
                    fake.answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            do_HEAD, do_PUT = do_GET, do_POST  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        self.http = Listener((address, 0), Answers)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()
        self.host = f"{address}:{self.http.server_port}"

    def answer(self, handler: Handler) -> None:
        path = handler.path.partition("?")[0]
        name = path.rpartition("/")[2]
        odd = self.odd.get(path) or self.odd.get(path.split("/")[-2] if "/" in path else "")
        if odd:
            odd(handler)
        elif "/manifests/" in path:
            known = name in ("1", digests.of_bytes(self.manifest))
            send(handler, 200 if known else 404, self.manifest, Content_Type=self.kind)
        elif name in self.blobs:
            send(handler, 200, self.blobs[name])
        else:
            send(handler, 404)

    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]

    def logins(self) -> list[str]:
        return [sent["authorization"] for _, sent in self.seen if "authorization" in sent]

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def send(handler: Handler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def get(fake: Fake, store: Store, what: str = "app:1", **changes: object) -> model.Descriptor:
    options = registry.options()._replace(settings=QUICK, **changes)
    return pull.pull(registry.Client(options), ref.parse(f"{fake.host}/{what}"), AMD, store)


def refused(fake: Fake, store: Store, what: str = "app:1", **changes: object) -> Error:
    with pytest.raises(Error) as error:
        get(fake, store, what, **changes)
    assert SECRET not in str(error.getrepr(style="long"))
    assert store.names() == ()
    assert not list((store.root / "linuxkit/tmp").glob("*"))
    return error.value


def biggest(fake: Fake) -> str:
    return max(fake.blobs, key=lambda name: len(fake.blobs[name]))


def challenge(realm: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        value = f'Bearer realm="{realm}",service="s",scope="repository:app:pull"'
        send(handler, 401, b"{}", WWW_Authenticate=value)

    return answer


def doc(fake: Fake, **changes: object) -> None:
    fake.manifest = json.dumps({**json.loads(fake.manifest), **changes}).encode()
