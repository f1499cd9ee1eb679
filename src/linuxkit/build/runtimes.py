"""Who starts containers in the guest: what init images bring for that, and its calls.  Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from linuxkit.base.where import Where
    from linuxkit.spec.model import ImageSettings

LABEL = "org.linuxkit.runtime"
"""Set by an image that brings an OCI runtime: the absolute path of its program."""

SERVICES_LABEL = "org.linuxkit.runtime.services"
"""Set by an image that brings another for services, which calls the first: its program."""

DAEMON_LABEL = "org.linuxkit.runtime.daemon"
"""Set by an image with a daemon that services come after: the absolute path of its program."""

SETTINGS_LABEL = "org.linuxkit.runtime.daemon.settings"
"""Names the file that says how that daemon is started (:mod:`linuxkit.build.daemonfile`)."""

_CRUN = "crun"


class Daemon(NamedTuple):
    """A program of the root that services cannot do without; it is kept like one of them."""

    name: str
    command: tuple[str, ...]
    settings: str = ""  # a path below the root; empty: it has no such file
    stdout: str = "stdout"  # where its output goes: "stdout", "stderr" or an absolute path
    stderr: str = "stderr"


class Runtimes(NamedTuple):
    """Absolute paths of programs with the command line of runc or crun."""

    program: str  # empty: nobody brings one
    for_services: str = ""  # empty: ``program`` does
    daemons: tuple[Daemon, ...] = ()

    def command(self, section: str, namespace: str = "") -> tuple[str, ...]:
        """The runtime of the section, and the options before its verb.

        ``namespace`` is one of containerd's; other runtimes know none.
        """
        if section == "services" and self.for_services:
            words = ("--namespace", namespace) if namespace else ()
            return (self.for_services, "--runtime", self.program, *words)
        if posixpath.basename(self.program) == _CRUN:  # it would ask systemd for cgroups
            return (self.program, "--cgroup-manager=cgroupfs")
        return (self.program,)

    def starting(self, daemon: Daemon) -> tuple[str, ...]:
        """What starts the daemon; the runtime of services lets it know of the OCI runtime."""
        if not self.for_services:
            return daemon.command
        words = (*self.command("services"), "daemon", daemon.stdout, daemon.stderr)
        return (*words, *daemon.command)

    def creates(self, section: str) -> bool:
        """Whether a container of the section can be made first and started later."""
        return section != "services" or not self.for_services

    def check_clocks(self, settings: ImageSettings, section: str, where: Where | None) -> None:
        """Raise LK0730 where a container of the section cannot have a time namespace.

        crun makes them, but not in a user namespace, from which it cannot write the offsets; runc
        does from 1.2 on, which Debian 13 has not.
        """
        if posixpath.basename(self.program) != _CRUN or not self.creates(section):
            what = "which this system's OCI runtime does not make"
            hint = 'take "@pkg:crun" in init, without containerd, or leave `clocks` out'
        elif (settings.userns or "host") not in {"host", "root"}:
            what = "which crun cannot set up for a container with ids of its own"
            hint = "add `userns: host`, with which it has the system's ids, or leave `clocks` out"
        else:
            return
        raise Error("LK0730", f"`clocks` need a time namespace, {what}", hint=hint, where=where)

    def root(self, section: str, bundle: str) -> str:
        """What a container's configuration calls its root."""
        # containerd works on a copy of it, elsewhere
        return f"/{bundle}/rootfs" if not self.creates(section) else "rootfs"


def named(images: Iterable[Mapping[str, str]]) -> Runtimes:
    """What init images with these labels bring; of runtimes the last one counts."""
    everything = tuple(images)
    said = {key: value for labels in everything for key, value in labels.items()}
    paths = {
        labels[DAEMON_LABEL]: labels.get(SETTINGS_LABEL, "").strip("/")
        for labels in everything
        if DAEMON_LABEL in labels
    }
    daemons = tuple(Daemon(posixpath.basename(p), (p,), file) for p, file in paths.items())
    return Runtimes(said.get(LABEL, ""), said.get(SERVICES_LABEL, ""), daemons)
