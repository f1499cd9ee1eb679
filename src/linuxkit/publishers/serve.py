"""A folder over HTTP, for machines that start over the network.

Besides files it has, for each system with kernel and initramfs, a script for iPXE: NAME.ipxe.
"""

from __future__ import annotations

import http.server
import os
from contextvars import copy_context
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from linuxkit.base import events, files
from linuxkit.base.errors import Error, printable
from linuxkit.build import artifact as artifacts

if TYPE_CHECKING:
    from contextvars import Context

_SCRIPT = ".ipxe"
_PORT = 65535
_TIMEOUT_S = 60


class Server(http.server.ThreadingHTTPServer):
    """Serves the folder ``root``; a request is told to the listener of who made the server."""

    daemon_threads = True

    def __init__(self, root: Path, address: str, port: int) -> None:
        """Listen on ``address`` ("" is every one) and ``port`` (0 is any).  Raises LK0102."""
        self.root = root.resolve()
        self.context: Context = copy_context()
        files.need_folder(root, "mend --directory")
        try:
            super().__init__((address, port), _Handler)
        except OSError as error:
            raise files.os_error(error, f"listen on {address or '*'}:{port}") from error


def parse_address(text: str) -> tuple[str, int]:
    """``PORT``, ``:PORT`` or ``ADDRESS:PORT``, as upstream has it.  Raises LK0832."""
    address, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > _PORT:
        raise Error(
            "LK0832", f'"{printable(text)}" does not say where to listen',
            hint="write PORT, :PORT or ADDRESS:PORT, as in 127.0.0.1:8080",
        )  # fmt: skip
    return address.strip("[]"), int(port)


def script(found: artifacts.Artifact) -> bytes:
    """What iPXE is to do to start the system (https://ipxe.org/scripting)."""
    kernel, initrd = found.path("kernel"), found.path("initrd")
    lines = ["#!ipxe"]
    if kernel and found.boot:
        words = [quote(kernel.name)]
        words += [f"initrd={quote(initrd.name)}"] if initrd else []
        lines.append(f"kernel {' '.join(words)} {found.boot.cmdline}".rstrip())
    if initrd:
        lines.append(f"initrd {quote(initrd.name)}")
    return "\n".join([*lines, "boot", ""]).encode()


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - never raises, whatever the name


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "linuxkit"
    sys_version = ""
    timeout = _TIMEOUT_S

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = self._path()
        made = self._script(path) if path else None
        if made is not None:
            self._head(len(made), "text/plain")
            if body:
                self.wfile.write(made)
            return
        if path is None or not _is_file(path):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            with path.open("rb") as source:
                size = source.seek(0, 2)
                self._head(size, "application/octet-stream")
                if body:
                    self.connection.sendfile(source, 0, size)
        except OSError as error:
            self.close_connection = True
            self.log_message("%s: %s", self.path, error.strerror)

    def _head(self, size: int, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.flush()

    def _path(self) -> Path | None:
        """The file asked for; None for what is not below the folder, however it is spelled."""
        name = unquote(urlsplit(self.path).path).lstrip("/")
        if "\0" in name:
            return None
        root = self.server.root
        try:
            path = (root / name).resolve()
        except (OSError, RuntimeError):
            return None  # a circle of links, or too long a name
        hidden = any(part.startswith(".") for part in Path(name).parts)
        return path if path.is_relative_to(root) and not hidden else None

    def _script(self, path: Path) -> bytes | None:
        """The script for a system that lies there, where there is no file of that name."""
        sidecar = path.with_name(path.name.removesuffix(_SCRIPT) + ".kernel+initrd.json")
        if path.suffix != _SCRIPT or _is_file(path) or not _is_file(sidecar):
            return None
        try:
            return script(artifacts.load(sidecar))
        except Error as error:
            self.log_message("%s", error.message)
            return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """A line for each request; threads have no listener of their own."""
        text = printable(f"{self.address_string()} {format % args}", 300)
        self.server.context.copy().run(events.note, text)
