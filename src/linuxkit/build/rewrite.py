"""An image's tree made fit to be a container's root, or part of the system's root.

The rules are upstream's (what Docker adds to a container goes, what every root needs comes);
an object that the image has of its own keeps its metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.build.plan import EPOCH, Item, Origin
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from linuxkit.build.plan import Target
    from linuxkit.tree.merge import Tree

HOSTS = b"""\
127.0.0.1       localhost
::1     localhost ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff00::0 ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
"""
RESOLV_CONF = b"\n# no resolv.conf configured\n"
RESOLV_LINK = "/run/resolvconf/resolv.conf"

_HOSTS = Entry("etc/hosts", Kind.FILE, 0o644, mtime=EPOCH, content=Bytes(HOSTS))
_RESOLV_CONF = Entry("etc/resolv.conf", Kind.FILE, 0o644, mtime=EPOCH, content=Bytes(RESOLV_CONF))
_RESOLV_LINK = Entry("etc/resolv.conf", Kind.SYMLINK, 0o644, mtime=EPOCH, link=RESOLV_LINK)

_DROPPED = (".dockerenv", "Dockerfile", "dev/console", "dev/pts", "dev/shm", "etc/hostname")
_DIRECTORIES = ("dev", "dev/pts", "dev/shm", "etc", "proc", "sys")
# A link in place of one of these makes an OCI runtime write outside the root
# (runc CVE-2026-41579), so such an image is refused.
_MUST_BE_DIRECTORIES = ("dev", "etc", "proc", "sys", "run")


def rewrite(tree: Tree, *, resolv_link: bool, complete: bool) -> None:
    """Apply the rules to ``tree`` in place.

    ``complete`` adds the directories and files that every root needs where the image has none;
    the system's root has them before any image comes (:func:`base_items`).  Raises LK0703 when one
    of them is no directory.
    """
    for path in _MUST_BE_DIRECTORIES:
        entry = tree.get(path)
        if entry is not None and entry.kind is not Kind.DIR:
            raise Error(
                "LK0703",
                f"the image has a {entry.kind} at /{path}, where a directory must be",
                hint="images with links at /dev, /etc, /proc, /sys or /run are not safe to run",
                detail=f"it points to {printable(entry.link)}" if entry.link else "",
            )
    for path in _DROPPED:
        tree.remove(path)
    if complete:
        for path in _DIRECTORIES:
            if tree.get(path) is None:
                tree.add(Entry(path, Kind.DIR, 0o755, mtime=EPOCH))
        if tree.get("etc/mtab") is None:
            tree.add(Entry("etc/mtab", Kind.SYMLINK, 0o755, mtime=EPOCH, link="/proc/mounts"))
    for entry in (_HOSTS, _RESOLV_LINK if resolv_link else _RESOLV_CONF):
        if complete:
            tree.add(entry)
        else:
            tree.remove(entry.path)  # the system's own is there already, see base_items


def base_items(origin: Origin) -> tuple[Item, ...]:
    """What the system's own root needs; its init images, which come later, may override it."""
    directories = tuple(Item(path, "dir", 0o755, origin) for path in _DIRECTORIES)
    return (
        *directories,
        Item("etc/hosts", "file", 0o644, origin, HOSTS),
        Item("etc/mtab", "symlink", 0o755, origin, link="/proc/mounts"),
        Item("etc/resolv.conf", "symlink", 0o644, origin, link=RESOLV_LINK),
    )


def add_targets(tree: Tree, targets: Iterable[Target]) -> None:
    """Make what is mounted upon in a root that cannot be written to, where it is not there."""
    for path, kind in targets:
        if tree.get(path) is None:
            mode = 0o755 if kind == "dir" else 0o644
            tree.add(Entry(path, Kind(kind), mode, mtime=EPOCH))


def place(tree: Tree, prefix: str, first_id: int = 0) -> Iterator[Entry]:
    """The tree's entries under ``prefix`` ("" leaves them where they are).

    ``first_id`` is added to every owner.
    """
    if not prefix:
        yield from tree.entries()
        return
    for entry in tree.entries():
        placed = entry._replace(
            path=f"{prefix}/{entry.path}", uid=entry.uid + first_id, gid=entry.gid + first_id
        )
        if entry.kind is Kind.HARDLINK:
            placed = placed._replace(link=f"{prefix}/{entry.link}")
        yield placed
