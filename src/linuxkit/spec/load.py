"""From the user's files to one checked configuration."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from linuxkit.base.errors import Error, raise_all
from linuxkit.base.files import os_error
from linuxkit.spec import check, yaml
from linuxkit.spec.decode import collect
from linuxkit.spec.merge import merge
from linuxkit.spec.model import Spec
from linuxkit.spec.node import scalars
from linuxkit.spec.places import Places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linuxkit.base.where import Where
    from linuxkit.spec.node import Node

_PACKAGE = "@pkg:"
_STDIN = "standard input"


class PackageResolver(Protocol):
    """Who knows the packages that ``@pkg:`` names."""

    def reference(self, text: str, *, base: Path, where: Where) -> str:
        """The image reference for what stands behind ``@pkg:``.

        ``base`` is the folder of the file it stands in.  Raises an Error at ``where``.
        """


def load(
    inputs: Sequence[str | Path],
    *,
    packages: PackageResolver | None = None,
    stdin: bytes | None = None,
) -> Spec:
    """Read, decode, merge and check the files ``inputs``, in this order; "-" stands for ``stdin``.

    A value that begins with ``@pkg:`` is replaced by what ``packages`` makes of it.  Raises
    everything that is wrong in all of them at once: LK02xx, LK0302 and what ``packages`` raises.
    """
    errors: list[Error] = []
    specs: list[Spec] = []
    for given in inputs:
        try:
            spec = _load_one(given, packages, stdin, errors)
        except Error as error:
            errors.append(error)
        else:
            if spec is not None:
                specs.append(spec)
    raise_all(errors)
    merged = merge(specs)
    raise_all(check.problems(merged))
    return merged


def parse(text: str, file: str = "<text>", *, packages: PackageResolver | None = None) -> Spec:
    """One checked configuration from YAML text that is already at hand; raises as :func:`load`."""
    errors: list[Error] = []
    spec = _decode(text, file, Path(), packages, errors)
    raise_all(errors)
    spec = spec or Spec()
    raise_all(check.problems(spec))
    return spec


def _load_one(
    given: str | Path, packages: PackageResolver | None, stdin: bytes | None, errors: list[Error]
) -> Spec | None:
    if str(given) == "-":
        text = yaml.decode_text(stdin or b"", _STDIN)
        return _decode(text, _STDIN, Path(), packages, errors)
    path = Path(given)
    text = yaml.decode_text(_read(path), str(given))
    return _decode(text, str(given), path.parent, packages, errors)


def _decode(
    text: str, file: str, base: Path, packages: PackageResolver | None, errors: list[Error]
) -> Spec | None:
    root = yaml.parse(text, file)
    before = len(errors)
    _resolve_packages(root, base, packages, errors)
    if len(errors) > before:
        # A reference that could not be made would only be called wrong a second time.
        return None
    spec = collect(root, Spec, errors, root=file)
    return None if spec is None else replace(spec, places=Places([root]))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4 * yaml.TEXT_LIMIT + 1)  # a character has at most four bytes
    except FileNotFoundError:
        raise Error("LK0210", f"there is no file {path}", hint=_similar(path)) from None
    except IsADirectoryError:
        raise Error("LK0210", f"{path} is a folder", hint="name the YAML file in it") from None
    except OSError as error:
        raise os_error(error, "read", path) from error


def _similar(path: Path) -> str:
    """A file beside ``path`` that may have been meant."""
    try:
        names = sorted(entry.name for entry in os.scandir(path.parent) if entry.is_file())
    except OSError:
        return f"there is no folder {path.parent} either"
    candidates = [name for name in names if name.endswith((".yml", ".yaml"))]
    near = [name for name in candidates if Path(name).stem == path.name]
    near += difflib.get_close_matches(path.name, candidates, n=1)
    return f"did you mean {path.parent / near[0]}?" if near else ""


def _resolve_packages(
    root: Node, base: Path, packages: PackageResolver | None, errors: list[Error]
) -> None:
    for scalar in scalars(root):
        if not scalar.value.startswith(_PACKAGE):
            continue
        if packages is None:
            errors.append(Error("LK0214", "packages cannot be named here", where=scalar.where))
            continue
        wanted = scalar.value.removeprefix(_PACKAGE)
        try:
            scalar.value = packages.reference(wanted, base=base, where=scalar.where)
        except Error as error:
            errors.append(error)
