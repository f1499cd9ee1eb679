"""Reads package indices: stanzas, dependency fields, and an index of names per architecture.

A stanza is only parsed when its package is asked for; which packages to take is the solver's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest
from linuxkit.base.errors import Error, printable
from linuxkit.recipes.debian import version
from linuxkit.recipes.debian.lock import check_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from linuxkit.base.digest import Digest

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{0,99}")
_RELATION = re.compile(
    r"\s*([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^\s()]+)\s*\))?\s*"
)
_UPSTREAM = re.compile(r"\.orig(?:-[a-z0-9-]+)?\.tar\.[a-z0-9]+$")
_ARCHIVE = re.compile(r"\.tar\.[a-z0-9]+$")
_MAX_DEB = 4 << 30


class Relation(NamedTuple):
    """One alternative of a dependency, such as ``libc6:any (>= 2.34)`` (policy 7.1)."""

    name: str
    qualifier: str = ""
    operator: str = ""
    version: str = ""

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name

    def allows(self, candidate: str) -> bool:
        """Whether ``candidate`` is one of the versions asked for."""
        if not self.operator:
            return True
        have, want = version.key(candidate), version.key(self.version)
        return {
            "<<": have < want, "<=": have <= want, "=": have == want,
            ">=": have >= want, ">>": have > want,
        }[self.operator]  # fmt: skip


class Package(NamedTuple):
    """One binary package of an index, as far as we need it."""

    name: str
    version: str
    arch: str  # Debian's name, or "all"
    suite: str
    pool: str  # path inside the archive
    size: int  # of the .deb, bytes
    sha256: Digest
    depends: tuple[tuple[Relation, ...], ...]  # Pre-Depends first; each needs one alternative
    provides: tuple[Relation, ...]

    @property
    def key(self) -> str:
        """The name it has in a lock."""
        return f"{self.name}_{self.version}_{self.arch}"


class SourceFile(NamedTuple):
    """One archive that a source package is made of."""

    name: str
    version: str  # of the source package
    suite: str
    pool: str  # path inside the archive
    size: int
    sha256: Digest


def source(index: bytes, suite: str, name: str) -> tuple[SourceFile, ...]:
    """The archives of the source package ``name`` in a ``Sources`` file; none if it is not there.

    The newest version counts.  Where upstream's source comes apart from Debian's additions, only
    that is taken.  Raises LK0504 for a damaged entry.
    """
    marked = b"Package: " + name.encode() + b"\n"
    found = (raw for raw in index.split(b"\n\n") if (raw.strip(b"\n") + b"\n").startswith(marked))
    entries = [stanza(raw.strip(b"\n").decode()) for raw in found]
    newest = max(entries, key=lambda e: version.key(e.get("version", "")), default=None)
    if newest is None:
        return ()
    try:
        rows = [line.split() for line in newest["checksums-sha256"].splitlines() if line.strip()]
        upstream = any(_UPSTREAM.search(file) for _, _, file in rows)
        archives = _UPSTREAM if upstream else _ARCHIVE
        files = [
            SourceFile(
                file, newest["version"], suite, f"{newest['directory']}/{file}", int(size),
                digest.parse(f"sha256:{sha}"),
            )
            for sha, size, file in rows if archives.search(file)
        ]  # fmt: skip
    except (KeyError, ValueError, Error) as error:
        raise Error("LK0504", f'the source package "{name}" is damaged: {error}') from error
    for file in files:
        check_pool(file.pool)
        if not 0 < file.size <= _MAX_DEB:
            raise Error("LK0504", f'the source package "{name}" is damaged')
    return tuple(files)


def stanza(text: str) -> dict[str, str]:
    """The fields of one deb822 paragraph, names in lower case; continuation lines are joined.

    Raises LK0504 for a line that is neither a field nor a continuation, and for a field given
    twice.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t") and name:
            fields[name] += "\n" + line.strip()
            continue
        before, colon, value = line.partition(":")
        name = before.lower()
        if not colon or not name or name in fields or name != name.strip():
            raise Error("LK0504", f'not a control field: "{printable(line, 80)}"')
        fields[name] = value.strip()
    return fields


def relations(text: str) -> tuple[tuple[Relation, ...], ...]:
    """A dependency field: groups joined by commas, alternatives by bars.  Raises LK0504."""
    groups = (part for part in text.split(",") if part.strip())
    return tuple(tuple(_relation(one) for one in part.split("|")) for part in groups)


def _relation(text: str) -> Relation:
    found = _RELATION.fullmatch(text)
    if not found:
        raise Error("LK0504", f'not a package relation: "{printable(text, 80)}"')
    name, qualifier, operator, wanted = found.groups()
    return Relation(name, qualifier or "", operator or "", wanted or "")


class Index:
    """The packages that one architecture can choose from, of one or several suites."""

    def __init__(self) -> None:
        self._raw: dict[str, list[tuple[str, bytes]]] = {}
        self._providers: dict[str, set[str]] = {}
        self._parsed: dict[str, tuple[Package, ...]] = {}

    def add(self, suite: str, packages: bytes) -> None:
        """Take in a ``Packages`` file of ``suite`` (repository format; 57 MB in about 0.4 s)."""
        for raw in packages.split(b"\n\n"):
            text = raw.strip(b"\n")
            if not text:
                continue
            name = _field(text, b"Package")
            self._raw.setdefault(name, []).append((suite, text))
            provides = _field(text, b"Provides", needed=False)
            for group in relations(provides) if provides else ():
                self._providers.setdefault(group[0].name, set()).add(name)
        self._parsed.clear()

    def names(self) -> Iterable[str]:
        """Every real package name."""
        return self._raw.keys()

    def candidate(self, name: str) -> Package | None:
        """The newest version of the real package ``name`` over all suites."""
        versions = self._versions(name)
        return max(versions, key=lambda p: version.key(p.version), default=None)

    def providers(self, name: str) -> tuple[str, ...]:
        """The packages that provide ``name``, sorted."""
        return tuple(sorted(self._providers.get(name, ())))

    def _versions(self, name: str) -> tuple[Package, ...]:
        if name not in self._parsed:
            raws = self._raw.get(name, ())
            self._parsed[name] = tuple(_package(stanza(r.decode()), s) for s, r in raws)
        return self._parsed[name]


def _field(text: bytes, name: bytes, *, needed: bool = True) -> str:
    at = 0 if text.startswith(name + b": ") else text.find(b"\n" + name + b": ") + 1
    if at == 0 and not text.startswith(name + b": "):
        if needed:
            raise Error("LK0504", f"an index entry has no {name.decode()}")
        return ""
    start = at + len(name) + 2
    end = text.find(b"\n", start)
    return text[start : end if end >= 0 else None].decode()


def _package(fields: Mapping[str, str], suite: str) -> Package:
    try:
        name, pool, size = fields["package"], fields["filename"], int(fields["size"])
        found = Package(
            name, fields["version"], fields["architecture"], suite, pool, size,
            digest.parse("sha256:" + fields["sha256"]),
            relations(fields.get("pre-depends", "")) + relations(fields.get("depends", "")),
            tuple(r for g in relations(fields.get("provides", "")) for r in g),
        )  # fmt: skip
    except (KeyError, ValueError) as error:
        raise Error("LK0504", f"an index entry of {suite} is damaged: {error}") from error
    version.key(found.version)
    check_pool(pool)
    if not _NAME.fullmatch(name) or not 0 < size <= _MAX_DEB:
        raise Error("LK0504", f'an index entry of {suite} is damaged: "{printable(name, 80)}"')
    return found
