"""Which archives to ask: the user's choice, the host's own apt sources, a snapshot service.

Nothing is fetched here; the order of the answers is the order in which they are tried.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from linuxkit.base.errors import Error
from linuxkit.net.url import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MIRROR = "LINUXKIT_DEBIAN_MIRROR"
SNAPSHOT = "LINUXKIT_DEBIAN_SNAPSHOT"
HINT = f"set {MIRROR} to the URL of a Debian mirror (http, https or file)"
_MAIN, _SECURITY = "debian", "debian-security"


class Mirrors(NamedTuple):
    """Base URLs without a trailing slash, best first."""

    main: tuple[str, ...]
    security: tuple[str, ...]
    snapshots: tuple[str, ...] = ()  # services with dated archives, ``BASE/archive/NAME/DATE``

    def archives(self, suite: str) -> tuple[str, ...]:
        """The live archives that have ``suite``."""
        return self.security if suite.endswith("-security") else self.main

    def files(self, suite: str, path: str, timestamp: str) -> tuple[str, ...]:
        """Every URL that may have the file ``path`` of ``suite``: live first, then as it was at
        ``timestamp`` (like ``20260102T030405Z``).
        """  # noqa: D205
        name = _SECURITY if suite.endswith("-security") else _MAIN
        dated = tuple(f"{base}/archive/{name}/{timestamp}" for base in self.snapshots)
        return tuple(f"{base}/{path}" for base in (*self.archives(suite), *dated))


def choose(
    environ: Mapping[str, str], config: Mapping[str, str], etc: Path = Path("/etc/apt")
) -> Mirrors:
    """The archives to use.

    ``config`` holds the keys ``mirror`` and ``snapshot`` of the user's settings.  Raises LK0506
    when neither the environment, the settings nor the host's apt sources name one, and LK0507 for
    a URL that cannot be one.
    """
    snapshots = _urls(environ.get(SNAPSHOT) or config.get("snapshot", ""))
    for text, origin in ((environ.get(MIRROR, ""), MIRROR), (config.get("mirror", ""), "config")):
        if text.strip():
            return _sorted(_urls(text, origin), snapshots)
    closed: list[str] = []
    found = _sorted(_apt_sources(etc, closed), snapshots)
    if not found.main and not snapshots:
        raise Error(
            "LK0506",
            "no Debian mirror is known: this host has no apt sources for Debian",
            hint=f"{HINT}, or `debian: {{mirror: URL}}` in the configuration file",
            detail="".join(f"{path} may not be read\n" for path in closed),
        )
    return found


def _urls(text: str, origin: str = SNAPSHOT) -> list[str]:
    urls = [word.rstrip("/") for word in text.replace(",", " ").split()]
    for url in urls:
        split = urlsplit(url)
        if split.scheme not in ("http", "https", "file") or split.query or split.fragment:
            raise Error("LK0507", f'{origin}: "{shown(url)}" is not the URL of a mirror', hint=HINT)
    return urls


def _sorted(urls: Iterable[str], snapshots: Iterable[str]) -> Mirrors:
    """Tell main from security archives; a main one named ``…/debian`` implies its neighbour."""
    main: list[str] = []
    security: list[str] = []
    for url in urls:
        (security if url.endswith(f"/{_SECURITY}") else main).append(url)
    implied = [f"{url}-security" for url in main if url.endswith(f"/{_MAIN}")]
    return Mirrors(
        tuple(dict.fromkeys(main)), tuple(dict.fromkeys(security + implied)), tuple(snapshots)
    )


def _apt_sources(etc: Path, closed: list[str]) -> Iterator[str]:
    """The URIs in the host's apt sources that look like Debian archives (sources.list(5)).

    A file with passwords in it may be for root alone; who cannot read it finds it in ``closed``.
    """
    parts = etc / "sources.list.d"
    listed = sorted(parts.iterdir()) if parts.is_dir() else []
    for path in (etc / "sources.list", *listed):
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        try:
            text = path.read_text(errors="replace")
        except PermissionError:
            closed.append(str(path))
            continue
        for uri in _uris_822(text) if path.suffix == ".sources" else _uris_list(text):
            url = uri.rstrip("/")
            split = urlsplit(url)
            last = split.path.rpartition("/")[2]
            if split.scheme in ("http", "https", "file") and last in (_MAIN, _SECURITY):
                yield url


def _uris_list(text: str) -> Iterator[str]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["deb"]:
            rest = words[1:]
            if rest and rest[0].startswith("["):
                while rest and not rest.pop(0).endswith("]"):
                    pass
            yield from rest[:1]


def _uris_822(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            else:
                before, _, value = line.partition(":")
                name = before.strip().lower()
                fields[name] = value.strip()
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0")
        if enabled and "deb" in fields.get("types", "").split():
            yield from fields.get("uris", "").split()
