"""Several files as one configuration: lists are joined, the kernel's keys replaced one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.spec.model import Kernel, Spec, Trust
from linuxkit.spec.record import names, replace

if TYPE_CHECKING:
    from collections.abc import Iterable


def merge(specs: Iterable[Spec]) -> Spec:
    """What all of ``specs`` say together; where two say different things, the later one."""
    merged = Spec()
    for spec in specs:
        merged = Spec(
            kernel=_kernel(merged.kernel, spec.kernel),
            init=merged.init + spec.init,
            volumes=merged.volumes + spec.volumes,
            onboot=merged.onboot + spec.onboot,
            onshutdown=merged.onshutdown + spec.onshutdown,
            services=merged.services + spec.services,
            files=merged.files + spec.files,
            profile=spec.profile or merged.profile,
            hostname=merged.hostname if spec.hostname is None else spec.hostname,
            network=spec.network or merged.network,
            logs=spec.logs or merged.logs,
            watchdog=spec.watchdog or merged.watchdog,
            trust=_trust(merged.trust, spec.trust),
            places=merged.places + spec.places,
        )
    return merged


def _kernel(first: Kernel | None, second: Kernel | None) -> Kernel | None:
    if first is None or second is None:
        return second or first
    written = {name: getattr(second, name) for name in names(Kernel)}
    return replace(first, **{name: v for name, v in written.items() if v is not None})


def _trust(first: Trust | None, second: Trust | None) -> Trust | None:
    if first is None or second is None:
        return second or first
    return Trust(
        image=(first.image or ()) + (second.image or ()),
        org=(first.org or ()) + (second.org or ()),
    )
