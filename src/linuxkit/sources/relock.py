"""Brings a lock up to date: adds what is new in the YAML, and takes anew what is asked for.

Nothing is written here, and what fails leaves the old lock as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import events
from linuxkit.base.errors import Error, printable, raise_all, suggestion
from linuxkit.build.wanted import needs
from linuxkit.oci import pull
from linuxkit.oci.image import is_whole, open_image
from linuxkit.oci.model import Platform
from linuxkit.recipes import relock as recipes
from linuxkit.recipes.debian.lock import Lock as DebianLock
from linuxkit.recipes.stock import Pins
from linuxkit.sources.lock import Lock, Pin, package_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.build.source import Wanted
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store
    from linuxkit.recipes.relock import Bench
    from linuxkit.recipes.stock import Shelf
    from linuxkit.sources.trusted import Guard
    from linuxkit.spec.model import Spec


class Request(NamedTuple):
    """What is to be locked."""

    specs: Mapping[str, Spec]  # OCI architecture → the system for it
    includes: Mapping[str, Digest]  # URL → what was read there
    update: Sequence[str] | None  # names to take anew; () means all, None nothing
    prune: bool = False  # forget what is not named here


class Desk(NamedTuple):
    """What locking works with; the registry and the archive are only asked when they are needed."""

    store: Store
    client: Callable[[], Client]
    bench: Callable[[], Bench]
    shelf: Shelf
    guard: Guard | None = None  # of the trust policies


def refresh(old: Lock, request: Request, desk: Desk) -> Lock:
    """The new lock.

    Raises LK0434 for a name to update that no file has, and for all images and packages at once
    what the registries and the archive answer.
    """
    wants = _wants(request.specs)
    _check_names(request, wants)
    errors: list[Error] = []
    images = _images(old, request, desk, wants, errors)
    pins = _packages(old.pins, request, desk, wants, errors)
    raise_all(errors)
    if request.prune:
        named = {str(want.ref) for want, _ in wants}
        images = {name: pin for name, pin in images.items() if name in named}
        pins = _only(pins, {package_of(want.ref) for want, _ in wants})
    kept = {} if request.prune else old.includes
    return Lock(images, {**kept, **request.includes}, pins)


def is_asked(update: Sequence[str] | None, *names: str) -> bool:
    """Whether what goes by one of ``names`` is to be taken anew."""
    return update is not None and (not update or not set(update).isdisjoint(names))


def _wants(specs: Mapping[str, Spec]) -> list[tuple[Wanted, Platform]]:
    found: dict[tuple[Ref, Platform], Wanted] = {}
    for arch, spec in specs.items():
        for platform, wants in needs(spec, Platform("linux", arch)).items():
            for want in wants:
                found.setdefault((want.ref, platform), want)
    return [(want, platform) for (_, platform), want in found.items()]


def _check_names(request: Request, wants: Iterable[tuple[Wanted, Platform]]) -> None:
    known = {name for want, _ in wants for name in _names(want.ref)} | set(request.includes)
    unknown = [name for name in request.update or () if name not in known]
    raise_all(
        [
            Error(
                "LK0434",
                f'"{printable(name)}" is in none of these files',
                hint=suggestion(name, sorted(known))
                or "--update takes references as they are in the lock, and names of packages",
            )
            for name in unknown
        ]
    )


def _names(ref: Ref) -> tuple[str, ...]:
    """How users may call an image or a stock package."""
    package = package_of(ref)
    if package:
        return (package, f"@pkg:{package}")
    short = str(ref).removeprefix("docker.io/")
    return (str(ref), short, short.removeprefix("library/"))


# Images


def _images(
    old: Lock,
    request: Request,
    desk: Desk,
    wants: Sequence[tuple[Wanted, Platform]],
    errors: list[Error],
) -> dict[str, Pin]:
    found = dict(old.images)
    fresh: set[str] = set()  # looked up in this run: other platforms are of the same image
    for want, platform in wants:
        name = str(want.ref)
        if want.ref.digest or want.ref.is_local or package_of(want.ref):
            continue
        anew = is_asked(request.update, *_names(want.ref))
        pin = found.get(name) if not anew or name in fresh else None
        if pin and str(platform) in pin.platforms:
            continue
        try:
            root, manifest = _look(want.ref, platform, pin, desk, anew=anew)
            verified = desk.guard.check(want.ref, root, platform) if desk.guard else ""
        except Error as error:
            error.where = error.where or want.where
            errors.append(error)
            continue
        fresh.add(name)
        same = pin is not None and pin.digest == root.digest
        platforms = {**(pin.platforms if pin and same else {}), str(platform): manifest}
        found[name] = Pin(root.digest, platforms, verified)
    return found


def _look(
    ref: Ref, platform: Platform, pin: Pin | None, desk: Desk, *, anew: bool
) -> tuple[Descriptor, Digest]:
    """What the reference means, and the digest of its manifest for the platform."""
    exact = ref._replace(tag="", digest=pin.digest) if pin else ref
    stored = desk.store.find(str(ref))
    if stored and pin and stored.digest != pin.digest:
        stored = None
    if stored and not is_whole(desk.store, stored, platform):
        stored = None
    if stored and not anew:
        return stored, open_image(desk.store, stored, platform).descriptor.digest
    try:
        with events.task("look", str(ref), unit=""):
            root, image = pull.look(desk.client(), exact, platform, desk.store)
    except Error as error:
        if error.code != "LK0320" or stored is None:
            raise
        events.note(f"{ref} lies in no registry: locked as it is in the store")
        return stored, open_image(desk.store, stored, platform).descriptor.digest
    return root, image.descriptor.digest


# Stock packages


def _packages(
    old: Pins,
    request: Request,
    desk: Desk,
    wants: Sequence[tuple[Wanted, Platform]],
    errors: list[Error],
) -> Pins:
    held = _Held(old)
    anew: dict[str, list[str]] = {}  # architecture → packages to solve again
    for want, platform in wants:
        name, arch = package_of(want.ref), platform.arch
        if not name:
            continue
        try:
            if not is_asked(request.update, *_names(want.ref)):
                held.keep(name, arch, desk.shelf)
            elif desk.shelf.is_solved(name, arch):
                anew.setdefault(arch, []).append(name)
            else:
                held.join(desk.shelf.pins(name, arch))
        except Error as error:
            error.where = error.where or want.where
            errors.append(error)
    if anew and not errors:
        _solve(anew, held, desk, errors)
    return held.pins()


class _Held:
    """Pins that are being gathered."""

    def __init__(self, old: Pins) -> None:
        self._packages = {name: dict(found) for name, found in old.lock.packages.items()}
        self._tags = {name: dict(found) for name, found in old.tags.items()}
        self.debs = dict(old.lock.debs)

    def pins(self) -> Pins:
        """All of them."""
        return Pins(DebianLock({}, self._packages, self.debs), self._tags)

    def join(self, more: Pins) -> None:
        """Take over what ``more`` holds."""
        for name, tags in more.tags.items():
            self._tags.setdefault(name, {}).update(tags)
            self._packages.setdefault(name, {}).update(more.lock.packages[name])
        self.debs.update(more.lock.debs)

    def keep(self, name: str, arch: str, shelf: Shelf) -> None:
        """Hold a package as it is held, with the tag that it has in this version of linuxkit."""
        mine = self.pins()
        if mine.tag(name, arch) is None:
            self.join(shelf.pins(name, arch))
        else:
            try:
                self.join(shelf.repinned(name, arch, mine.lock))
            except Error as error:
                if error.code == "LK0540":  # its own hint is about the lock that is shipped
                    error.hint = f"choose its packages anew: linuxkit lock FILE... --update {name}"
                raise


def _solve(
    anew: Mapping[str, Sequence[str]], held: _Held, desk: Desk, errors: list[Error]
) -> None:
    """Solve packages against what the archive has now."""
    try:
        bench = desk.bench()
    except Error as error:
        errors += error.all()
        return
    shelf = desk.shelf
    for arch, names in anew.items():
        now = held.pins().lock
        done = recipes.refresh(now, [shelf.recipe(name) for name in names], [arch], bench)
        errors += done.failures
        if not done.failures:
            for name in names:
                held.join(shelf.repinned(name, arch, done.lock))


def _only(pins: Pins, names: set[str]) -> Pins:
    packages = {name: found for name, found in pins.lock.packages.items() if name in names}
    tags = {name: found for name, found in pins.tags.items() if name in names}
    return Pins(pins.lock._replace(packages=packages), tags)


# What changed


def differences(old: Lock, new: Lock) -> list[str]:
    """What changed, for people to read: a line for each image, include and package."""
    lines = [
        line
        for name in sorted({*old.images, *new.images})
        if (line := _image_line(name, old.images.get(name), new.images.get(name)))
    ]
    for url in sorted({*old.includes, *new.includes}):
        before, after = old.includes.get(url), new.includes.get(url)
        if before != after:
            lines.append(f"{url}: {_short(before)} → {_short(after)}")
    lines += recipes.differences(old.pins.lock, new.pins.lock)
    told = {line.partition(" ")[0] for line in lines}
    for name in sorted({*old.pins.tags, *new.pins.tags}):
        if old.pins.tags.get(name) != new.pins.tags.get(name) and name not in told:
            lines.append(f"{name}: made otherwise of the same packages")
    return lines


def _image_line(name: str, before: Pin | None, after: Pin | None) -> str:
    if before == after:
        return ""
    if before and after and before.digest == after.digest:
        added = sorted({*after.platforms} - {*before.platforms})
        return f"{name}: + {', '.join(added)}" if added else f"{name}: {after.verified}"
    return f"{name}: {_short(before.digest if before else None)} → " + _short(
        after.digest if after else None
    )


def _short(digest: Digest | None) -> str:
    return digest[:19] if digest else "none"
