"""A small signed Debian archive on disk, made by the test itself, and the .debs in it."""

from __future__ import annotations

import hashlib
import io
import itertools
import lzma
import tarfile
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pysequoia

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SOURCE_EPOCH = 1_700_000_000


class File(NamedTuple):
    """A member of data.tar; ``data`` None makes a folder, ``link`` a symbolic or hard link."""

    path: str
    data: bytes | None = None
    mode: int = 0o644
    link: str = ""
    hard: bool = False
    mtime: int = SOURCE_EPOCH


def tar(files: list[File]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for file in files:
            info = tarfile.TarInfo(file.path)
            info.mode, info.mtime = file.mode, file.mtime
            if file.link:
                info.type = tarfile.LNKTYPE if file.hard else tarfile.SYMTYPE
                info.linkname = file.link
                archive.addfile(info)
            elif file.data is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            else:
                info.size = len(file.data)
                archive.addfile(info, io.BytesIO(file.data))
    return out.getvalue()


def member(name: str, data: bytes) -> bytes:
    header = f"{name:<16}{SOURCE_EPOCH:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    assert len(header) == 60
    return header + data + b"\n" * (len(data) % 2)


def ar(*members: tuple[str, bytes]) -> bytes:
    return b"!<arch>\n" + b"".join(member(*one) for one in members)


def deb(files: list[File], control: str = "") -> bytes:
    """A .deb with xz-compressed parts."""
    return ar(
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", lzma.compress(tar([File("./control", control.encode())]))),
        ("data.tar.xz", lzma.compress(tar(files))),
    )


class Pkg(NamedTuple):
    """One package of the archive."""

    name: str
    version: str = "1.0-1"
    depends: str = ""
    files: tuple[File, ...] = ()
    arch: str = "amd64"
    provides: str = ""
    raw: bytes | None = None  # the whole .deb instead of ``files``


class Key(NamedTuple):
    """A throw-away signing key."""

    secret: pysequoia.Tsk
    public: bytes


def key(user: str = "Test Archive <test@example.org>") -> Key:
    secret = pysequoia.Tsk.generate(user_id=user, validity_seconds=3 * 365 * 86400)
    return Key(secret, bytes(secret.extract_certificate()))


class DebianArchive:
    """``dists`` and ``pool`` below ``root``; several suites may share it."""

    def __init__(self, root: Path, signer: Key) -> None:
        self.root = root
        self.signer = signer

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def publish(
        self,
        suite: str,
        packages: list[Pkg],
        *,
        date: datetime = NOW - timedelta(days=1),
        fields: str = "",
        arches: tuple[str, ...] = ("amd64",),
        form: str = ".xz",
        by_hash: bool = False,
        others: Mapping[str, list[Pkg]] = MappingProxyType({}),
    ) -> None:
        """Write the suite's indices and .debs; ``form`` is that of its Packages files.

        ``others`` are the packages of further components.
        """
        listed = []
        parts = {"main": packages, **others}
        for arch, (component, its) in itertools.product(arches, parts.items()):
            text = "\n".join(self._stanza(p) for p in its if p.arch in (arch, "all"))
            plain = text.encode()
            data = lzma.compress(plain) if form == ".xz" else plain
            folder = self.root / "dists" / suite / component / f"binary-{arch}"
            folder.mkdir(parents=True, exist_ok=True)
            sha256 = hashlib.sha256(data).hexdigest()
            place = folder / f"by-hash/SHA256/{sha256}" if by_hash else folder / f"Packages{form}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            for name, content in ((f"Packages{form}", data), ("Packages", plain)):
                digest = hashlib.sha256(content).hexdigest()
                listed.append(f" {digest} {len(content)} {component}/binary-{arch}/{name}")
        release = (
            f"Origin: Test\nCodename: {suite}\nSuite: {suite}-x\n"
            f"Date: {date:%a, %d %b %Y %H:%M:%S} UTC\n{fields}"
            f"Architectures: {' '.join(arches)}\nComponents: {' '.join(parts)}\nSHA256:\n"
            + "\n".join(dict.fromkeys(listed)) + "\n"
        )  # fmt: skip
        self.sign(suite, release.encode())

    def sign(self, suite: str, release: bytes, signer: Key | None = None) -> None:
        by = (signer or self.signer).secret.signer()
        signed = pysequoia.sign(by, release, mode=pysequoia.SignatureMode.CLEAR)
        path = self.root / "dists" / suite / "InRelease"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(signed)

    def _stanza(self, package: Pkg) -> str:
        data = package.raw if package.raw is not None else deb(list(package.files))
        pool = f"pool/main/{package.name[0]}/{package.name}_{package.version}_{package.arch}.deb"
        place = self.root / pool
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        optional = "".join(
            f"{name}: {value}\n"
            for name, value in (("Depends", package.depends), ("Provides", package.provides))
            if value
        )
        return (
            f"Package: {package.name}\nVersion: {package.version}\nArchitecture: {package.arch}\n"
            f"{optional}Filename: {pool}\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\nDescription: for a test\n more\n"
        )
