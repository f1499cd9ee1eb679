"""The FAT file system that firmware reads, as small as its content allows.

Which of FAT12, 16 and 32 it is follows from the number of clusters alone (Microsoft, FAT
specification, "FAT type determination").
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error
from linuxkit.disk import tools as tools_

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from linuxkit.disk.tools import Tools

_SECTOR = 512
_MAX_12, _MAX_16 = 4084, 65524  # clusters
_FAT16, _FAT32 = 16, 32
_ROOT_ENTRIES = 512
_MAX_FILE = (4 << 30) - 1
_MAX_CLUSTER = 1 << 15  # bytes
_SPARE = 16  # clusters, for folders
_LEAST_32 = _MAX_16 + _SPARE


class Geometry(NamedTuple):
    """What mkfs.fat is told."""

    bits: int
    cluster: int  # bytes
    sectors: int  # of the whole


def geometry(sizes: list[int], *, fat32: bool = False) -> Geometry:
    """The smallest file system for files of these sizes in bytes; ``fat32``: it must be that."""
    cluster = _cluster_of_fat32(sizes) if fat32 else _cluster(sizes)
    clusters = max(_clusters(sizes, cluster), _LEAST_32 if fat32 else 0)
    bits = _FAT16 if clusters <= _MAX_16 - _SPARE else _FAT32
    if clusters <= _MAX_12 - _SPARE:
        bits = 12
    if bits == _FAT16:
        clusters = max(clusters, _MAX_12 + _SPARE)
    table = -(-(clusters + 2) * bits // (8 * _SECTOR))
    reserved, root = (32, 0) if bits == _FAT32 else (1, _ROOT_ENTRIES * 32 // _SECTOR)
    per_cluster = cluster // _SECTOR
    # mkfs.fat aligns its structures to clusters.
    overhead = sum(-(-part // per_cluster) * per_cluster for part in (reserved, 2 * table, root))
    sectors = overhead + clusters * per_cluster
    return Geometry(bits, cluster, sectors + -sectors % 2048)


def _clusters(sizes: list[int], cluster: int) -> int:
    return sum(-(-size // cluster) for size in sizes) + _SPARE + len(sizes)


def _cluster(sizes: list[int]) -> int:
    """The smallest one with which FAT12 or FAT16 will do, if any will."""
    cluster = 2048
    while cluster < _MAX_CLUSTER and _clusters(sizes, cluster) > _MAX_16 - _SPARE:
        cluster *= 2
    return cluster


def _cluster_of_fat32(sizes: list[int]) -> int:
    """The largest one with which there are enough of them."""
    cluster = _SECTOR
    while cluster < _MAX_CLUSTER and _clusters(sizes, 2 * cluster) >= _LEAST_32:
        cluster *= 2
    return cluster


def make(
    content: Mapping[str, tuple[BinaryIO, int]],
    out: BinaryIO,
    label: str,
    serial: int,
    tools: Tools,
    *,
    room: int = 0,
    fat32: bool = False,
) -> int:
    """Write a file system with ``content`` (path → open file, bytes) to the empty file ``out``.

    A file of ``room`` bytes fits in later; ``fat32``: it is that, however small.  Returns its size
    in bytes, a multiple of 1 MiB.  Raises LK0743 for a file that FAT cannot hold.
    """
    for path, (_, size) in content.items():
        if size > _MAX_FILE:
            raise Error("LK0743", f"{path} is larger than the 4 GiB a file of FAT may have")
    shape = geometry([room, *(size for _, size in content.values())], fat32=fat32)
    out.truncate(shape.sectors * _SECTOR)
    image = tools_.handle(out.fileno())
    handles = [out.fileno(), *(file.fileno() for file, _ in content.values())]
    tools_.run(
        tools, "mkfs.fat", "--invariant", "-i", f"{serial:08x}", "-n", label, "-F", str(shape.bits),
        "-s", str(shape.cluster // _SECTOR), "-r", str(_ROOT_ENTRIES), image, files=handles,
    )  # fmt: skip
    folders = sorted({above for path in content for above in _above(path)})
    if folders:
        names = [f"::/{folder}" for folder in folders]
        tools_.run(tools, "mtools", "-c", "mmd", "-i", image, *names, files=handles)
    for path, (file, _) in content.items():
        source = tools_.handle(file.fileno())
        words = ("-c", "mcopy", "-i", image, source, f"::/{path}")
        tools_.run(tools, "mtools", *words, files=handles)
    return shape.sectors * _SECTOR


def _above(path: str) -> list[str]:
    found = []
    while path := posixpath.dirname(path):
        found.append(path)
    return found
