"""Build arguments of a Dockerfile: those of ``build.yml``, of files, and upstream's ``@lkt:`` ones.

``NAME=@lkt:pkg:PATH`` is the name of the package in that folder, ``NAME_%=@lkt:pkgs:GLOB`` one
argument for each of several.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files
from linuxkit.base.errors import Error, printable
from linuxkit.recipes import gittag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_%]*")
_MARK, _ONE, _MANY = "@lkt:", "pkg:", "pkgs:"
_STEM = "%"


class Line(NamedTuple):
    """``NAME=VALUE`` and the file it stands in, which paths in it are relative to."""

    text: str
    file: Path


def lines_of(path: Path) -> tuple[Line, ...]:
    """The lines of a file of arguments.  Raises LK0102, LK0568 (for empty lines too)."""
    try:
        with path.open("rb") as source:
            data = source.read(_MAX_BYTES)
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    found = data.decode(errors="replace").splitlines()
    return tuple(Line(text, path) for text in found)


def expand(lines: Iterable[Line], own: Path) -> dict[str, str]:
    """The arguments by name, later ones winning; ``own`` is the package that they are for.

    Raises LK0568, and as gittag.identify for packages that are named.
    """
    return dict(pair for line in lines for pair in _pairs(line, own))


def packages(lines: Iterable[Line], own: Path) -> Iterator[Path]:
    """The folders of the packages that the arguments name.  Raises LK0568."""
    for line in lines:
        _, value = _split(line)
        if value.startswith(_MARK):
            yield from _folders(line, value, own)


def _split(line: Line) -> tuple[str, str]:
    name, equals, value = line.text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise _refused(line, "is not NAME=VALUE")
    return name, value


def _pairs(line: Line, own: Path) -> Iterator[tuple[str, str]]:
    name, value = _split(line)
    if not value.startswith(_MARK):
        yield name, value
        return
    several = value.removeprefix(_MARK).startswith(_MANY)
    if several != (_STEM in name):
        raise _refused(line, f'needs a "{_STEM}" in its name for pkgs:, and none for pkg:')
    for folder in _folders(line, value, own):
        found = gittag.reference(folder)
        image = found.rpartition(":")[0].partition("/")[2]
        yield name.replace(_STEM, re.sub("[/-]", "_", image).upper()), found


def _folders(line: Line, value: str, own: Path) -> Iterator[Path]:
    what = value.removeprefix(_MARK)
    base = line.file.parent.resolve()
    if what.startswith(_ONE):
        folder = base / what.removeprefix(_ONE)
        if not (folder / gittag.BUILD_YML).is_file():
            raise _refused(line, f"names {folder}, where there is no package")
        yield folder.resolve()
    elif what.startswith(_MANY):
        pattern = what.removeprefix(_MANY)
        anchor = Path("/") if pattern.startswith("/") else base
        found = [
            path for path in anchor.glob(pattern.lstrip("/"))
            if (path / gittag.BUILD_YML).is_file()
        ]  # fmt: skip
        wanted = sorted(
            {path.resolve() for path in found if not path.name.startswith(".")} - {own.resolve()}
        )
        if not wanted:
            raise _refused(line, "names no packages")
        yield from wanted
    else:
        raise _refused(line, "is none of @lkt:pkg: and @lkt:pkgs:")


def _refused(line: Line, why: str) -> Error:
    return Error("LK0568", f'{line.file}: the build argument "{printable(line.text)}" {why}')
