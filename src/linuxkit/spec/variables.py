"""Variables: ``${NAME}`` in the texts of a file that declares NAME.

Nothing else that looks like a variable is touched, because files hold shell scripts
(docs/decisions/0001-variables.md).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.spec.node import Scalar, scalars
from linuxkit.spec.yaml import TEXT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from linuxkit.spec.documents import Document

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,127}")
# A default holds no "$" and no brace, so that a search never goes over a text twice.
_USE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*+)(?::-([^${}]*+))?\}")


def substitute(
    documents: Sequence[Document], given: Mapping[str, str], errors: list[Error]
) -> None:
    """Put values in place of the variables that each document declares.

    A value is what was ``given``, else the last default among the documents, else the default
    where it is used.  Adds to ``errors``: LK0202 when the texts grow beyond a limit, LK0208 for a
    name that cannot be one, LK0217 for a variable without a value, LK0218 for one given in vain.
    """
    values: dict[str, str] = {}
    declared: set[str] = set()
    for document in documents:
        for key, default in _declared(document, errors):
            declared.add(key)
            if default is not None:
                values[key] = default
    for name in given:
        if name not in declared:
            hint = suggestion(name, sorted(declared)) or _declare(name)
            errors.append(
                Error("LK0218", f'no file declares the variable "{printable(name)}"', hint=hint)
            )
    values.update(given)
    for document in documents:
        if document.variables is not None:
            _Substitution(document, values, errors).run()


def _declare(name: str) -> str:
    return f"a file that uses it has a map variables: with the key {printable(name)}"


def _declared(document: Document, errors: list[Error]) -> Iterable[tuple[str, str | None]]:
    if document.variables is None:
        return
    for name, (key, value) in document.variables.items.items():
        if not NAME.fullmatch(name):
            message = f'"{printable(name)}" cannot be the name of a variable'
            hint = 'a name has letters, digits and "_", and begins with no digit'
            errors.append(Error("LK0208", message, hint=hint, where=key.where))
        elif isinstance(value, Scalar):
            yield name, None if value.is_null else value.value


class _Substitution:
    """One pass over the texts of one document."""

    def __init__(self, document: Document, values: Mapping[str, str], errors: list[Error]) -> None:
        assert document.variables is not None  # noqa: S101 - the caller looks
        self._root = document.root
        self._own = document.variables.items
        self._values = values
        self._errors = errors
        self._room = TEXT_LIMIT

    def run(self) -> None:
        for scalar in scalars(self._root):
            if "${" in scalar.value:
                scalar.value = _USE.sub(lambda use: self._value(use, scalar), scalar.value)  # noqa: B023
                if self._room < 0:
                    message = f"variables make more than {TEXT_LIMIT >> 20} Mi characters"
                    self._errors.append(Error("LK0202", message, where=scalar.where))
                    return

    def _value(self, use: re.Match[str], scalar: Scalar) -> str:
        escape, name, default = use.groups()
        if name not in self._own:
            return use[0]
        if escape:
            return use[0][1:]
        value: str | None = self._values.get(name, default)
        if value is None:
            error = Error(
                "LK0217", f'the variable "{name}" has no value', where=scalar.where,
                hint=f"give it one: --set {name}=VALUE",
            )  # fmt: skip
            self._errors.append(error)
            return ""
        self._room -= len(value)
        return value if self._room >= 0 else ""
