"""The root that the commands of ``build:`` see: Debian packages as data, and links of ours.

Made once for each set of packages and kept in the cache; running commands is left to ``sandbox``.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest, events, files
from linuxkit.recipes import sandbox, unpack
from linuxkit.recipes.debian.select import DOCUMENTS, Kept
from linuxkit.recipes.debian.unpacked import unpacked
from linuxkit.recipes.glob import matcher
from linuxkit.recipes.rootfs import Root
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.files import Files
    from linuxkit.recipes.debian.lock import Deb
    from linuxkit.recipes.debian.pool import Pool

FORM = 1  # raise it when the same packages start to give another root

# What every Debian system has (Essential: yes) and no package depends on, as far as builds use it.
ESSENTIAL = (
    "base-files", "bash", "coreutils", "dash", "debianutils", "diffutils", "findutils", "grep",
    "gzip", "hostname", "libc-bin", "mawk", "perl-base", "sed", "tar", "util-linux",
)  # fmt: skip

# What update-alternatives would choose: the first of the programs that is there.
_CHOICES = {
    "usr/bin/awk": ("gawk", "mawk"),
    "usr/bin/nawk": ("gawk", "mawk"),
    "usr/bin/cc": ("gcc", "clang"),
    "usr/bin/c++": ("g++", "clang++"),
    "usr/bin/c99": ("c99-gcc",),
    "usr/bin/c89": ("c89-gcc",),
    "usr/bin/yacc": ("bison.yacc", "byacc"),
    "usr/bin/lex": ("flex",),
    "usr/bin/which": ("which.debianutils",),
    "usr/bin/fakeroot": ("fakeroot-sysv", "fakeroot-tcp"),
}
_USERS = (
    "root:x:0:0:root:/root:/bin/sh\n"
    "build:x:1000:1000::/build:/bin/bash\n"
    "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
)
_GROUPS = "root:x:0:\nbuild:x:1000:\nnogroup:x:65534:\n"
_FILES = {
    "etc/passwd": _USERS,
    "etc/group": _GROUPS,
    "etc/hosts": "127.0.0.1 localhost linuxkit\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_MOUNTS = ("build", "dev", "proc", "src", "tmp")


class BuildRoot(NamedTuple):
    """A folder with the root, and the time (Unix seconds) of its newest package."""

    folder: Path
    epoch: int


class Parts(NamedTuple):
    """What a root is made of; ``links`` map paths to their targets."""

    what: str  # it is for, told to the listener
    debs: Sequence[Deb]
    links: Mapping[str, str]


def make(parts: Parts, pool: Pool, store: Store) -> BuildRoot:
    """The root of ``parts``; what is missing of them is fetched.

    Of several processes that want the same one makes it and the others wait.  Raises LK0102 and
    what fetching and unpacking raise.
    """
    value = [FORM, [deb.sha256 for deb in parts.debs], dict(parts.links)]
    key = digest.hex_of(digest.of_value(value))[:32]
    folder = roots(store)
    _private(folder)
    target, stamp = folder / key, folder / f"{key}.epoch"
    with files.locked(folder / f"{key}.lock"):
        try:
            return BuildRoot(target, int(stamp.read_text()))
        except (FileNotFoundError, ValueError):
            pass
        pool.fetch(parts.debs, parts.what)
        epoch = _write(parts, pool, store, target)
        files.write(stamp, f"{epoch}\n".encode())
    return BuildRoot(target, epoch)


def roots(store: Store) -> Path:
    """Where build roots are kept."""
    return store.root / "linuxkit" / "roots"


def _private(folder: Path) -> None:
    """A folder that only we may look into: what lies there is believed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise files.os_error(error, "make", folder) from error


def _write(parts: Parts, pool: Pool, store: Store, target: Path) -> int:
    with (
        events.task("unpack", f"build root of {parts.what}", unit=""),
        unpacked(parts.debs, pool, store) as found,
    ):
        entries = tree(found, parts.links)
        try:
            if target.exists():  # half of one: its maker was ended
                shutil.rmtree(target)
            target.mkdir(mode=0o755)
            target.chmod(0o755)
            unpack.write(entries, target, sandbox.owner())
            # The stamp, which says that all is there, must not outlive a power cut alone.
            files.sync_file_system(target)
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            raise files.os_error(error, "write", target) from error
        return found.epoch


def tree(found: Files, links: Mapping[str, str]) -> Sequence[Entry]:
    """What the root holds.  Raises LK0535."""
    unwanted = matcher([f"{name}/**" for name in DOCUMENTS])
    kept = Kept(frozenset(path for path in found.entries if not unwanted(path)), frozenset())
    root = Root(found.epoch, usr_merge=True)
    root.add_debs(found, kept)
    for path, text in _FILES.items():
        content = Bytes(text.encode())
        root.add(Entry(path, Kind.FILE, 0o644, mtime=found.epoch, content=content))
    for path, choices in _CHOICES.items():
        chosen = next((name for name in choices if f"usr/bin/{name}" in found.entries), None)
        if chosen and path not in found.entries:
            root.add(Entry(path, Kind.SYMLINK, 0o777, mtime=found.epoch, link=chosen))
    for name in _MOUNTS:
        root.add(Entry(name, Kind.DIR, 0o755, mtime=found.epoch))
    for path, link in sorted(links.items()):
        root.add(Entry(path.strip("/"), Kind.SYMLINK, 0o777, mtime=found.epoch, link=link))
    root.link_usr(found, ())
    return root.entries()
