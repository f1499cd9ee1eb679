"""Compression with the same bytes on every machine, and decompression with limits.

The libraries are imported when they are first needed.  What is inside is somebody else's business.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from linuxkit.base import events
from linuxkit.base.errors import Error, printable, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from linuxkit.tree.content import Sink


class _Levels(NamedTuple):
    least: int
    default: int
    most: int


_LEVELS = {
    "none": _Levels(0, 0, 0),
    "gzip": _Levels(1, 6, 9),
    "zstd": _Levels(1, 3, 19),
    "lz4": _Levels(1, 1, 12),
    "xz": _Levels(0, 6, 9),
}

# Encoders get blocks of this size however they are written to: zlib-ng's levels 1 and 6 give other
# bytes when their input comes in other pieces.
_BLOCK = 256 << 10
_LZ4_BLOCK = 8 << 20  # fixed by the legacy frame format
_LZ4_MAGIC = 0x184C2102
_LZ4_HIGH = 3  # from this level on the slow, dense encoder
_ZSTD_ANY_WORKERS = 4  # up to this level memory allows for a second worker
_ZSTD_JOB = 4 << 20
_ZSTD_CHAIN_LOG = 23
_ZSTD_WINDOW_LOG = 27  # 128 MiB, as much as the kernel takes
_XZ_MEMORY = 192 << 20  # xz -9 needs 65 MiB

_INPUT = 32 << 10  # small, as what is behind a member's end is copied for each member
_OUTPUT = 1 << 20


class Compression(NamedTuple):
    """A way to compress; ``level`` is the library's own scale, 0 for "none"."""

    name: str
    level: int

    @property
    def form(self) -> str:
        """A word for file names and keys: ``zstd.3``."""
        return self.name if self.name == "none" else f"{self.name}.{self.level}"

    def __str__(self) -> str:
        return self.form.replace(".", ":")


def parse(text: str) -> Compression:
    """``"zstd"`` or ``"zstd:19"`` as a compression.  Raises LK0613."""
    name, colon, digits = text.partition(":")
    if colon and not (digits.isascii() and digits.isdigit() and len(digits) < 4):  # noqa: PLR2004
        raise Error(
            "LK0613",
            f'"{printable(text)}" has no compression level behind its colon',
            hint="write it like zstd:19",
        )
    return _checked(name, int(digits) if colon else None)


def _checked(name: str, level: int | None) -> Compression:
    levels = _LEVELS.get(name)
    if levels is None:
        hint = suggestion(name, _LEVELS) or f"known: {', '.join(_LEVELS)}"
        raise Error("LK0613", f'unknown compression "{printable(name)}"', hint=hint)
    chosen = levels.default if level is None else level
    if not levels.least <= chosen <= levels.most:
        raise Error(
            "LK0613",
            f"{name} has no level {chosen}",
            hint=f"levels go from {levels.least} to {levels.most}"
            if levels.most
            else f"write it without a level: {name}",
        )
    return Compression(name, chosen)


