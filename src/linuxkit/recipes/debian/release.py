"""Signed archive releases: signature, dates and names checked, then indices fetched by hash.

Only bytes that a pinned key signed are ever read (repository format; RFC 9580, section 7).
"""

from __future__ import annotations

import hashlib
import lzma
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest
from linuxkit.base.errors import Error, printable
from linuxkit.net.url import shown
from linuxkit.recipes.debian.control import stanza

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pysequoia import Cert

    from linuxkit.net.http import Transport

MAIN = "main"
"""The component of an archive that is Debian; the others are beside it (policy 2.2)."""
_CLEARTEXT = b"-----BEGIN PGP SIGNED MESSAGE-----"
_MAX_RELEASE = 4 << 20
_MAX_INDEX = 512 << 20
_SLACK_S = 24 * 3600  # a clock may be this much behind the archive's


class IndexFile(NamedTuple):
    """An index as the release names it."""

    size: int
    sha256: str


class Release(NamedTuple):
    """What a signed release says."""

    suite: str  # the codename that was asked for
    date: datetime
    sha256: str  # of the signed text
    architectures: tuple[str, ...]
    files: Mapping[str, IndexFile]


class Keyring:
    """The certificates whose signatures count."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Read OpenPGP certificates, armored or binary.  Raises LK0510."""
        from pysequoia import Cert, packet

        self._certs: list[Cert] = []
        self._ids: set[str] = set()
        for path in files:
            try:
                data = path.read_bytes()
                self._certs += Cert.split_bytes(data)
                pile = packet.PacketPile.from_bytes(data)
                self._ids |= {p.fingerprint for p in pile if p.fingerprint}
            except (OSError, RuntimeError, ValueError) as error:
                raise Error(
                    "LK0510", f"{path} is not an OpenPGP keyring: {_first(error)}"
                ) from error
        if not self._certs:
            raise Error("LK0510", "the keyring is empty", hint="name a file with --keyring")

    def signed(self, message: bytes, what: str, now: datetime, *, live: bool) -> bytes:
        """The bytes of ``message`` that a key of this ring has signed.

        For a ``live`` archive the key must not have expired by ``now``; a snapshot was signed in
        its own time.  Raises LK0511 (not signed), LK0512 (by an unknown key), LK0513 (altered, or
        a bad signature), LK0514 (the key has expired or was revoked).
        """
        from pysequoia import verify

        if not message.lstrip().startswith(_CLEARTEXT):
            raise Error("LK0511", f"{what} is not signed")
        issuers: list[str] = []

        def certs(ids: list[str]) -> list[Cert]:
            issuers.extend(ids)
            return self._certs

        try:
            result = verify(message, store=certs)
        except (RuntimeError, ValueError) as error:
            raise self._refused(issuers, what, _first(error)) from error
        good = {signature.certificate for signature in result.valid_sigs}
        usable = [cert for cert in self._certs if cert.fingerprint in good]
        if not usable:
            raise self._refused(issuers, what, "no signature counts")
        if not any(_alive(cert, now, live=live) for cert in usable):
            raise Error(
                "LK0514",
                f"the key that signed {what} has expired or was revoked: {usable[0].fingerprint}",
                hint="a newer linuxkit brings newer keys; --keyring names others",
            )
        return bytes(result.bytes or b"")

    def _refused(self, issuers: list[str], what: str, reason: str) -> Error:
        known = any(fp.endswith(i.lower()) for i in issuers for fp in self._ids)
        if issuers and not known:
            listed = ", ".join(printable(i, 40) for i in issuers[:4])
            return Error(
                "LK0512",
                f"{what} is signed by unknown keys: {listed}",
                hint="--keyring or LINUXKIT_DEBIAN_KEYRING names the keys of another archive",
            )
        return Error("LK0513", f"the signature of {what} is wrong: {reason}")


def _alive(cert: Cert, now: datetime, *, live: bool) -> bool:
    if cert.is_revoked:
        return False
    return not live or cert.expiration is None or cert.expiration > now


def _first(error: Exception) -> str:
    """OpenPGP errors carry a long back-trace below their first line."""
    return printable((str(error).splitlines() or [type(error).__name__])[0])


def shipped_keys() -> list[Path]:
    """The certificates of the Debian archive that come with the tool."""
    return sorted((Path(__file__).parent / "keys").glob("*.gpg"))


def fetch(
    base: str, suite: str, keyring: Keyring, transport: Transport, now: datetime, *, live: bool
) -> Release:
    """Fetch and check ``InRelease`` of ``suite`` from the archive at ``base``.

    Raises the errors of the transport, of :meth:`Keyring.signed` and of :func:`parse`.
    """
    url = f"{base}/dists/{suite}/InRelease"
    message = transport.read(url, limit=_MAX_RELEASE)
    text = keyring.signed(message, shown(url), now, live=live)
    return parse(text, suite, now, live=live)


