"""The suites of one Debian release for several architectures, as one index per architecture.

One architecture that a mirror cannot serve right now does not keep the others from going on.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.recipes.debian import control, release, version
from linuxkit.recipes.debian.control import Index

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from linuxkit.net.http import Transport
    from linuxkit.recipes.debian.control import SourceFile
    from linuxkit.recipes.debian.mirror import Mirrors
    from linuxkit.recipes.debian.release import Keyring, Release

DEBIAN = "trixie"
FURTHER = ("updates", "security")  # what was mended since a release came out
_NOT_THERE = frozenset({"LK0410", "LK0411", "LK0412", "LK0413", "LK0506"})
_TRIES = 3
_PAUSE_S = 2.0


def suites(debian: str = DEBIAN, without: Collection[str] = ()) -> tuple[str, ...]:
    """The suites of the release ``debian``, its main one first; ``without`` some of FURTHER."""
    return (debian, *(f"{debian}-{name}" for name in FURTHER if name not in without))


class Suite(NamedTuple):
    """A release, and the archive it was fetched from."""

    base: str
    release: Release


class Archive:
    """The suites that could be reached, their signatures checked."""

    def __init__(
        self, suites: Mapping[str, Suite], transport: Transport, more: Callable[[str], Suite]
    ) -> None:
        """``more`` reaches a further suite, for packages that come from another one."""
        self.suites = dict(suites)
        self._usual = tuple(suites)
        self._more = more
        self._transport = transport
        self._sources: dict[str, bytes] = {}

    def index(
        self, arch: str, components: Sequence[str] = (release.MAIN,), suite: str = ""
    ) -> Index:
        """All packages for the Debian architecture ``arch``; of ``suite`` alone if it is named.

        Raises what :func:`release.packages` raises, after trying a few times, and what reaching
        another suite raises.
        """
        if suite and suite not in self.suites:
            self.suites[suite] = self._more(suite)
        index = Index()
        for name in [suite] if suite else self._usual:
            for component in components:
                with events.task("download", f"package index {name} {component} {arch}"):
                    index.add(name, self._packages(name, arch, component))
        return index

    def source(self, name: str) -> tuple[SourceFile, ...]:
        """The archives of the source package ``name``, of the newest version in any suite.

        Raises LK0502 when there is none, and as :meth:`index`.
        """
        found: tuple[SourceFile, ...] = ()
        for label in self._usual:
            suite = self.suites[label]
            if label not in self._sources:
                with events.task("download", f"source index {label}"):
                    self._sources[label] = self._patiently(
                        partial(release.sources, suite.base, suite.release, self._transport)
                    )
            here = control.source(self._sources[label], label, name)
            if here and (not found or version.key(here[0].version) > version.key(found[0].version)):
                found = here
        if not found:
            raise Error("LK0502", f'Debian has no source package "{name}"')
        return found

    def _packages(self, name: str, arch: str, component: str) -> bytes:
        suite = self.suites[name]
        fetch = partial(release.packages, suite.base, suite.release, arch, self._transport)
        try:
            return self._patiently(partial(fetch, component))
        except Error as error:
            further = name.rpartition("-")[2]
            if error.code != "LK0519" or further not in FURTHER:
                raise
            hint = f"{error.hint}, or go on without what it has mended: --without {further}"
            raise Error(error.code, error.message, hint=hint) from error

    @staticmethod
    def _patiently(fetch: Callable[[], bytes]) -> bytes:
        for left in reversed(range(_TRIES)):
            try:
                return fetch()
            except Error as error:
                if not left or error.code != "LK0519":
                    raise
                time.sleep(_PAUSE_S)
        raise AssertionError


def reach(
    mirrors: Mirrors,
    keyring: Keyring,
    transport: Transport,
    now: datetime,
    names: Sequence[str] = suites(),
) -> Archive:
    """Fetch and check the releases of the suites ``names``.

    The first one must be there; another one that cannot be *reached* is told to the listener
    and left out.  Anything wrong with a signature or a date is an error for every suite.
    """
    found: dict[str, Suite] = {}

    def one(name: str) -> Suite:
        return _suite(name, mirrors.archives(name), keyring, transport, now)

    for name in names:
        try:
            found[name] = one(name)
        except Error as error:
            if name == names[0] or error.code not in _NOT_THERE:
                raise
            events.note(f"going on without {name}: {error.message}", level="warning")
    return Archive(found, transport, one)


def _suite(
    name: str, bases: Sequence[str], keyring: Keyring, transport: Transport, now: datetime
) -> Suite:
    failure = Error("LK0506", f"no archive is known for {name}")
    for base in bases:
        try:
            found = release.fetch(base, name, keyring, transport, now, live=True)
            return Suite(base, found)
        except Error as error:
            # Only a mirror that does not answer is passed over; a wrong signature is an alarm.
            if error.code not in _NOT_THERE:
                raise
            failure = error
    raise failure
