"""Where YAML comes from: files, standard input and URLs, and what a name in one of them means.

What the text says is left to :mod:`linuxkit.spec.documents`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from linuxkit.base.errors import Error, printable
from linuxkit.base.files import os_error
from linuxkit.spec import yaml
from linuxkit.spec.node import Source

if TYPE_CHECKING:
    from linuxkit.base.where import Where

STDIN = "-"
LIMIT = 4 * yaml.TEXT_LIMIT  # bytes; a character has at most four
_REMOTE = ("http://", "https://")


class Remote(Protocol):
    """Who reads the texts that lie on other machines."""

    def read(self, url: str, *, limit: int, where: Where | None) -> bytes:
        """The bytes at ``url``, which is named at ``where``, at most ``limit`` of them."""


class Web:
    """Reads them from where they lie, unless ``offline``."""

    def __init__(self, *, offline: bool = False) -> None:
        self._offline = offline

    def read(self, url: str, *, limit: int, where: Where | None) -> bytes:
        """The bytes.  Raises LK0402 (offline), LK041x."""
        from linuxkit.net import http
        from linuxkit.net import url as urls

        if self._offline:
            shown = urls.shown(url)
            raise Error("LK0402", f"{shown} cannot be read without the network", where=where)
        return http.Transport().read(url, limit=limit)


class Input(NamedTuple):
    """A text, not yet read; ``address`` is a path, a URL or "-"."""

    address: str

    @property
    def name(self) -> str:
        """What messages call it."""
        if self.is_url:
            from linuxkit.net import url

            return url.shown(self.address)
        return "standard input" if self.address == STDIN else self.address

    @property
    def is_url(self) -> bool:
        """Whether it lies on another machine."""
        return self.address.startswith(_REMOTE)

    @property
    def folder(self) -> Path:
        """The folder that relative paths in it start from; for a URL the current one."""
        return Path() if self.is_url or self.address == STDIN else Path(self.address).parent

    @property
    def identity(self) -> str:
        """The same for two ways to name one text."""
        return self.address if self.is_url else os.path.realpath(self.address)

    def beside(self, text: str) -> Input:
        """What ``text`` means in it: a URL, or a path from where it is itself.  Raises LK0210."""
        if text.startswith(_REMOTE):
            return Input(text)
        if not self.is_url:
            return Input(str(self.folder / text))
        from urllib.parse import urljoin

        joined = urljoin(self.address, text)
        if not joined.startswith(_REMOTE):
            raise Error("LK0210", f'"{printable(text)}" cannot be included from a URL')
        return Input(joined)

    def read(self, *, stdin: bytes | None, remote: Remote, where: Where | None = None) -> str:
        """The text.

        Raises LK0201 (not UTF-8), LK0202 (too long), LK0210 (not there) and what ``remote`` raises.
        """
        if self.address == STDIN:
            data = stdin or b""
        elif self.is_url:
            data = remote.read(self.address, limit=LIMIT, where=where)
        else:
            data = _read_file(Path(self.address))
        if len(data) > LIMIT:  # it may end inside a character
            raise yaml.too_long(Source(self.name, ""))
        return yaml.decode_text(data, self.name)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LIMIT + 1)
    except FileNotFoundError:
        raise Error("LK0210", f"there is no file {path}", hint=_similar(path)) from None
    except IsADirectoryError:
        raise Error("LK0210", f"{path} is a folder", hint="name the YAML file in it") from None
    except OSError as error:
        raise os_error(error, "read", path) from error


def _similar(path: Path) -> str:
    """A file beside ``path`` that may have been meant."""
    import difflib

    try:
        names = sorted(entry.name for entry in os.scandir(path.parent) if entry.is_file())
    except OSError:
        return f"there is no folder {path.parent} either"
    candidates = [name for name in names if name.endswith((".yml", ".yaml"))]
    near = [name for name in candidates if Path(name).stem == path.name]
    near += difflib.get_close_matches(path.name, candidates, n=1)
    return f"did you mean {path.parent / near[0]}?" if near else ""