def parse(signed: bytes, suite: str, now: datetime, *, live: bool) -> Release:
    """Read a release's signed text.

    Raises LK0515 (another suite than asked for), LK0516 (dated in the future, or its validity has
    run out on a ``live`` archive), LK0517 (damaged).
    """
    try:
        fields = stanza(signed.decode())
        date = _date(fields["date"])
        files = _files(fields["sha256"])
        until = _date(fields["valid-until"]) if live and "valid-until" in fields else None
        architectures = tuple(fields["architectures"].split())
    except (KeyError, ValueError, Error) as error:
        raise Error("LK0517", f"the release of {suite} is damaged: {_first(error)}") from error
    if suite not in (fields.get("codename"), fields.get("suite")):
        other = printable(fields.get("codename", "nothing"), 60)
        raise Error("LK0515", f"asked for the suite {suite}, the archive answered with {other}")
    if (date - now).total_seconds() > _SLACK_S:
        raise Error(
            "LK0516", f"the release of {suite} is dated in the future: {date:%Y-%m-%d %H:%M} UTC",
            hint="check this machine's clock",
        )  # fmt: skip
    if until is not None and until < now:
        raise Error(
            "LK0516", f"the release of {suite} was valid until {until:%Y-%m-%d %H:%M} UTC",
            hint="the mirror is out of date: use another one",
        )  # fmt: skip
    return Release(suite, date, hashlib.sha256(signed).hexdigest(), architectures, files)


def _date(text: str) -> datetime:
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    found: datetime = parsedate_to_datetime(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _files(text: str) -> dict[str, IndexFile]:
    files: dict[str, IndexFile] = {}
    for line in text.splitlines():
        if line.strip():
            sha256, size, name = line.split()
            digest.parse(f"sha256:{sha256}")
            files[name] = IndexFile(int(size), sha256)
    return files


def packages(
    base: str, release: Release, arch: str, transport: Transport, component: str = MAIN
) -> bytes:
    """The ``Packages`` file of ``component`` for ``arch``, checked by size and SHA-256.

    Tries the smaller forms first and each one by hash before by name.  Raises LK0518 (the release
    has none for ``arch``), LK0519 (what the mirror has is not what the release names), and the
    errors of the transport.
    """
    return _index(base, release, f"{component}/binary-{arch}/Packages", transport)


def sources(base: str, release: Release, transport: Transport) -> bytes:
    """The ``Sources`` file of ``main``.  Raises as :func:`packages`."""
    return _index(base, release, f"{MAIN}/source/Sources", transport)


def _index(base: str, release: Release, plain: str, transport: Transport) -> bytes:
    folder, _, last = plain.rpartition("/")
    forms = [form for form in (".xz", ".gz", "") if plain + form in release.files]
    if not forms:
        raise Error("LK0518", f"the suite {release.suite} has no {plain}")
    failures: list[Error] = []
    for form in forms:
        wanted = release.files[plain + form]
        place = f"{base}/dists/{release.suite}/{folder}"
        for name in (f"by-hash/SHA256/{wanted.sha256}", f"{last}{form}"):
            try:
                data = _verified(f"{place}/{name}", wanted, transport)
            except Error as error:
                failures.append(error)
                continue
            return _unpacked(data, form, release, plain)
    # The most telling one: a file that is there, but another one than the release names.
    raise next((e for e in failures if e.code == "LK0519"), failures[0])


def _verified(url: str, wanted: IndexFile, transport: Transport) -> bytes:
    data = transport.read(url, limit=_MAX_INDEX)
    if len(data) != wanted.size or hashlib.sha256(data).hexdigest() != wanted.sha256:
        raise Error(
            "LK0519",
            f"{shown(url)} is not the file its release names ({len(data)} bytes, "
            f"{wanted.size} expected)",
            hint="the mirror may be in the middle of an update: try again later",
        )
    return data


def _unpacked(data: bytes, form: str, release: Release, plain: str) -> bytes:
    try:
        if form == ".xz":
            unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 << 20)
            text = unpacker.decompress(data, _MAX_INDEX)
            whole = unpacker.eof and not unpacker.unused_data
        elif form == ".gz":
            gunzip = zlib.decompressobj(31)
            text = gunzip.decompress(data, _MAX_INDEX)
            whole = gunzip.eof and not gunzip.unused_data
        else:
            return data
    except (lzma.LZMAError, zlib.error) as error:
        raise Error("LK0517", f"{plain}{form} of {release.suite} is damaged: {error}") from error
    expected = release.files.get(plain)
    if not whole or (expected is not None and len(text) != expected.size):
        raise Error("LK0517", f"{plain}{form} of {release.suite} is damaged: wrong length")
    return text
