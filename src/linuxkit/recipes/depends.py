"""Images that a Dockerfile finds beside it (``depends: docker-images:``), as of ``docker save``.

No Docker is asked: they come from where images to build upon come from.
"""

from __future__ import annotations

import shutil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from linuxkit.base import files
from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.oci import export, ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store
    from linuxkit.recipes.package import Package
    from linuxkit.recipes.recipe import DockerImages

_MAX_BYTES = 1 << 20


def images(package: Package) -> tuple[Ref, ...]:
    """The images, each with a digest.

    Raises LK0545 with all that is wrong with what ``build.yml`` says, LK0102.
    """
    asked = _asked(package)
    if asked is None:
        return ()
    errors = [_refused(package, why) for why in _faults(asked)]
    found = []
    for text in asked.list if errors or not asked.from_file else _listed(package, asked.from_file):
        image = ref.parse(text, package.recipe.where)
        if not image.digest:
            errors.append(_refused(package, f'names "{printable(text)}" without a digest'))
        found.append(image)
    raise_all(errors)
    return tuple(found)


def write(
    package: Package,
    found: Mapping[Ref, Descriptor],
    platform: Platform,
    store: Store,
    context: Path,
) -> None:
    """Write the archives to where the Dockerfile sees them, below ``context``.

    A folder of that name there is emptied before, as upstream does.  Raises LK0102 and as
    export.write_saved.
    """
    asked = _asked(package)
    if asked is None or not found:
        return
    tagged = [(_name(image), root) for image, root in found.items()]
    if asked.target:
        archives = {asked.target: tagged}
    else:
        _require_inside(package, asked.target_dir, context)
        if (context / asked.target_dir).is_dir():
            shutil.rmtree(context / asked.target_dir)
        archives = {
            f"{asked.target_dir}/{_file(image)}": [one]
            for image, one in zip(found, tagged, strict=True)
        }
    for path, those in archives.items():
        place = context / path
        _require_inside(package, path, context)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.os_error(error, "make", place.parent) from error
        with files.replacing(place, sync=False) as out:
            export.write_saved(store, those, platform, out)


def _require_inside(package: Package, path: str, context: Path) -> None:
    """Refuse what leads out of the folder by way of a symbolic link."""
    if not (context / path).resolve().is_relative_to(context.resolve()):
        raise _refused(package, f'has "{printable(path)}", which leads outside')


def _asked(package: Package) -> DockerImages | None:
    depends = package.recipe.says.depends
    return depends.docker_images if depends else None


def _faults(asked: DockerImages) -> Iterator[str]:
    if asked.list and asked.from_file:
        yield "has both `list` and `from-file`"
    if asked.target and asked.target_dir:
        yield "has both `target` and `target-dir`"
    elif (asked.list or asked.from_file) and not (asked.target or asked.target_dir):
        yield "needs a `target` or a `target-dir`"
    for path in (asked.from_file, asked.target, asked.target_dir):
        parts = PurePosixPath(path).parts
        if path and (not parts or parts[0] == "/" or ".." in parts):
            yield f'has "{printable(path)}", which is no path inside the package'


def _listed(package: Package, name: str) -> list[str]:
    """The lines of a file that lists images; empty ones and comments say nothing."""
    path = package.folder / name
    try:
        with path.open("rb") as source:
            text = source.read(_MAX_BYTES).decode(errors="replace")
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    return [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]


def _name(image: Ref) -> str:
    """What the image is called in the archive: its name and tag, or its digest without one."""
    return str(image._replace(digest="") if image.tag else image)


def _file(image: Ref) -> str:
    """The name of its archive in a folder; upstream's."""
    return f"{image.name.rpartition('/')[2]}@{image.digest}.tar"


def _refused(package: Package, why: str) -> Error:
    return Error("LK0545", f"`docker-images` {why}", where=package.recipe.where)
