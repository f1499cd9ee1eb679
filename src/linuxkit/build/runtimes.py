"""Who starts containers in the guest: what init images bring for that, and its calls.  Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LABEL = "org.linuxkit.runtime"
"""Set by an image that brings an OCI runtime: the absolute path of its program."""

SERVICES_LABEL = "org.linuxkit.runtime.services"
"""Set by an image that brings another for services, which calls the first: its program."""

DAEMON_LABEL = "org.linuxkit.runtime.daemon"
"""Set beside it when that needs a daemon: the absolute path of the daemon's program."""


class Daemon(NamedTuple):
    """A program of the root that services cannot do without; it is kept like one of them."""

    name: str
    command: tuple[str, ...]


class Runtimes(NamedTuple):
    """Absolute paths of programs with the command line of runc or crun."""

    program: str  # empty: nobody brings one
    for_services: str = ""  # empty: ``program`` does
    daemon: Daemon | None = None

    def command(self, section: str) -> tuple[str, ...]:
        """The runtime of the section, and the options before its verb."""
        if section == "services" and self.for_services:
            return (self.for_services, "--runtime", self.program)
        if posixpath.basename(self.program) == "crun":  # it would ask systemd for cgroups
            return (self.program, "--cgroup-manager=cgroupfs")
        return (self.program,)

    def creates(self, section: str) -> bool:
        """Whether a container of the section can be made first and started later."""
        return section != "services" or not self.for_services

    def root(self, section: str, bundle: str) -> str:
        """What a container's configuration calls its root."""
        # containerd works on a copy of it, elsewhere
        return f"/{bundle}/rootfs" if not self.creates(section) else "rootfs"


def named(images: Iterable[Mapping[str, str]]) -> Runtimes:
    """What init images with these labels bring; the last word counts."""
    said = {key: value for labels in images for key, value in labels.items()}
    path = said.get(DAEMON_LABEL)
    daemon = Daemon(posixpath.basename(path), (path,)) if path else None
    return Runtimes(said.get(LABEL, ""), said.get(SERVICES_LABEL, ""), daemon)
