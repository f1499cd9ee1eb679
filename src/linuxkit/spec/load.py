"""From the user's files to one checked configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, raise_all
from linuxkit.oci import ref
from linuxkit.spec import check, expand, local, patches
from linuxkit.spec.decode import collect
from linuxkit.spec.documents import Gatherer
from linuxkit.spec.inputs import Input, Web
from linuxkit.spec.merge import merge
from linuxkit.spec.model import Spec
from linuxkit.spec.node import scalars
from linuxkit.spec.places import Places
from linuxkit.spec.record import replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from linuxkit.spec.documents import Document
    from linuxkit.spec.expand import PackageResolver
    from linuxkit.spec.inputs import Remote
    from linuxkit.spec.node import Node



def load(
    inputs: Sequence[str | Path],
    *,
    packages: PackageResolver | None = None,
    stdin: bytes | None = None,
    values: Mapping[str, str] | None = None,
    offline: bool = False,
    remote: Remote | None = None,
) -> Spec:
    """Read, decode, merge and check the files and URLs ``inputs``; "-" stands for ``stdin``.

    A value that begins with ``@pkg:`` is replaced by what ``packages`` makes of it, a variable by
    what ``values`` says; ``remote`` reads URLs, by default from where they lie unless ``offline``.
    Raises everything that is wrong in all of them at once: LK02xx, LK0302,
    what ``packages`` raises, and LK0402 or LK041x for a URL.
    """
    errors: list[Error] = []
    gatherer = Gatherer(stdin=stdin, remote=remote or Web(offline=offline), errors=errors)
    for given in inputs:
        gatherer.add(Input(str(given)))
    return _finish(gatherer.documents, packages, values or {}, errors)


def parse(
    text: str,
    file: str = "<text>",
    *,
    packages: PackageResolver | None = None,
    values: Mapping[str, str] | None = None,
) -> Spec:
    """One checked configuration from YAML text that is already at hand; raises as :func:`load`."""
    errors: list[Error] = []
    gatherer = Gatherer(stdin=None, remote=Web(), errors=errors)
    gatherer.add_text(Input(file), text)
    return _finish(gatherer.documents, packages, values or {}, errors)


def _finish(
    documents: Sequence[Document],
    packages: PackageResolver | None,
    values: Mapping[str, str],
    errors: list[Error],
) -> Spec:
    """The configuration that ``documents`` make; raises ``errors`` with those it finds."""
    if errors:
        # What a missing file would have said cannot be held against the others.
        documents = [document for document in documents if document.variables is None]
        patches.apply([document.root for document in documents], [])
    else:
        if values or any(document.variables is not None for document in documents):
            from linuxkit.spec import variables

            variables.substitute(documents, values, errors)
            raise_all(errors)
        patches.apply([document.root for document in documents], errors)
    specs = [_decode(document, packages, errors) for document in documents]
    raise_all(errors)
    merged = merge(spec for spec in specs if spec is not None)
    raise_all(check.problems(merged))
    return expand.expanded(merged, packages)


def _decode(
    document: Document, packages: PackageResolver | None, errors: list[Error]
) -> Spec | None:
    root = document.root
    before = len(errors)
    _resolve_packages(root, document.input.folder, packages, errors)
    if len(errors) > before:
        # A reference that could not be made would only be called wrong a second time.
        return None
    spec = collect(root, Spec, errors, root=document.input.name)
    if spec is None:
        return None
    spec = replace(spec, places=Places([root]))
    return local.placed(spec) if local.has_any(spec) else spec


def _resolve_packages(
    root: Node, base: Path, packages: PackageResolver | None, errors: list[Error]
) -> None:
    for scalar in scalars(root):
        if not scalar.value.startswith(ref.PACKAGE):
            continue
        if packages is None:
            errors.append(expand.no_packages(scalar.where))
            continue
        wanted = scalar.value.removeprefix(ref.PACKAGE)
        try:
            scalar.value = packages.reference(wanted, base=base, where=scalar.where)
        except Error as error:
            errors.append(error)
