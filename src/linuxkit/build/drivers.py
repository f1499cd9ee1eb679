"""What a system's kernel can drive, and which modules a driver takes: read from its module tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.tree import tar
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO

    from linuxkit.tree.entry import Entry

SEGMENT = "kernel modules"
_PREFIX = "lib/modules/"
_MAX_INDEX = 16 << 20


class Drivers(NamedTuple):
    """The drivers of one kernel, by name with underscores.

    A kernel whose image has no module tree is taken to have everything built in: nothing there
    says what it has.
    """

    builtin: frozenset[str]
    files: Mapping[str, Entry]  # modules by name
    needs: Mapping[str, tuple[str, ...]]  # what modules.dep names, nearest first
    before: Mapping[str, tuple[str, ...]]  # what modules.softdep wants loaded first
    known: bool  # False: there is no module tree

    def has(self, name: str) -> bool:
        """Whether the kernel can do it, in one way or the other."""
        return not self.known or name in self.builtin or name in self.files

    def closure(self, names: Iterable[str]) -> tuple[Entry, ...]:
        """The modules to load for ``names``, in that order; what is built in takes none."""
        found: dict[str, Entry] = {}
        above: set[str] = set()

        def take(name: str) -> None:
            if name in above or name in found or name not in self.files:
                return
            above.add(name)  # soft dependencies may run in a circle
            for other in (*self.before.get(name, ()), *reversed(self.needs.get(name, ()))):
                take(other)
            found[name] = self.files[name]

        for name in names:
            take(name)
        return tuple(found.values())


    def under(self, name: str) -> tuple[str, ...]:
        """The modules without which the module ``name`` cannot be loaded."""
        return tuple(other for other in self.needs.get(name, ()) if other in self.files)


NOTHING = Drivers(frozenset(), {}, {}, {}, known=False)
"""What is known of a kernel without a module tree."""


def read(source: BinaryIO) -> Drivers:
    """The drivers in the kernel's segment, which is open as ``source``."""
    entries = [
        entry for entry in tar.read(source.fileno())
        if entry.kind is Kind.FILE and entry.path.startswith(_PREFIX)
    ]  # fmt: skip
    texts = {
        entry.path.rpartition("/")[2]: entry for entry in entries if "/modules." in entry.path
    }
    files = {name_of(entry.path): entry for entry in entries if ".ko" in entry.path}
    needs, before = {}, {}
    for line in _lines(texts.get("modules.dep")):
        path, _, rest = line.partition(":")
        needs[name_of(path)] = tuple(map(name_of, rest.split()))
    for line in _lines(texts.get("modules.softdep")):
        words = line.split()
        if len(words) > 2 and words[0] == "softdep":  # noqa: PLR2004 - "softdep NAME pre: …"
            before[_plain(words[1])] = tuple(_before(words[2:]))
    builtin = frozenset(map(name_of, _lines(texts.get("modules.builtin"))))
    return Drivers(builtin, files, needs, before, known=bool(texts or files))


def name_of(path: str) -> str:
    """``kernel/fs/erofs/erofs.ko.xz`` is the module ``erofs``."""
    return _plain(path.rpartition("/")[2].partition(".ko")[0])


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _before(words: Iterable[str]) -> Iterable[str]:
    before = False
    for word in words:
        if word in ("pre:", "post:"):
            before = word == "pre:"
        elif before:
            yield _plain(word)


def _lines(entry: Entry | None) -> list[str]:
    if entry is None or entry.content.size > _MAX_INDEX:
        return []
    text = b"".join(entry.content.chunks()).decode(errors="replace")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
