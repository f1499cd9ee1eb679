"""The lock of package recipes: which .debs, by version and SHA-256, each recipe is made of.

Builds read this and no index.  Refreshing it is the business of ``recipes.relock``.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest, files, resources
from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from linuxkit.base.digest import Digest

PATH = "LINUXKIT_PACKAGES_LOCK"
SOURCE = ":source"  # behind a recipe's name: archives of source packages that its commands use
ROOT = ":build"  # behind a recipe's name: the packages that its commands run with
NAME = "debian.lock"
_VERSION = 1
_MAX_BYTES = 16 << 20
_SAFE_PATH = re.compile(r"[A-Za-z0-9_.+~:%-]+(?:/[A-Za-z0-9_.+~:%-]+)*")


class Deb(NamedTuple):
    """One .deb: what it is, where archives keep it, and what its bytes are."""

    package: str
    version: str
    suite: str
    pool: str  # path inside an archive
    seen: str  # a moment at which the archive had it, ``20260102T030405Z``
    size: int
    sha256: Digest


class Locked(NamedTuple):
    """What one recipe is made of on one architecture."""

    inputs: str  # digest of the part of the recipe that chose the .debs
    debs: tuple[str, ...]  # keys, sorted


class Lock(NamedTuple):
    """The whole lock."""

    suites: Mapping[str, Mapping[str, str]]  # codename → date, sha256 of the signed release
    packages: Mapping[str, Mapping[str, Locked]]  # recipe → OCI architecture
    debs: Mapping[str, Deb]  # key such as ``crun_1.21-1_amd64``

    def of(self, recipe: str, arch: str) -> Locked | None:
        """What the lock holds for ``recipe`` on the OCI architecture ``arch``."""
        return self.packages.get(recipe, {}).get(arch)

    def debs_of(self, recipe: str, arch: str) -> tuple[Deb, ...]:
        """The .debs of a recipe, in the order they are unpacked."""
        locked = self.of(recipe, arch)
        return tuple(self.debs[key] for key in locked.debs) if locked else ()


EMPTY = Lock({}, {}, {})


def path(environ: Mapping[str, str] | None = None) -> Path:
    """The lock to use: ``LINUXKIT_PACKAGES_LOCK``, else the one beside the stock recipes."""
    chosen = (os.environ if environ is None else environ).get(PATH, "")
    shipped = resources.packages() / NAME
    return type(shipped)(chosen) if chosen else shipped


def load(place: Path) -> Lock:
    """Read a lock.  Raises LK0530 (not there), LK0531 (damaged)."""
    try:
        with place.open("rb") as source:
            data = source.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise Error(
            "LK0530", f"there is no package lock {place}", hint="make it: linuxkit pkg lock"
        ) from error
    except OSError as error:
        raise files.os_error(error, "read", place) from error
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError("too large")  # noqa: TRY301
        return _decode(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, Error, RecursionError) as error:
        reason = printable(str(error))
        raise Error("LK0531", f"the package lock {place} is damaged: {reason}") from error


def _decode(value: Any) -> Lock:  # noqa: ANN401 - JSON
    if value["version"] != _VERSION:
        raise ValueError(f"version {value['version']!r}; this tool reads version {_VERSION}")
    debs = {key: read_deb(fields) for key, fields in value["debs"].items()}
    packages = {
        recipe: {
            arch: Locked(str(locked["inputs"]), tuple(locked["debs"]))
            for arch, locked in arches.items()
        }
        for recipe, arches in value["packages"].items()
    }
    for recipe, arches in packages.items():
        for locked in arches.values():
            for key in locked.debs:
                if key not in debs:
                    raise ValueError(f'"{recipe}" names "{key}", which it does not describe')
    return Lock(value["suites"], packages, debs)


def read_deb(fields: Any) -> Deb:  # noqa: ANN401 - JSON
    """A .deb from its JSON form.  Raises ValueError, KeyError, TypeError, LK0301, LK0504."""
    found = Deb(
        fields["package"], fields["version"], fields["suite"], fields["pool"], fields["seen"],
        fields["size"], digest.parse("sha256:" + fields["sha256"]),
    )  # fmt: skip
    check_pool(found.pool)
    texts = (fields[name] for name in ("package", "version", "suite", "seen"))
    if not isinstance(fields["size"], int) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{found.package!r} has a field of the wrong type")
    return found


def encode(lock: Lock) -> bytes:
    """The one spelling of a lock: sorted, one field a line; .debs nobody uses are left out."""
    used = {key for arches in lock.packages.values() for one in arches.values() for key in one.debs}
    value = {
        "version": _VERSION,
        "suites": lock.suites,
        "packages": {
            recipe: {
                arch: {"inputs": locked.inputs, "debs": list(locked.debs)}
                for arch, locked in arches.items()
            }
            for recipe, arches in lock.packages.items()
            if arches
        },
        "debs": {key: deb_fields(deb) for key, deb in lock.debs.items() if key in used},
    }
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode() + b"\n"


def deb_fields(deb: Deb) -> dict[str, object]:
    """The JSON form of a .deb."""
    return {**deb._asdict(), "sha256": digest.hex_of(deb.sha256)}


def check_pool(path: str) -> None:
    """Refuse (LK0504) a pool path that would leave the archive or need quoting in a URL."""
    if not _SAFE_PATH.fullmatch(path) or ".." in path.split("/"):
        raise Error("LK0504", f'"{printable(path)}" is not a path of a package archive')
