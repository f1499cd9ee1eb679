"""HTTP to a container engine on this machine, over its socket; or to one that listens on TCP.

What is asked and what the answers mean is the caller's business.
"""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONNECT_S, _ANSWER_S = 5.0, 600.0  # an engine packs a large image before its first byte
_PORT = 2375  # of Docker without TLS


class Address(NamedTuple):
    """Where an engine listens: the path of a socket, or a host and its port."""

    path: str
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port}" if self.host else f"unix://{self.path}"


def address(url: str) -> Address:
    """What DOCKER_HOST says.  Raises LK0115 for what cannot be reached from here."""
    split = urlsplit(url)
    if split.scheme == "unix" and split.path:
        return Address(split.path)
    if split.scheme == "tcp" and split.hostname:
        return Address("", split.hostname, split.port or _PORT)
    raise Error(
        "LK0115",
        f'DOCKER_HOST is "{printable(url)}", which cannot be asked from here',
        hint="it has to be unix:///PATH or tcp://HOST:PORT; lead a remote engine's socket here with"
        " ssh -L",
    )


class Connection(http.client.HTTPConnection):
    """A connection to an engine; ``request`` and ``getresponse`` raise OSError, HTTPException."""

    def __init__(self, at: Address) -> None:
        super().__init__(at.host or "localhost", at.port or None, timeout=_CONNECT_S)
        self._at = at

    def connect(self) -> None:
        """Reach the socket."""
        if self._at.host:
            super().connect()
        else:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(_CONNECT_S)
            try:
                self.sock.connect(self._at.path)
            except OSError:
                self.sock.close()
                raise
        self.sock.settimeout(_ANSWER_S)


def ask(at: Address, path: str, headers: Mapping[str, str] | None = None) -> Connection:
    """A connection that was asked for ``path`` and will answer.  Raises OSError."""
    connection = Connection(at)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
    except OSError:
        connection.close()
        raise
    return connection
