"""The ``resources`` of a container: the part of the language about control groups.

The keys are those of the OCI runtime specification (config-linux.md, "Control groups"), with the
spelling that upstream's schema gives them; :mod:`linuxkit.build.runtime` writes them out.
"""

from __future__ import annotations

from typing import Annotated

from linuxkit.spec import text
from linuxkit.spec.decode import Key
from linuxkit.spec.record import Record

_U16 = 2**16 - 1
_U32 = 2**32 - 1
_U64 = 2**64 - 1
_I63 = 2**63 - 1


class DeviceRule(Record):
    """A rule about which devices may be used."""

    allow: Annotated[bool, Key("Whether the devices may be used.")] = False
    type: Annotated[
        str | None, Key("Character, block or all devices.", choices=("a", "b", "c", "u"))
    ] = None
    major: Annotated[int | None, Key("Major number; any when unset.", least=-1, most=_I63)] = None
    minor: Annotated[int | None, Key("Minor number; any when unset.", least=-1, most=_I63)] = None
    access: Annotated[str | None, Key('Of "r" (read), "w" (write) and "m" (mknod).')] = None


class Memory(Record):
    """Limits of memory, in bytes; -1 is no limit."""

    limit: Annotated[int | None, Key("Memory, in bytes.", least=-1, most=_I63)] = None
    reservation: Annotated[int | None, Key("Soft limit, in bytes.", least=-1, most=_I63)] = None
    swap: Annotated[int | None, Key("Memory and swap together, in bytes.", least=-1, most=_I63)] = (
        None
    )
    kernel: Annotated[
        int | None, Key("Kernel memory, in bytes (control groups v1).", least=-1, most=_I63)
    ] = None
    kernel_tcp: Annotated[
        int | None,
        Key("TCP buffers, in bytes (v1).", name="kernelTCP", least=-1, most=_I63),
    ] = None
    swappiness: Annotated[int | None, Key("Tendency to swap, 0 to 100.", least=0, most=100)] = None
    disable_oom_killer: Annotated[
        bool | None, Key("Do not kill when memory is short (v1).", name="disableOOMKiller")
    ] = None


class Cpu(Record):
    """Shares of the processors."""

    shares: Annotated[int | None, Key("Relative weight, 2 to 262144.", least=0, most=_U64)] = None
    quota: Annotated[
        int | None, Key("Microseconds of run time in each period.", least=-1, most=_I63)
    ] = None
    period: Annotated[
        int | None, Key("Length of a period in microseconds.", least=0, most=_U64)
    ] = None
    realtime_runtime: Annotated[
        int | None, Key("Microseconds of real-time run time (v1).", least=-1, most=_I63)
    ] = None
    realtime_period: Annotated[
        int | None, Key("Real-time period in microseconds (v1).", least=0, most=_U64)
    ] = None
    cpus: Annotated[str | None, Key('Processors to run on, such as "0-2,4".')] = None
    mems: Annotated[str | None, Key('Memory nodes to use, such as "0".')] = None


class Pids(Record):
    """The number of processes and threads."""

    limit: Annotated[int, Key("How many there may be; -1 is no limit.", least=-1, most=_I63)]


class WeightDevice(Record):
    """The weight for one block device."""

    major: Annotated[int, Key("Major number.", least=0, most=_I63)]
    minor: Annotated[int, Key("Minor number.", least=0, most=_I63)]
    weight: Annotated[int | None, Key("Weight, 10 to 1000.", least=0, most=_U16)] = None
    leaf_weight: Annotated[
        int | None, Key("Weight against child groups (v1).", least=0, most=_U16)
    ] = None


class ThrottleDevice(Record):
    """A rate limit for one block device."""

    major: Annotated[int, Key("Major number.", least=0, most=_I63)]
    minor: Annotated[int, Key("Minor number.", least=0, most=_I63)]
    rate: Annotated[int, Key("Bytes or operations a second.", least=0, most=_U64)]


Throttles = tuple[ThrottleDevice, ...]


class BlockIO(Record):
    """Shares and limits of block devices."""

    weight: Annotated[int | None, Key("Relative weight, 10 to 1000.", least=0, most=_U16)] = None
    leaf_weight: Annotated[
        int | None, Key("Weight against child groups (v1).", least=0, most=_U16)
    ] = None
    weight_device: Annotated[tuple[WeightDevice, ...] | None, Key("Weights of single devices.")] = (
        None
    )
    throttle_read_bps_device: Annotated[
        Throttles | None, Key("Bytes read a second.", name="throttleReadBpsDevice")
    ] = None
    throttle_write_bps_device: Annotated[
        Throttles | None, Key("Bytes written a second.", name="throttleWriteBpsDevice")
    ] = None
    throttle_read_iops_device: Annotated[
        Throttles | None, Key("Reads a second.", name="throttleReadIOPSDevice")
    ] = None
    throttle_write_iops_device: Annotated[
        Throttles | None, Key("Writes a second.", name="throttleWriteIOPSDevice")
    ] = None


class HugepageLimit(Record):
    """How much memory may be taken in huge pages of one size."""

    page_size: Annotated[
        int | str,
        Key('Size of a page, such as "2MB"; a number counts MB.', read=text.page_size,
            least=1, most=1 << 20),
    ]  # fmt: skip
    limit: Annotated[int, Key("Limit in bytes.", least=0, most=_U64)]


class InterfacePriority(Record):
    """The priority of traffic on one network interface."""

    name: Annotated[str, Key("The interface.")]
    priority: Annotated[int, Key("The priority.", least=0, most=_U32)]


class Network(Record):
    """Marks on network traffic (control groups v1)."""

    class_id: Annotated[
        int | None, Key("Class of the packets sent.", name="classID", least=0, most=_U32)
    ] = None
    priorities: Annotated[tuple[InterfacePriority, ...] | None, Key("Priorities by interface.")] = (
        None
    )


class Resources(Record):
    """What a container may use up."""

    devices: Annotated[tuple[DeviceRule, ...] | None, Key("Devices that may be used.")] = None
    memory: Annotated[Memory | None, Key("Limits of memory.")] = None
    cpu: Annotated[Cpu | None, Key("Shares of the processors.")] = None
    pids: Annotated[Pids | None, Key("Limit of processes.")] = None
    blockio: Annotated[BlockIO | None, Key("Limits of block devices.")] = None
    hugepage_limits: Annotated[tuple[HugepageLimit, ...] | None, Key("Limits of huge pages.")] = (
        None
    )
    network: Annotated[Network | None, Key("Marks on network traffic.")] = None
