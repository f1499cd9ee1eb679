"""Entries that change or remove one of an earlier file: ``override: true``, ``remove: true``.

They are applied to the trees of nodes, so that every key keeps the place where it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.spec.node import Mapping, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from linuxkit.spec.node import Node

# The key that tells entries of a section apart, and what messages call one of them.
_SECTIONS = {
    "volumes": ("name", "volume"),
    "onboot": ("name", "onboot entry"),
    "onshutdown": ("name", "onshutdown entry"),
    "services": ("name", "service"),
    "files": ("path", "file"),
}
_OVERRIDE, _REMOVE = "override", "remove"
_NESTED = frozenset({"runtime", "bindNS"})  # their keys are replaced one by one, as over a label
_CONTENTS = frozenset({"contents", "source", "metadata", "directory", "symlink"})


class _Slot(NamedTuple):
    """Where an entry stands; what is removed leaves None behind."""

    entries: list[Node | None]
    position: int


def apply(roots: Iterable[Node], errors: list[Error]) -> None:
    """Apply what each of ``roots`` says about entries of those before it.

    Adds to ``errors``: LK0204 for a value that is no truth value, LK0212 for both keys in one
    entry, LK0221 for a change to what is not there, or is there several times.
    """
    maps = [root for root in roots if isinstance(root, Mapping)]
    for section in _SECTIONS:
        if any(_is_patch(entry) for root in maps for entry in _entries(root, section)):
            _Section(section, errors).run(maps)


def _entries(root: Mapping, section: str) -> list[Node]:
    found = root.items.get(section)
    return found[1].items if found and isinstance(found[1], Sequence) else []


def _is_patch(entry: Node) -> bool:
    return isinstance(entry, Mapping) and (_OVERRIDE in entry.items or _REMOVE in entry.items)


class _Section:
    """The entries of one section over all documents."""

    def __init__(self, section: str, errors: list[Error]) -> None:
        self._section = section
        self._key, self._word = _SECTIONS[section]
        self._errors = errors
        self._known: dict[str, list[_Slot]] = {}

    def run(self, roots: Iterable[Mapping]) -> None:
        done: list[tuple[Mapping, list[Node | None]]] = []
        for root in roots:
            entries: list[Node | None] = [
                _without(entry)
                for entry in _entries(root, self._section)
                if not isinstance(entry, Mapping) or not self._patched(entry)
            ]
            for index, kept in enumerate(entries):
                if kept is not None and (name := self._name(kept)) is not None:
                    self._known.setdefault(name, []).append(_Slot(entries, index))
            done.append((root, entries))
        for root, entries in done:
            _replace(root, self._section, [entry for entry in entries if entry is not None])

    def _patched(self, entry: Mapping) -> bool:
        """Whether ``entry`` was about an earlier one, which has been changed if that can be."""
        override, remove = (self._truth(entry, key) for key in (_OVERRIDE, _REMOVE))
        if override and remove:
            where = entry.items[_REMOVE][0].where
            self._errors.append(
                Error("LK0212", f"the {self._word} has both {_OVERRIDE} and {_REMOVE}",
                      hint="keep one of them", where=where)
            )  # fmt: skip
        elif override or remove:
            self._apply(entry, remove=remove)
        return override or remove

    def _apply(self, entry: Mapping, *, remove: bool) -> None:
        name = self._name(entry)
        if name is None:
            message = f'the {self._word} has no "{self._key}"'
            hint = "it says which earlier one is meant"
            self._errors.append(Error("LK0205", message, hint=hint, where=entry.where))
            return
        slot = self._find(entry, name)
        if slot is not None:
            self._change(slot, entry, name, remove=remove)

    def _truth(self, entry: Mapping, key: str) -> bool:
        if key not in entry.items:
            return False
        value = entry.items[key][1]
        truth = value.boolean if isinstance(value, Scalar) else None
        if truth is None:
            message = f"{key} must be true or false, not {value.kind}"
            self._errors.append(Error("LK0204", message, where=value.where))
        return bool(truth)

    def _name(self, entry: Node) -> str | None:
        found = entry.items.get(self._key) if isinstance(entry, Mapping) else None
        if found is None or not isinstance(found[1], Scalar):
            return None
        return found[1].value.strip("/") if self._section == "files" else found[1].value

    def _find(self, entry: Mapping, name: str) -> _Slot | None:
        slots = self._known.get(name, [])
        if len(slots) == 1:
            return slots[0]
        shown = printable(name)
        article = "an" if self._word[0] == "o" else "a"
        if slots:
            message = f'several earlier entries of {self._section} are called "{shown}"'
            hint = "rename one of them, so that it is clear which one is meant"
        else:
            message = f'no earlier file has {article} {self._word} called "{shown}"'
            hint = suggestion(name, self._known)
        where = entry.items[self._key][1].where
        self._errors.append(Error("LK0221", message, hint=hint, where=where))
        return None

    def _change(self, slot: _Slot, entry: Mapping, name: str, *, remove: bool) -> None:
        before = slot.entries[slot.position]
        if remove:
            more = sorted(set(entry.items) - {self._key, _REMOVE, _OVERRIDE})
            if more:
                message = f'{_REMOVE} and "{printable(more[0])}" exclude each other'
                where = entry.items[more[0]][0].where
                self._errors.append(Error("LK0212", message, where=where))
            slot.entries[slot.position] = None
            del self._known[name]
        elif isinstance(before, Mapping):
            ours = (self._key, _OVERRIDE, _REMOVE)
            slot.entries[slot.position] = _over(before, entry, ours)


def _without(entry: Node) -> Node:
    """An entry without the keys that have been dealt with."""
    if not _is_patch(entry) or not isinstance(entry, Mapping):
        return entry
    plain = Mapping(entry.source, entry.line, entry.column)
    keys = (_OVERRIDE, _REMOVE)
    plain.items = {name: item for name, item in entry.items.items() if name not in keys}
    return plain


def _over(first: Mapping, second: Mapping, ours: Container[str] = ()) -> Mapping:
    """``first`` with the keys of ``second`` but ``ours`` in place of its own; both stay whole."""
    made = Mapping(first.source, first.line, first.column)
    drop = _CONTENTS if not _CONTENTS.isdisjoint(second.items) else frozenset()
    made.items = {name: item for name, item in first.items.items() if name not in drop}
    for name, (key, value) in second.items.items():
        before = made.items.get(name)
        if name in _NESTED and before and isinstance(value, Mapping):
            inner = before[1]
            if isinstance(inner, Mapping):
                made.items[name] = (key, _over(inner, value))
                continue
        if name not in ours:
            made.items[name] = (key, value)
    return made


def _replace(root: Mapping, section: str, entries: list[Node]) -> None:
    """Give ``root`` a list of its own; the old one may also stand elsewhere, behind an alias."""
    found = root.items.get(section)
    if found and isinstance(found[1], Sequence):
        made = Sequence(found[1].source, found[1].line, found[1].column)
        made.items = entries
        root.items[section] = (found[0], made)
