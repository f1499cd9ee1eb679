"""A Debian kernel package taken apart: the kernel, its configuration, and the modules asked for.

Knows both layouts: ``/boot/vmlinuz-VERSION`` (up to 6.x) and ``usr/lib/modules/VERSION/vmlinuz``.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.recipes.debian import kmod
from linuxkit.recipes.glob import matcher
from linuxkit.tree import compress
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from linuxkit.recipes.debian.control import Index, Package
    from linuxkit.recipes.debian.files import Files

_IMAGE = re.compile(r"boot/vmlinu[xz]-([^/]+)|usr/lib/modules/([^/]+)/vmlinu[xz]")
_PARTS = ("linux-image-", "linux-binary-", "linux-modules-", "linux-base-")
_TREES = "boot/dtb"


class Kernel(NamedTuple):
    """What a kernel image is made of."""

    version: str
    image: Entry
    config: Entry | None
    modules: tuple[Entry, ...]  # the tree ``lib/modules/VERSION``, parents first
    trees: tuple[Entry, ...]  # device trees below ``boot/dtb``, where upstream's kernels have them


def packages(index: Index, name: str, arch: str) -> tuple[Package, ...]:
    """The packages that hold the kernel ``name``, following its dependencies of that family only.

    What a Debian system has around a kernel (initramfs tools and so on) is not wanted here.
    Raises LK0502.
    """
    found: dict[str, Package] = {}
    todo = [name]
    while todo:
        one = todo.pop()
        package = index.candidate(one)
        if package is None:
            raise Error("LK0502", f'Debian has no kernel package "{one}" for {arch}')
        if one not in found:
            found[one] = package
            names = (relation.name for group in package.depends for relation in group)
            todo += [n for n in names if n.startswith(_PARTS) and index.candidate(n) is not None]
    return tuple(found[one] for one in sorted(found))


def take(files: Files, wanted: Sequence[str], trees: Sequence[str] = ()) -> Kernel:
    """The kernel in ``files``, with the modules ``wanted`` and what they need.

    ``trees`` are patterns of device trees, such as ``broadcom/*.dtb``.  Raises LK0529 when there is
    not exactly one kernel, LK0532 for unknown modules, LK0526 for a pattern that fits nothing.
    """
    version, image = _image(files)
    root = f"usr/lib/modules/{version}/"
    config = files.file(f"boot/config-{version}") or files.file(f"{root}config")
    readers = {
        path.removeprefix(root): _reader(files, path)
        for path in files.entries
        if path.startswith(root) and kmod.name_of(path) and files.file(path)
    }
    builtin = _text(files, f"{root}modules.builtin")
    catalog = kmod.Catalog(
        readers, builtin.decode().splitlines(), _text(files, f"{root}modules.builtin.modinfo")
    )
    modules = catalog.closure(wanted)
    order = _text(files, f"{root}modules.order").decode().splitlines()
    made = {f"{path}": data for path, data in kmod.indices(modules, order).items()}
    made["modules.builtin"] = builtin
    made.update({module.path: module.data for module in modules.values()})
    found = _device_trees(files, version, trees)
    return Kernel(
        version, image, config, tuple(_tree(f"lib/modules/{version}", made, files.epoch)),
        tuple(_tree(_TREES, found, files.epoch)) if found else (),
    )  # fmt: skip


def _device_trees(files: Files, version: str, patterns: Sequence[str]) -> dict[str, bytes]:
    """The device trees that fit, by their path in the folder that Debian has for them."""
    roots = (f"usr/lib/linux-image-{version}/", f"usr/lib/modules/{version}/dtb/")
    known = {
        path.removeprefix(root): path
        for root in roots for path in files.entries
        if path.startswith(root) and path.endswith(".dtb")
    }  # fmt: skip
    for pattern in patterns:
        if not any(map(matcher([pattern]), known)):
            text = f'`device-trees` has "{printable(pattern)}", which fits none of this kernel'
            raise Error("LK0526", text)
    fits = matcher(patterns)
    return {path: _text(files, where) for path, where in sorted(known.items()) if fits(path)}


def contributes(path: str) -> bool:
    """Whether a file with this path can be part of what :func:`take` answers."""
    beside = path.startswith("usr/lib/modules/") and path.count("/") >= 4  # noqa: PLR2004
    names = "boot/vmlinu", "boot/config-", "usr/lib/linux-image-"
    return beside or path.startswith(names)


def _image(files: Files) -> tuple[str, Entry]:
    found = {
        match[1] or match[2]: entry
        for path in sorted(files.entries)
        if (match := _IMAGE.fullmatch(path)) and (entry := files.file(path))
    }
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise Error("LK0529", f"one kernel is needed; the packages have {names}")
    return found.popitem()


def _text(files: Files, path: str) -> bytes:
    entry = files.file(path)
    return b"".join(entry.content.chunks()) if entry else b""


def _reader(files: Files, path: str) -> Callable[[], bytes]:
    def read() -> bytes:
        data = _text(files, path)
        if path.endswith(".ko"):
            return data
        out = io.BytesIO()
        compress.spool(io.BytesIO(data), out)
        return out.getvalue()

    return read


def _tree(root: str, made: dict[str, bytes], mtime: int) -> list[Entry]:
    folders = {""}
    for path in made:
        parts = path.split("/")[:-1]
        folders |= {"/".join(parts[: i + 1]) for i in range(len(parts))}
    above = [root[:at] for at, sign in enumerate(root) if sign == "/"]
    entries = [Entry(path, Kind.DIR, 0o755, mtime=mtime) for path in above]
    entries += [Entry(f"{root}/{f}".rstrip("/"), Kind.DIR, 0o755, mtime=mtime) for f in folders]
    entries += [
        Entry(f"{root}/{path}", Kind.FILE, 0o644, mtime=mtime, content=Bytes(data))
        for path, data in made.items()
    ]
    return sorted(entries, key=lambda entry: entry.path)