class _Encoder(Protocol):
    def compress(self, data: memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Writer:
    """Compresses what is written to it; the output is complete after :meth:`close`."""

    def __init__(self, encoder: _Encoder, out: Sink, block: int) -> None:
        self._encoder = encoder
        self._out = out
        self._block = block
        self._buffer = bytearray()

    def write(self, data: bytes) -> int:
        """Take all of ``data``."""
        self._buffer += data
        if len(self._buffer) >= self._block:
            whole = len(self._buffer) - len(self._buffer) % self._block
            with memoryview(self._buffer) as view:
                for at in range(0, whole, self._block):
                    self._emit(self._encoder.compress(view[at : at + self._block]))
            del self._buffer[:whole]
        return len(data)

    def close(self) -> None:
        """Compress the rest and end the stream; ``out`` stays open."""
        if self._buffer:
            self._emit(self._encoder.compress(memoryview(self._buffer)))
            self._buffer = bytearray()
        self._emit(self._encoder.flush())

    def _emit(self, data: bytes) -> None:
        if data:
            self._out.write(data)


def open_writer(name: str, level: int | None, out: Sink) -> Writer:
    """A writer that compresses into ``out``; the bytes depend on the input and the level only.

    ``lz4`` is the legacy frame and ``xz`` has CRC-32 checks, which is what Linux takes for an
    initramfs.  Raises LK0613 for an unknown name or level, LK0614 where the library is missing.
    """
    chosen = _checked(name, level)
    encoder = _ENCODERS[chosen.name](chosen.level)
    return Writer(encoder, out, _LZ4_BLOCK if name == "lz4" else _BLOCK)


def deflated(data: bytes) -> bytes:
    """``data`` as one zlib stream (RFC 1950), for formats that compress in small pieces."""
    return bytes(_zlib().compress(data, 1))


class _Plain:
    def __init__(self, _level: int) -> None:
        pass

    def compress(self, data: memoryview) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


class _Gzip:
    """One gzip member (RFC 1952) without name and time, from an unknown system."""

    def __init__(self, level: int) -> None:
        self._zlib = _zlib()
        if self._zlib.__name__ == "zlib":
            events.note(
                "zlib-ng is not installed: gzip output will differ from other machines'",
                level="warning",
                code="LK0618",
            )
        self._deflate = self._zlib.compressobj(level, self._zlib.DEFLATED, -15)
        extra = {1: 4, 9: 2}.get(level, 0)
        self._head = struct.pack("<4BI2B", 0x1F, 0x8B, 8, 0, 0, extra, 255)
        self._crc = 0
        self._size = 0

    def compress(self, data: memoryview) -> bytes:
        self._crc = self._zlib.crc32(data, self._crc)
        self._size += len(data)
        head, self._head = self._head, b""
        return head + bytes(self._deflate.compress(data))

    def flush(self) -> bytes:
        tail = struct.pack("<2I", self._crc, self._size & 0xFFFFFFFF)
        return self._head + bytes(self._deflate.flush()) + tail


class _Lz4:
    """The legacy frame: a magic number, then blocks of 8 MiB with their compressed length."""

    def __init__(self, level: int) -> None:
        try:
            import lz4.block
        except ImportError:
            raise _missing("lz4", "pip install 'linuxkit[lz4]'") from None
        self._block = lz4.block
        self._options: dict[str, object] = {"mode": "default"}
        if level >= _LZ4_HIGH:
            self._options = {"mode": "high_compression", "compression": level}
        self._head = struct.pack("<I", _LZ4_MAGIC)

    def compress(self, data: memoryview) -> bytes:
        packed = self._block.compress(data, store_size=False, **self._options)
        head, self._head = self._head, b""
        return head + struct.pack("<I", len(packed)) + bytes(packed)

    def flush(self) -> bytes:
        return self._head


def _zstd_encoder(level: int) -> _Encoder:
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    # Any number of workers but none gives the same bytes.
    workers = min(2, len(os.sched_getaffinity(0))) if level <= _ZSTD_ANY_WORKERS else 1
    options = {
        parameter.compression_level: level,
        parameter.nb_workers: workers,
        parameter.checksum_flag: 0,  # the store knows digests; the kernel boots sooner without
    }
    if level > _ZSTD_ANY_WORKERS:
        options[parameter.job_size] = _ZSTD_JOB
    if level == _LEVELS["zstd"].most:
        options[parameter.chain_log] = _ZSTD_CHAIN_LOG  # half of the default: 32 MiB of tables
    encoder: _Encoder = zstd.ZstdCompressor(options=options)
    return encoder


def _xz_encoder(level: int) -> _Encoder:
    import lzma

    return lzma.LZMACompressor(lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, preset=level)


_ENCODERS: dict[str, Callable[[int], _Encoder]] = {
    "none": _Plain,
    "gzip": _Gzip,
    "zstd": _zstd_encoder,
    "lz4": _Lz4,
    "xz": _xz_encoder,
}


def _zlib() -> Any:  # noqa: ANN401 - two modules with the same functions
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        import zlib

        return zlib
    return zlib_ng


def _zstd() -> Any:  # noqa: ANN401 - as above
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise _missing("zstd", "pip install backports.zstd") from None
    return zstd


def _missing(what: str, hint: str) -> Error:
    return Error("LK0614", f"the library for {what} compression is not installed", hint=hint)


class ExpansionLimit(NamedTuple):
    """How much a compressed stream may grow: bytes in all, and per byte of input.

    The ratio counts once ``free`` bytes are out; a few zeros compress better than any real tree.
    """

    total: int = 16 << 30
    ratio: int = 200
    free: int = 64 << 20


LIMIT = ExpansionLimit()


class Source(Protocol):
    """Anything to read from; an empty answer is the end."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Codec(NamedTuple):
    """How to take one compressed format apart, member after member."""

    name: str
    magics: tuple[bytes, ...]
    decoder: Callable[[], _Decoder]
    error: type[Exception]


class _Gunzip:
    """zlib's decompressor with the manners of the other two."""

    def __init__(self) -> None:
        self._inner = _zlib().decompressobj(31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        chunk = bytes(self._inner.decompress(self._inner.unconsumed_tail + data, max_length))
        self.needs_input = not self._inner.unconsumed_tail
        return chunk


_MAGIC = 6  # bytes that tell all formats apart
_GZIP_MAGICS = (b"\x1f\x8b",)
_XZ_MAGICS = (b"\xfd7zXZ\0",)
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60)))


