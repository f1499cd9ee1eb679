"""Merging against a model that is too simple to be wrong: a flat table of names."""

from __future__ import annotations

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from linuxkit.tree.entry import Entry, Kind
from linuxkit.tree.merge import Tree
from support.archives import file, folder, hardlink, refusal, symlink


class RefusedError(Exception):
    pass


class Model:
    """Names to objects; an object is [kind, text] and shared by its hard links.

    Symbolic links are leaves here; going through them has tests of its own.
    """

    def __init__(self) -> None:
        self.table: dict[str, list[str]] = {}

    def drop(self, path: str) -> None:
        for name in [n for n in self.table if n == path or n.startswith(f"{path}/")]:
            del self.table[name]

    def parents(self, path: str) -> list[str]:
        parts = path.split("/")
        return ["/".join(parts[:n]) for n in range(1, len(parts))]

    def lookup(self, path: str) -> list[str] | None:
        for parent in self.parents(path):
            if parent not in self.table:
                return None
            if self.table[parent][0] != "dir":
                raise RefusedError
        return self.table.get(path)

    def add(self, entry: Entry) -> None:
        for parent in self.parents(entry.path):
            if self.table.setdefault(parent, ["dir", ""])[0] != "dir":
                raise RefusedError
        thing = [entry.kind.value, entry.link or str(entry.mode)]
        if entry.kind is Kind.HARDLINK:
            found = self.lookup(entry.link)
            if found is None or found[0] == "dir" or entry.link == entry.path:
                raise RefusedError
            thing = found if found[0] == "file" else list(found)
        old = self.table.get(entry.path)
        if old is not None and not (old[0] == thing[0] == "dir"):
            self.drop(entry.path)
        self.table[entry.path] = thing

    def apply(self, layer: list[Entry]) -> None:
        own = []
        for entry in layer:
            parent, _, name = entry.path.rpartition("/")
            if not name.startswith(".wh."):
                own.append(entry)
            elif name == ".wh..wh..opq":
                self.lookup(f"{parent}/x" if parent else "x")
                for path in [n for n in self.table if not parent or n.startswith(f"{parent}/")]:
                    self.table.pop(path, None)
            else:
                hidden = f"{parent}/{name[4:]}" if parent else name[4:]
                self.lookup(hidden)
                self.drop(hidden)
        for entry in own:
            self.add(entry)

    def rows(self) -> list[tuple[str, str, str]]:
        first: dict[int, str] = {}
        rows = []
        for path in sorted(self.table, key=lambda name: name.split("/")):
            kind, text = self.table[path]
            origin = first.setdefault(id(self.table[path]), path)
            rows.append((path, kind, text) if origin == path else (path, "hardlink", origin))
        return rows


part = st.sampled_from("abc")
names = st.lists(part, min_size=1, max_size=3).map("/".join)
folders = st.lists(part, max_size=2).map(lambda parts: "".join(f"{p}/" for p in parts))
modes = st.integers(0, 3)
entries = st.one_of(
    st.builds(file, names, mode=modes),
    st.builds(folder, names, mode=st.just(0)),
    st.builds(symlink, names.map(lambda name: f"{name}l"), st.just("a")),
    st.builds(hardlink, names, names),
    st.builds(hardlink, names, names.map(lambda name: f"{name}l")),
    st.builds(lambda at, name: file(f"{at}.wh.{name}"), folders, part),
    st.builds(lambda at: file(f"{at}.wh..wh..opq"), folders),
)
layers = st.lists(st.lists(entries, max_size=8), max_size=4)


def rows_of(tree: Tree) -> list[tuple[str, str, str]]:
    rows = []
    for e in tree.entries():
        text = e.link or str(e.mode)
        rows.append((e.path, e.kind.value, "" if e.kind is Kind.DIR else text))
    return rows


@settings(max_examples=600)
@given(layers)
def test_tree_does_as_the_model(stack):
    tree, model = Tree(), Model()
    for layer in stack:
        try:
            model.apply(layer)
        except RefusedError:
            error = refusal(partial(tree.apply, layer))
            assert error is not None, "the model refuses, the tree does not"
            assert error.code in {"LK0607", "LK0608"}
            return
        tree.apply(layer)
    expected = [(p, k, "" if k == "dir" else t) for p, k, t in model.rows()]
    assert rows_of(tree) == expected
    assert len(tree) == len(expected)
    for path, _, _ in expected:
        assert tree.get(path).path == path


links = st.builds(
    symlink,
    names,
    st.lists(st.sampled_from(["a", "b", "c", "..", ".", ""]), min_size=1, max_size=4)
    .map("/".join)
    .filter(bool),
)


@settings(max_examples=300)
@given(st.lists(st.lists(entries | links, max_size=8), max_size=4))
def test_links_never_lead_out(stack):
    tree = Tree()
    for layer in stack:
        error = refusal(partial(tree.apply, layer))
        assert error is None or error.code in {"LK0607", "LK0608"}
    seen: set[str] = set()
    for entry in tree.entries():
        parent, _, name = entry.path.rpartition("/")
        assert not parent or parent in seen
        assert name in {"a", "b", "c", "al", "bl", "cl"}
        if entry.kind is Kind.HARDLINK:
            assert entry.link in seen
            assert tree.get(entry.link).kind is not Kind.DIR
        if entry.kind is Kind.DIR:
            seen.add(entry.path)
        seen.add(entry.path)
    assert len(seen) == len(tree)
