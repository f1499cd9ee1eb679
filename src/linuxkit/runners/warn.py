"""What will surprise somebody who starts a machine, said before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import events
from linuxkit.base.platform import arch as find_arch
from linuxkit.base.platform import names as arch_names

if TYPE_CHECKING:
    from linuxkit.build.artifact import Artifact
    from linuxkit.runners.options import Options


def of_memory(artifact: Artifact, options: Options) -> None:
    """The machine may be too small for the system (LK0820)."""
    boot = artifact.boot
    if boot and options.memory_mib < boot.least_ram_mib:
        events.note(
            f"{artifact.name} needs about {boot.least_ram_mib} MiB of memory to start and gets "
            f"{options.memory_mib}: give it more with --mem",
            level="warning",
            code="LK0820",
        )


def of_console(artifact: Artifact) -> None:
    """The kernel prints where nobody sees it (LK0821)."""
    boot = artifact.boot
    line = find_arch(artifact.arch).console
    others = {find_arch(name).console for name in arch_names()} - {line}
    if boot and (not boot.console or boot.console in others):
        named = f"a console that {artifact.arch} lacks" if boot.console else "no console"
        events.note(
            f"the kernel's command line names {named}, so nothing will be shown: "
            f'add "console={line}" to kernel.cmdline',
            level="warning",
            code="LK0821",
        )
