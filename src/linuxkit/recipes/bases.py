"""What a package with a Dockerfile builds upon: images, and the folders that they are made of."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.oci import ref
from linuxkit.recipes import buildargs, dockerfile, gittag

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from linuxkit.base.where import Where
    from linuxkit.recipes.package import Package

_MAX_DOCKERFILE = 1 << 20


def names(package: Package) -> Mapping[str, Where]:
    """The images that the Dockerfile names, in order, and where.  Raises LK0581: there is none."""
    path = package.dockerfile
    try:
        with path.open("rb") as source:
            text = source.read(_MAX_DOCKERFILE).decode(errors="replace")
    except OSError as error:
        raise Error(
            "LK0581", f"{package.reference}: {path} cannot be read: {error.strerror}",
            hint="a package needs a Dockerfile, or one of `debian:`, `build:`, `kernel:`, `files:`",
            where=package.recipe.where,
        ) from error  # fmt: skip
    return dockerfile.bases(text, package.arguments(), str(path))


def folders(package: Package) -> Mapping[str, Path]:
    """The package folders that the build arguments name, by the full names of their images.

    There are none where the arguments have come from another machine.  Raises LK0568.
    """
    if package.given is not None:
        return {}
    found = buildargs.packages(package.lines(), package.folder)
    return {str(ref.parse(gittag.reference(folder))): folder for folder in found}


def neighbour(package: Package, name: str) -> Path | None:
    """The package folder beside this one that the image ``name`` would be made of, for a hint."""
    wanted = str(ref.parse(name))
    for file in sorted(package.folder.parent.glob(f"*/{gittag.BUILD_YML}")):
        with contextlib.suppress(Error):  # the neighbours' own faults are not the matter
            if str(ref.parse(gittag.reference(file.parent))) == wanted:
                return file.parent
    return None
