"""The lock of a folder of YAML files: ``linuxkit.lock``, what every reference in them stands for.

Reading and writing its one JSON spelling; looking things up in it is left to
:mod:`linuxkit.sources.locked`, bringing it up to date to :mod:`linuxkit.sources.relock`.
"""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.base import files, platform
from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.base.where import Where
from linuxkit.oci import ref as refs
from linuxkit.recipes.debian import lock as debian
from linuxkit.recipes.stock import Pins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from linuxkit.base.digest import Digest
    from linuxkit.oci.model import Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.recipes.debian.lock import Deb, Locked

NAME = "linuxkit.lock"
VERSION = 1
BYTES_LIMIT = 4 << 20
_TAG = re.compile(r"[0-9a-f]{16}")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9]+)?")
_HINT = "mend it, or make it anew: linuxkit lock FILE..."
_KEYS = ("version", "images", "includes", "packages", "debs")
_Path = tuple[str | int, ...]


class Pin(NamedTuple):
    """What an image reference stands for."""

    digest: Digest  # of the index, or of the manifest where there is no index
    platforms: Mapping[str, Digest]  # "linux/amd64" → manifest
    verified: str = ""  # the key that signed it, when a policy asked for that


class Lock(NamedTuple):
    """The whole lock."""

    images: Mapping[str, Pin] = MappingProxyType({})  # full reference → what it is
    includes: Mapping[str, Digest] = MappingProxyType({})  # URL → the YAML that lies there
    pins: Pins = Pins()  # stock packages

    def pin(self, ref: Ref) -> Pin | None:
        """What ``ref`` stands for, if it is in the lock."""
        return self.images.get(str(ref))

    def holds(self, ref: Ref, platform: Platform) -> bool:
        """Whether what ``ref`` means for ``platform`` is settled: by the lock or by its digest.

        A file lies beside the YAML, and belongs to it as other sources do.
        """
        name = package_of(ref)
        if name:
            return self.pins.tag(name, platform.arch) is not None
        return ref.is_local or bool(ref.digest) or self.pin(ref) is not None


EMPTY = Lock()


def package_of(ref: Ref) -> str:
    """The stock package that ``ref`` names; "" for any other image."""
    from linuxkit.recipes import tag

    registry, _, name = ref.name.partition("/")
    return name if registry == tag.REGISTRY else ""


def place(inputs: Sequence[str | Path]) -> Path:
    """Where the lock of these YAML files lies: beside the first that is a file, else here."""
    from linuxkit.spec.inputs import Input

    first = next((str(each) for each in inputs), "-")
    return Input(first).folder / NAME


def load(path: Path) -> Lock | None:
    """Read a lock; None when there is none.

    Raises LK0430 for everything in it that is damaged, each with its place, LK0431 for a version
    that this program does not know, LK0102.
    """
    try:
        with path.open("rb") as source:
            data = source.read(BYTES_LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    return decode(data, str(path))


def decode(data: bytes, name: str) -> Lock:
    """The lock in ``data``; ``name`` is the file's name in messages.  Raises as :func:`load`."""
    if len(data) > BYTES_LIMIT:
        raise Error("LK0430", f"{name} has more than {BYTES_LIMIT >> 20} MiB", hint=_HINT)
    value = _parse(data, name)
    if isinstance(value, dict) and value.get("version") != VERSION:
        raise Error(
            "LK0431",
            f"{name} is of version {printable(str(value.get('version')))}; this program reads "
            f"version {VERSION}",
            hint="a newer linuxkit has written it, or it is no lock",
        )
    reader = _Reader()
    found = reader.lock(value)
    if reader.faults:
        raise_all(list(_placed(reader.faults, data.decode(), name)))
    return found


def encode(lock: Lock) -> bytes:
    """The one spelling of a lock: sorted, one item a line; .debs nobody uses are left out."""
    packages = lock.pins.lock.packages
    used = {key for found in packages.values() for one in found.values() for key in one.debs}
    value = {
        "version": VERSION,
        "images": {name: _pin_fields(pin) for name, pin in lock.images.items()},
        "includes": lock.includes,
        "packages": {
            name: {arch: _package(lock.pins, name, arch) for arch in arches}
            for name, arches in packages.items()
            if arches
        },
        "debs": {
            key: debian.deb_fields(deb) for key, deb in lock.pins.lock.debs.items() if key in used
        },
    }
    rows = {key: part for key, part in value.items() if part}
    text = json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False, default=dict)
    return text.encode() + b"\n"


def _pin_fields(pin: Pin) -> dict[str, object]:
    value: dict[str, object] = {"digest": pin.digest, "platforms": pin.platforms}
    return {**value, "verified": pin.verified} if pin.verified else value


def _package(pins: Pins, name: str, arch: str) -> dict[str, object]:
    locked = pins.lock.packages[name][arch]
    return {"tag": pins.tag(name, arch), "inputs": locked.inputs, "debs": list(locked.debs)}


def _parse(data: bytes, name: str) -> object:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Error("LK0430", f"{name} is not UTF-8", hint=_HINT) from error
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1 : error.lineno]
        shown = line[0] if line else ""
        conflict = shown.startswith(("<<<<<<<", "=======", ">>>>>>>"))
        raise Error(
            "LK0430",
            f"{name} is not proper JSON: {error.msg}",
            hint="take one side of the merge conflict, then: linuxkit lock" if conflict else _HINT,
            where=Where(name, error.lineno, error.colno, shown),
        ) from None
    except _TwiceError as twice:
        raise Error(
            "LK0430", f'"{twice.key}" stands there twice', hint=_HINT,
            where=_second(text, twice.key, name),
        ) from None  # fmt: skip
    except RecursionError:
        raise Error("LK0430", f"{name} is nested too deeply", hint=_HINT) from None


