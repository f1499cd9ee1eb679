"""A container's limits as the ``resources`` of an OCI runtime configuration.

The keys are those of config-linux.md in the OCI runtime specification, in the order of its Go
types; everything else of that configuration is :mod:`linuxkit.build.runtime`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linuxkit.spec.parts import Device
    from linuxkit.spec.resources import (
        BlockIO,
        Cpu,
        DeviceRule,
        Memory,
        Network,
        Resources,
        ThrottleDevice,
    )

Value = dict[str, object]

NO_DEVICES: Value = {"allow": False, "access": "rwm"}
"""runc keeps all but the usual from a container that lists none; crun does when it is told."""


def resources(limits: Resources | None, devices: Iterable[Device]) -> Value:
    """The value of ``linux.resources``; each device node comes with leave to use it."""
    rules = [_device_rule(rule) for rule in (limits.devices if limits else None) or ()]
    for device in devices:
        row: Value = {"allow": True, "type": device.type}
        if device.path != "all":
            row |= {"major": device.major, "minor": device.minor}
        rules.append({**row, "access": "rwm"})
    found = filled(devices=rules or [NO_DEVICES])
    if limits:
        pages = [
            {"pageSize": _page_size(limit.page_size), "limit": limit.limit}
            for limit in limits.hugepage_limits or ()
        ]
        parts = {
            "memory": limits.memory and _memory(limits.memory),
            "cpu": limits.cpu and _cpu(limits.cpu),
            "pids": limits.pids and {"limit": limits.pids.limit},
            "blockIO": limits.blockio and _block_io(limits.blockio),
            "hugepageLimits": pages or None,
            "network": limits.network and _network(limits.network),
        }
        found |= known(**parts)
    return found


def _device_rule(rule: DeviceRule) -> Value:
    return {
        "allow": rule.allow,
        **known(type=rule.type or None, major=rule.major, minor=rule.minor),
        **filled(access=rule.access),
    }


def _memory(memory: Memory) -> Value:
    return known(
        limit=memory.limit,
        reservation=memory.reservation,
        swap=memory.swap,
        kernel=memory.kernel,
        kernelTCP=memory.kernel_tcp,
        swappiness=memory.swappiness,
        disableOOMKiller=memory.disable_oom_killer,
    )


def _cpu(cpu: Cpu) -> Value:
    return known(
        shares=cpu.shares,
        quota=cpu.quota,
        period=cpu.period,
        realtimeRuntime=cpu.realtime_runtime,
        realtimePeriod=cpu.realtime_period,
        cpus=cpu.cpus or None,
        mems=cpu.mems or None,
    )


def _block_io(blockio: BlockIO) -> Value:
    weights = [
        {
            "major": d.major,
            "minor": d.minor,
            **known(weight=d.weight, leafWeight=d.leaf_weight),
        }
        for d in blockio.weight_device or ()
    ]
    return {
        **known(weight=blockio.weight, leafWeight=blockio.leaf_weight),
        **filled(
            weightDevice=weights,
            throttleReadBpsDevice=_throttles(blockio.throttle_read_bps_device),
            throttleWriteBpsDevice=_throttles(blockio.throttle_write_bps_device),
            throttleReadIOPSDevice=_throttles(blockio.throttle_read_iops_device),
            throttleWriteIOPSDevice=_throttles(blockio.throttle_write_iops_device),
        ),
    }


def _throttles(devices: Iterable[ThrottleDevice] | None) -> list[Value]:
    return [{"major": d.major, "minor": d.minor, "rate": d.rate} for d in devices or ()]


def _page_size(size: int | str) -> str:
    return f"{size}MB" if isinstance(size, int) else size


def _network(network: Network) -> Value:
    priorities = [{"name": p.name, "priority": p.priority} for p in network.priorities or ()]
    return {**known(classID=network.class_id), **filled(priorities=priorities)}


def filled(**values: object) -> Value:
    """The values that are not empty, as Go's ``omitempty`` has it for lists, maps and texts."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}


def known(**values: object) -> Value:
    """The values that are not None, as Go's ``omitempty`` has it for pointers."""
    return {key: value for key, value in values.items() if value is not None}
