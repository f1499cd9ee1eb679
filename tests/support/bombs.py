"""Archives that are small on the way in and large in memory."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from functools import cache

from backports import zstd

from support.archives import block, member, pax, record


@cache
def zeros(size: int = 64 << 20) -> bytes:
    """One gzip member of ``size`` zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    chunk = bytes(1 << 20)
    return b"".join(packer.compress(chunk) for _ in range(size >> 20)) + packer.flush()


def gzip_bomb() -> bytes:
    """10 GiB in 10 MB."""
    return zeros() * 160


@cache
def zstd_bomb() -> bytes:
    """10 GiB in less than 1 MB."""
    return zstd.compress(bytes(64 << 20), 3) * 160


def xz_bomb() -> bytes:
    """1 GiB in 150 kB."""
    import lzma

    return lzma.compress(bytes(64 << 20), preset=0) * 16


def _mixed(seed: int, size: int) -> bytes:
    """``size`` bytes that pack to a thirtieth: no ratio gives them away."""
    noise = b"".join(hashlib.sha256(b"%d %d" % (seed, n)).hexdigest().encode() for n in range(size // 1024))
    return noise.ljust(size, b"-")


def attribute_bomb() -> bytes:
    """140 MiB of extended attributes, each within its limit."""
    value = _mixed(0, 64 << 10)
    body = b"".join(record(b"SCHILY.xattr.user.%d" % k, value) for k in range(15))
    entries = (member(b"x", body, b"x") + block(b"f%d" % n) for n in range(150))
    return gzip.compress(b"".join(entries), 1, mtime=0)


def name_bomb() -> bytes:
    """140 MiB of names, each within its limit."""
    words = [_mixed(n, 4096).replace(b"/", b"-") for n in range(64)]
    parts = []
    for n in range(36_000):
        text = words[n % 64]
        name = b"/".join([b"%d" % n, *(text[at : at + 200] for at in range(0, 4000, 200))])
        parts.append(pax((b"path", name)) + block())
    return gzip.compress(b"".join(parts), 1, mtime=0)