class _TwiceError(Exception):
    """An object has a member twice."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = printable(key)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return value


def _second(text: str, key: str, name: str) -> Where | None:
    """The last line that begins with ``key``: that of the repetition."""
    rows = list(enumerate(text.splitlines(), 1))
    for number, line in reversed(rows):
        if line.lstrip().startswith(f'"{key}"'):
            return Where(name, number, line.index('"') + 1, line, len(key) + 2)
    return None


class _Reader:
    """Turns decoded JSON into a lock; what is wrong is collected with its path."""

    def __init__(self) -> None:
        self.faults: list[tuple[_Path, str]] = []

    def lock(self, value: object) -> Lock:
        for key in self._map(value, ()):
            if key not in _KEYS:
                self._fault((key,), f'there is no "{printable(key)}" in a lock')
        images = {
            name: self._pin(each, ("images", name)) for name, each in self._in(value, "images")
        }
        includes = {
            url: self._digest(each, ("includes", url)) for url, each in self._in(value, "includes")
        }
        debs = {key: self._deb(each, ("debs", key)) for key, each in self._in(value, "debs")}
        packages: dict[str, dict[str, Locked]] = {}
        tags: dict[str, dict[str, str]] = {}
        for name, arches in self._in(value, "packages"):
            for arch, each in self._map(arches, ("packages", name)).items():
                at = ("packages", name, arch)
                self._check_arch(arch, at)
                fields = self._fields(each, at, ("tag", "inputs", "debs"))
                tags.setdefault(name, {})[arch] = self._text(fields, "tag", at, _TAG)
                locked = debian.Locked(
                    self._text(fields, "inputs", at), self._keys(fields, at, debs)
                )
                packages.setdefault(name, {})[arch] = locked
        known = {key: deb for key, deb in debs.items() if deb is not None}
        return Lock(images, includes, Pins(debian.Lock({}, packages, known), tags))

    def _in(self, value: object, key: str) -> Iterator[tuple[str, object]]:
        found = value.get(key, {}) if isinstance(value, dict) else {}
        yield from self._map(found, (key,)).items()

    def _pin(self, value: object, at: _Path) -> Pin:
        try:
            canonical = str(refs.parse(str(at[-1])))
        except Error as error:
            self._fault(at, error.message)
        else:
            if canonical != at[-1]:
                self._fault(at, f"a reference stands here in full: {canonical}")
        fields = self._fields(value, at, ("digest", "platforms", "verified"))
        platforms: dict[str, Digest] = {}
        for name, each in self._map(fields.get("platforms", {}), (*at, "platforms")).items():
            where = (*at, "platforms", name)
            if not _PLATFORM.fullmatch(name):
                self._fault(where, f'"{printable(name)}" is not a platform such as linux/amd64')
            platforms[name] = self._digest(each, where)
        verified = self._text(fields, "verified", at) if "verified" in fields else ""
        return Pin(self._digest(fields.get("digest"), (*at, "digest")), platforms, verified)

    def _deb(self, value: object, at: _Path) -> Deb | None:
        fields = self._map(value, at)
        try:
            return debian.read_deb(fields)
        except KeyError as error:
            self._fault(at, f"it has no {error}")
        except Error as error:
            self._fault(at, error.message)
        except (ValueError, TypeError) as error:
            self._fault(at, printable(str(error)))
        return None

    def _keys(
        self, fields: Mapping[str, Any], at: _Path, debs: Mapping[str, object]
    ) -> tuple[str, ...]:
        listed = fields.get("debs", [])
        if not isinstance(listed, list) or not all(isinstance(key, str) for key in listed):
            self._fault((*at, "debs"), "this must be a list of names")
            return ()
        for n, key in enumerate(listed):
            if key not in debs:
                self._fault((*at, "debs", n), f'"{printable(key)}" is not described under "debs"')
        return tuple(listed)

    def _check_arch(self, name: str, at: _Path) -> None:
        if name not in platform.names():
            self._fault(at, f'"{printable(name)}" is not an architecture')

    def _digest(self, value: object, at: _Path) -> Digest:
        try:
            return digests.parse(value)
        except Error as error:
            self._fault(at, error.message)
            return digests.of_bytes(b"")

    def _fields(self, value: object, at: _Path, known: Sequence[str]) -> Mapping[str, Any]:
        fields = self._map(value, at)
        for key in fields:
            if key not in known:
                self._fault((*at, key), f'there is no "{printable(key)}" here')
        return fields

    def _text(
        self, fields: Mapping[str, Any], key: str, at: _Path, form: re.Pattern[str] | None = None
    ) -> str:
        found = fields.get(key)
        if not isinstance(found, str) or (form and not form.fullmatch(found)):
            self._fault((*at, key) if key in fields else at, f'it has no proper "{key}"')
            return ""
        return found

    def _map(self, value: object, at: _Path) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return value
        self._fault(at, "this must be an object")
        return {}

    def _fault(self, at: _Path, why: str) -> None:
        self.faults.append((at, why))


def _placed(faults: Sequence[tuple[_Path, str]], text: str, name: str) -> Iterator[Error]:
    """Errors that point at what is wrong: JSON is YAML, whose reader knows places."""
    from linuxkit.spec import yaml
    from linuxkit.spec.node import find

    root = yaml.parse(text, name)
    for path, why in faults:
        node = find(root, path)
        yield Error("LK0430", why, hint=_HINT, where=node.where if node else Where(name, 1))
