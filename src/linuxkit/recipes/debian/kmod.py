"""Kernel modules: which ones a list of names needs, and the text indices that loaders read.

Needs come from each module's ``.modinfo`` section (``depends``, ``softdep``); the indices are
those of ``depmod(8)`` in their text form (``modules.dep(5)``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable, raise_all, suggestion
from linuxkit.recipes.debian import elf
from linuxkit.tree.entry import Bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")
# A soft dependency may name what a cipher or checksum is called; such aliases live here.
_ALGORITHMS = ("kernel/crypto/", "kernel/lib/", "kernel/arch/")


class Module(NamedTuple):
    """A module taken apart."""

    path: str  # below ``lib/modules/VERSION``, ending in ``.ko``
    data: bytes  # not compressed; a signature stays at its end
    depends: tuple[str, ...]
    softdeps: tuple[str, ...]  # as written, such as ``pre: a post: b``
    aliases: tuple[str, ...]


def name_of(path: str) -> str | None:
    """The name of the module at ``path`` (dashes count as underscores); None for other files."""
    base = path.rpartition("/")[2]
    for suffix in _SUFFIXES:
        if base.endswith(suffix):
            return _plain(base.removesuffix(suffix))
    return None


def _plain(name: str) -> str:
    return name.replace("-", "_")


class Catalog:
    """The modules of one kernel: found by name, opened when asked for."""

    def __init__(
        self,
        files: Mapping[str, Callable[[], bytes]],
        builtin: Iterable[str],
        builtin_info: bytes = b"",
    ) -> None:
        """``files`` maps paths below ``lib/modules/VERSION`` to what reads them, decompressed.

        ``builtin`` are the lines of ``modules.builtin``, ``builtin_info`` is
        ``modules.builtin.modinfo``.
        """
        self._files = files
        self._paths = {name: path for path in sorted(files) if (name := name_of(path))}
        self.builtin = {name for line in builtin if (name := name_of(line.strip()))}
        self._builtin_aliases = {
            _plain(value.decode(errors="replace"))
            for item in builtin_info.split(b"\0")
            for key, _, value in (item.partition(b"="),)
            if key.endswith(b".alias")
        }
        self._opened: dict[str, Module] = {}
        self._algorithms: dict[str, list[str]] | None = None

    def module(self, name: str) -> Module:
        """Open the module ``name``.  Raises LK0520 when it is damaged."""
        if name not in self._opened:
            path = self._paths[name]
            self._opened[name] = _module(path, self._files[path]())
        return self._opened[name]

    def closure(self, wanted: Sequence[str]) -> dict[str, Module]:
        """Every module that loading ``wanted`` takes, by name; built-in ones take none.

        Raises LK0532 for each name the kernel does not have.
        """
        errors: list[Error] = []
        todo: list[str] = []
        for name in map(_plain, wanted):
            if name in self._paths:
                todo.append(name)
            elif name not in self.builtin and name not in self._builtin_aliases:
                known = (*self._paths, *self.builtin)
                hint = suggestion(name, known)
                text = f'this kernel has no module "{printable(name, 80)}"'
                errors.append(Error("LK0532", text, hint=hint))
        raise_all(errors)
        found: dict[str, Module] = {}
        while todo:
            name = todo.pop()
            if name not in found:
                found[name] = self.module(name)
                todo += self._needs(found[name])
        return dict(sorted(found.items()))

    def _needs(self, module: Module) -> list[str]:
        names = []
        for name in module.depends:
            if name in self.builtin:
                continue
            if name not in self._paths:
                text = f"{module.path} needs the module {printable(name, 80)}, which is not there"
                raise Error("LK0533", text)
            names.append(name)
        for softdep in module.softdeps:
            for name in _before(softdep):
                names += self._soft(name)
        return names

    def _soft(self, name: str) -> list[str]:
        """What a soft dependency means; it may be built in, an algorithm, or nothing we have."""
        if name in self._paths:
            return [name]
        if name in self.builtin or name in self._builtin_aliases:
            return []
        if self._algorithms is None:
            self._algorithms = {}
            for own, path in self._paths.items():
                if path.startswith(_ALGORITHMS):
                    for alias in self.module(own).aliases:
                        self._algorithms.setdefault(_plain(alias), []).append(own)
        return self._algorithms.get(name, [])


def _module(path: str, data: bytes) -> Module:
    info: dict[str, list[str]] = {}
    for item in elf.section(Bytes(data), ".modinfo").split(b"\0"):
        key, equals, value = item.partition(b"=")
        if equals:
            info.setdefault(key.decode(errors="replace"), []).append(value.decode(errors="replace"))
    depends = (name for text in info.get("depends", ()) for name in text.split(",") if name)
    stem = path[: path.rindex(".ko")]
    return Module(
        stem + ".ko", data, tuple(map(_plain, depends)),
        tuple(info.get("softdep", ())), tuple(info.get("alias", ())),
    )  # fmt: skip


def _before(softdep: str) -> list[str]:
    names: list[str] = []
    pre = False
    for word in softdep.split():
        if word.endswith(":"):
            pre = word == "pre:"
        elif pre:
            names.append(_plain(word))
    return names


def indices(modules: Mapping[str, Module], order: Sequence[str]) -> dict[str, bytes]:
    """``modules.dep``, ``.alias``, ``.softdep`` and ``.order`` for ``modules``.

    ``order`` are the lines of the kernel's own ``modules.order``.  In ``modules.dep`` a module
    stands before those it needs, so that a loader works through a line from its end.
    """
    by_path = sorted((module.path, name, module) for name, module in modules.items())
    kept = {path for path, _, _ in by_path}
    places = {_stem(line): i for i, line in enumerate(order)}
    last = len(places)
    dep = [f"{path}:{_needed(name, modules)}" for path, name, _ in by_path]
    alias = [f"alias {a} {name}" for _, name, module in by_path for a in module.aliases]
    soft = [f"softdep {name} {s}" for _, name, module in by_path for s in module.softdeps]
    listed = sorted(kept, key=lambda path: (places.get(_stem(path), last), path))
    lines = {"dep": dep, "alias": alias, "softdep": soft, "order": listed}
    return {f"modules.{k}": "".join(f"{line}\n" for line in v).encode() for k, v in lines.items()}


def _stem(path: str) -> str:
    return path.strip().rpartition(".ko")[0] if ".ko" in path else path.strip()


def _needed(name: str, modules: Mapping[str, Module]) -> str:
    seen = {name}
    done: list[str] = []

    def visit(one: str) -> None:
        for other in modules[one].depends:
            if other in modules and other not in seen:
                seen.add(other)
                visit(other)
                done.append(other)

    visit(name)
    return "".join(f" {modules[other].path}" for other in reversed(done))
