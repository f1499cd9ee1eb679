"""A kernel image taken apart: the kernel itself, its modules as a tree, its microcode."""

from __future__ import annotations

import json
import posixpath
import struct
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.base.events import note
from linuxkit.tree import compress, tar
from linuxkit.tree.entry import CHUNK, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from linuxkit.build.plan import Kernel
    from linuxkit.oci.draft import BlobWriter
    from linuxkit.oci.store import Blob, Store
    from linuxkit.tree.content import Sink
    from linuxkit.tree.entry import Content, Entry
    from linuxkit.tree.merge import Tree


class Part(NamedTuple):
    """A file of the kernel image that boot loaders read, and its permission bits."""

    blob: Blob
    mode: int


class KernelParts(NamedTuple):
    """What a machine boots with besides the root tree."""

    binary: Part
    ucode: Part | None
    cmdline: str
    config: Blob | None = None  # what it was built with, where the image tells


_FORM = "kernel.parts.2"
_CONFIG = "config"


def load(kernel: Kernel, store: Store) -> KernelParts | None:
    """The parts as the store has them; None when they are not there, or not whole."""
    record = store.derived(kernel.key, _FORM)
    if record is None:
        return None
    modes: dict[str, int] = json.loads(store.read(record.digest, 1 << 12))
    parts: dict[str, Part] = {}
    for role, mode in modes.items():
        blob = store.derived(kernel.key, role)
        if blob is None:
            return None
        parts[role] = Part(blob, mode)
    config = parts[_CONFIG].blob if _CONFIG in parts else None
    return KernelParts(parts["kernel"], parts.get("ucode"), kernel.cmdline, config)


def extract(kernel: Kernel, tree: Tree, store: Store) -> None:
    """Store the kernel, its configuration and the microcode that ``tree`` holds.

    Raises LK0706 when the kernel is not there, LK0707 when it cannot be decompressed.
    """
    modes: dict[str, int] = {}
    entry = _file(tree, kernel.binary, kernel)
    decompress = kernel.decompress
    _keep(kernel, "kernel", entry.content, store, decompress=decompress)
    modes["kernel"] = entry.mode
    if kernel.ucode:
        ucode = tree.get(kernel.ucode)
        if ucode is None or ucode.kind is not Kind.FILE:
            # Upstream's examples name a microcode file that only x86 kernels have.
            note(
                f'{kernel.origin.source} has no microcode file "{kernel.ucode}"; going on without',
                level="warning",
            )
        else:
            _keep(kernel, "ucode", ucode.content, store, decompress=False)
            modes["ucode"] = ucode.mode
    config = tree.get(posixpath.join(posixpath.dirname(kernel.binary), _CONFIG))
    if config is not None and config.kind is Kind.FILE and config.content.size:
        _keep(kernel, _CONFIG, config.content, store, decompress=False)
        modes[_CONFIG] = config.mode
    record = json.dumps(modes, sort_keys=True).encode()
    # Last, so that whoever finds this record finds all of the parts.
    store.set_derived(kernel.key, _FORM, store.put(record), len(record))


def modules(kernel: Kernel, tree: Tree, scratch: BinaryIO) -> Iterator[Entry]:
    """The objects of the image's ``kernel.tar``, which is copied to ``scratch``; maybe none."""
    if kernel.tar in {"", "none"}:
        return iter(())
    scratch.writelines(_file(tree, kernel.tar, kernel).content.chunks())
    scratch.flush()
    return tar.read(scratch.fileno())


def _file(tree: Tree, path: str, kernel: Kernel) -> Entry:
    entry = tree.get(path)
    if entry is None or entry.kind is not Kind.FILE:
        names = [e.path for e in tree.entries() if e.kind is Kind.FILE and "/" not in e.path]
        shown = ", ".join(printable(name) for name in names[:12]) or "no files"
        raise Error(
            "LK0706",
            f'the kernel image {kernel.origin.source} has no file "{printable(path)}"',
            hint=suggestion(path, names) or f"at its root it has: {shown}",
        )
    return entry


def _keep(
    kernel: Kernel, role: str, content: Content, store: Store, *, decompress: bool
) -> None:
    with store.writer() as out:
        if decompress:
            _decompress(content, store, out)
        else:
            for chunk in content.chunks():
                out.write(chunk)
    store.set_derived(kernel.key, role, out.digest, out.size)


def _decompress(content: Content, store: Store, out: BlobWriter) -> None:
    """Undo gzip, or take the payload out of a bzImage (Documentation/arch/x86/boot, 2.08)."""
    with store.temporary() as scratch:
        scratch.writelines(content.chunks())
        scratch.flush()
        unpack(scratch, content.size, store, out)


def unpack(source: BinaryIO, size: int, store: Store, out: Sink) -> None:
    """Write the kernel in ``source``, which has ``size`` bytes, to ``out`` without compression.

    Raises LK0707.
    """
    offset, left = _payload(source, size)
    with store.temporary() as payload:
        source.seek(offset)
        while left:
            chunk = source.read(min(left, CHUNK))
            if not chunk:
                break
            payload.write(chunk)
            left -= len(chunk)
        payload.seek(0)
        try:
            compress.spool(payload, out)
        except Error as error:
            raise Error(
                "LK0707", "the kernel cannot be decompressed", detail=error.message
            ) from error


_SETUP_SECTS, _MAGIC, _VERSION, _PAYLOAD = 0x1F1, 0x202, 0x206, 0x248


def _payload(scratch: BinaryIO, size: int) -> tuple[int, int]:
    scratch.seek(0)
    head = scratch.read(0x260)
    if head[_MAGIC : _MAGIC + 4] != b"HdrS" or len(head) < 0x260:  # noqa: PLR2004 - as read
        return 0, size
    (version,) = struct.unpack_from("<H", head, _VERSION)
    if version < 0x208:  # noqa: PLR2004 - the protocol version that brought payload_offset
        raise Error("LK0707", "the kernel's boot protocol is older than 2.08")
    offset, length = struct.unpack_from("<II", head, _PAYLOAD)
    sectors = head[_SETUP_SECTS] or 4
    start = (sectors + 1) * 512 + offset
    scratch.seek(start)
    # The kernel's build appends the uncompressed length in four bytes, but for gzip, which ends
    # with it anyway (scripts/Makefile.lib, size_append).
    gzip = scratch.read(2) == b"\x1f\x8b"
    payload = length if gzip else length - 4
    if payload <= 0 or start + payload > size:
        raise Error("LK0707", "the kernel's header points outside of the file")
    return start, payload