def _codec(head: bytes) -> _Codec | None:
    """The format that ``head`` begins, None for one that we do not know."""
    if head.startswith(_GZIP_MAGICS):
        return _Codec("gzip", _GZIP_MAGICS, _Gunzip, _zlib().error)
    if head.startswith(_ZSTD_MAGICS):
        zstd = _zstd()
        options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}

        def unzstd() -> _Decoder:
            decoder: _Decoder = zstd.ZstdDecompressor(options=options)
            return decoder

        return _Codec("zstd", _ZSTD_MAGICS, unzstd, zstd.ZstdError)
    if head.startswith(_XZ_MAGICS):
        import lzma

        def unxz() -> _Decoder:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

        return _Codec("xz", _XZ_MAGICS, unxz, lzma.LZMAError)
    return None


class _Counted:
    """A source that knows how much was taken."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.taken = 0

    def read(self, size: int = _INPUT) -> bytes:
        data = self._source.read(size)
        self.taken += len(data)
        return data

    def fill(self, data: bytes, size: int) -> bytes:
        """``data`` with more behind it, so that it has ``size`` bytes if there are as many."""
        while len(data) < size and (more := self.read()):
            data += more
        return data


def spool(source: Source, out: Sink, *, limit: ExpansionLimit = LIMIT) -> int:
    """Decompress ``source`` into ``out`` and return how many bytes that gave.

    gzip (any number of members), zstd (frames, skippable ones too, windows up to 128 MiB) and xz
    (streams) are told by their first bytes; anything else is copied.  Raises LK0615 for damaged
    or truncated data and for anything behind the end, LK0616 beyond ``limit``.
    """
    counted = _Counted(source)
    head = counted.fill(b"", _MAGIC)
    codec = _codec(head)
    done = 0
    for chunk in _members(counted, head, codec) if codec else _copied(counted, head):
        done += len(chunk)
        if done > limit.total:
            raise Error("LK0616", f"the data unpacks to more than {limit.total} bytes")
        if codec and done > limit.free and done > limit.ratio * counted.taken:
            raise Error("LK0616", f"the data unpacks to more than {limit.ratio} times its size")
        out.write(chunk)
    return done


def _copied(source: _Counted, head: bytes) -> Iterator[bytes]:
    data = head
    while data:
        yield data
        data = source.read(_OUTPUT)


def _members(source: _Counted, head: bytes, codec: _Codec) -> Iterator[bytes]:
    data = head
    while data:
        if not data.startswith(codec.magics):
            raise _damaged(codec, "there is something behind its end")
        decoder = codec.decoder()
        while not decoder.eof:
            try:
                chunk = decoder.decompress(data, _OUTPUT)
            except codec.error as error:
                raise _damaged(codec, printable(str(error))) from error
            if chunk:
                yield chunk
            data = b""
            if decoder.needs_input and not decoder.eof:
                data = source.read()
                if not data and not chunk:
                    raise _damaged(codec, "it is cut short")
        data = source.fill(decoder.unused_data, _MAGIC)


def _damaged(codec: _Codec, why: str) -> Error:
    return Error("LK0615", f"the {codec.name} data is damaged: {why}")
