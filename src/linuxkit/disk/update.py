"""What an update is: the versions of a system, and the table that lists a new one's bytes.

The table is what gets signed and what the machine reads (``packages/update``), so it is plain
lines:

    linuxkit-update 1
    version 1.2
    arch amd64
    size 20971520
    digest HEX          SHA-256 of the whole file
    signer HEX          SHA-256 of the certificate that it is signed with for firmware, if it is
    chunk HEX SIZE      in the order of the file
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from linuxkit.base.digest import Digest

WORD = "linuxkit.version="
"""What a system says on its command line, where the running machine reads it too."""

LIMIT = 480 << 20  # bytes of a version
COUNT_LIMIT = 480  # chunks; registries and we take 512 parts of an artifact
_LEAST = 64 << 10  # bytes of a chunk
_SPREAD = 4  # the largest chunk is so many times the least
_MARK = b"\x5a\xa5"  # a chunk ends behind these bytes: once in 64 KiB of compressed data
_VERSION = re.compile(r"(0|[1-9]\d{0,8})(\.(0|[1-9]\d{0,8})){0,3}", re.ASCII)


class Chunk(NamedTuple):
    """A piece of a version: the digest of its bytes, and how many there are."""

    digest: Digest
    size: int


class Table(NamedTuple):
    """A version of a system for one architecture (as OCI calls it)."""

    version: str
    arch: str
    size: int
    digest: Digest
    chunks: tuple[Chunk, ...]
    signer: Digest | None = None

    def encode(self) -> bytes:
        """The lines, as they are signed."""
        lines = [
            "linuxkit-update 1", f"version {self.version}", f"arch {self.arch}",
            f"size {self.size}", f"digest {digests.hex_of(self.digest)}",
            *((f"signer {digests.hex_of(self.signer)}",) if self.signer else ()),
            *(f"chunk {digests.hex_of(each.digest)} {each.size}" for each in self.chunks),
        ]  # fmt: skip
        return "".join(f"{line}\n" for line in lines).encode()


def version(cmdline: str) -> str:
    """The version that a command line names; "" when it names none.  Raises LK0762."""
    found = ""
    for word in cmdline.split():
        if word.startswith(WORD):
            found = word[len(WORD) :]
            if not _VERSION.fullmatch(found):
                raise Error(
                    "LK0762", f'"{printable(found)}" is no version of a system',
                    hint=f"write up to four numbers with dots between them: {WORD}1.2",
                )  # fmt: skip
    return found


def required_version(cmdline: str) -> str:
    """The version that a command line names.  Raises LK0762 when it names none."""
    found = version(cmdline)
    if not found:
        raise Error(
            "LK0762", "the system has no version, so it neither can be updated nor is an update",
            hint=f'add "{WORD}1" to kernel.cmdline, and count on with each update',
        )  # fmt: skip
    return found


def entry_name(number: str) -> str:
    """What a version that is not on trial is called (Boot Loader Specification, type 2)."""
    return f"EFI/Linux/linuxkit_{number}.efi"


def table_name(number: str) -> str:
    """Where the machine keeps a version's table, to find chunks that it need not fetch."""
    return f"EFI/linuxkit/{number}.tab"


def cut(source: BinaryIO, size: int) -> Iterator[bytes]:
    """The ``size`` bytes of ``source`` in pieces that end where the content says.

    So equal stretches of two versions make equal pieces, wherever they lie.
    """
    least = _LEAST
    while size > least * COUNT_LIMIT:
        least *= 2
    rest = b""
    source.seek(0)
    while rest := rest + source.read(least * _SPREAD - len(rest)):
        at = rest.find(_MARK, least)
        end = len(rest) if at < 0 else at + len(_MARK)
        yield rest[:end]
        rest = rest[end:]


def read(source: BinaryIO, number: str, arch: str) -> Table:
    """The table of the file ``source``, which is version ``number``.  Raises LK0763."""
    size = source.seek(0, 2)
    if size > LIMIT:
        raise Error(
            "LK0763", f"a version of {size >> 20} MiB is too large: {LIMIT >> 20} are allowed",
            hint="much of firmware does not start programs of that size anyway",
        )  # fmt: skip
    whole, chunks = hashlib.sha256(), []
    for data in cut(source, size):
        whole.update(data)
        chunks.append(Chunk(digests.of_bytes(data), len(data)))
    return Table(number, arch, size, digests.parse(f"sha256:{whole.hexdigest()}"), tuple(chunks))
