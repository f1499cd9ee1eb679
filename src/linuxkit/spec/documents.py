"""The documents that make up a configuration: the user's files, each after what it includes.

They are read and parsed here, and their ``include`` and ``variables`` taken off; what else they
say is left to :mod:`linuxkit.spec.decode`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable
from linuxkit.spec import yaml
from linuxkit.spec.decode import collect
from linuxkit.spec.inputs import STDIN, Input
from linuxkit.spec.model import Spec
from linuxkit.spec.node import Mapping, find

if TYPE_CHECKING:
    from linuxkit.spec.inputs import Remote
    from linuxkit.spec.node import Node

DEPTH_LIMIT = 16
COUNT_LIMIT = 100
_HEAD = ("include", "variables")


class Document(NamedTuple):
    """A parsed text without its head; ``variables`` is the map that it declares them in."""

    input: Input
    root: Node
    variables: Mapping | None


class Gatherer:
    """Collects documents in the order of merging, and what was wrong with them."""

    def __init__(self, *, stdin: bytes | None, remote: Remote, errors: list[Error]) -> None:
        self.documents: list[Document] = []
        self._stdin = stdin
        self._remote = remote
        self._errors = errors
        self._open: list[str] = []  # identities of what is being read, the outermost first
        self._known: set[str] = set()
        self._included = 0  # characters

    def add(self, given: Input) -> None:
        """Read ``given``, with all that it includes."""
        try:
            text = given.read(stdin=self._stdin, remote=self._remote)
        except Error as error:
            self._errors.append(error)
        else:
            self.add_text(given, text)

    def add_text(self, given: Input, text: str) -> None:
        """As :meth:`add`, for a text that is at hand."""
        try:
            root = yaml.parse(text, given.name)
        except Error as error:
            self._errors.append(error)
            return
        head = _take_head(root)
        spec = collect(head, Spec, self._errors, given.name)
        self._known.add(given.identity)
        self._open.append(given.identity)
        for index, name in enumerate((spec and spec.include) or ()):
            self._include(given, name, find(head, ("include", index)) or root)
        self._open.pop()
        declared = find(head, ("variables",)) if spec else None
        variables = declared if isinstance(declared, Mapping) else None
        self.documents.append(Document(given, root, variables))

    def _include(self, outer: Input, text: str, place: Node) -> None:
        try:
            inner = outer.beside(text)
            self._refuse(inner, text)
            if inner.identity in self._known:
                return  # two files may include a third one
            content = inner.read(stdin=None, remote=self._remote, where=place.where)
            self._included += len(content)
            if self._included > yaml.TEXT_LIMIT:
                limit = yaml.TEXT_LIMIT >> 20
                raise Error("LK0202", f"included files have more than {limit} Mi characters")  # noqa: TRY301
        except Error as error:
            error.where = error.where or place.where
            self._errors.append(error)
        else:
            self.add_text(inner, content)

    def _refuse(self, inner: Input, text: str) -> None:
        """Raise LK0219 for what is no honest include."""
        shown = f'"{printable(text)}"'
        if inner.address == STDIN:
            raise Error("LK0219", "standard input cannot be included", hint="name a file")
        if inner.identity in self._open:
            raise Error("LK0219", f"{shown} includes itself", hint="leave one of the includes out")
        if len(self._open) >= DEPTH_LIMIT:
            raise Error("LK0219", f"{shown} is included more than {DEPTH_LIMIT} deep")
        if len(self._known) >= COUNT_LIMIT:
            raise Error("LK0219", f"more than {COUNT_LIMIT} files are included")


def _take_head(root: Node) -> Mapping:
    """Take the keys off ``root`` that are about the file itself."""
    head = Mapping(root.source, root.line, root.column)
    if isinstance(root, Mapping):
        head.items = {name: root.items.pop(name) for name in _HEAD if name in root.items}
    return head
