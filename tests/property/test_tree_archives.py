"""Archives: what was written is read again, whatever comes in is taken or refused, and what is
taken is what GNU tar sees."""

from __future__ import annotations

import io
import subprocess

from hypothesis import example, given, settings
from hypothesis import strategies as st

from linuxkit.base.errors import Error
from linuxkit.tree import compress, cpio, tar
from linuxkit.tree import path as paths
from linuxkit.tree.entry import Bytes, Entry, Kind
from support import archives
from support.archives import END, opened, plain, read_tar, refusal

components = st.binary(min_size=1, max_size=120).filter(
    lambda raw: raw not in {b".", b".."} and not {0, 0x2F} & set(raw)
)
names = (
    st.lists(components, min_size=1, max_size=4)
    .map(b"/".join)
    .map(paths.clean)
    .filter(lambda name: name != "TRAILER!!!")
)
targets = st.binary(min_size=1, max_size=200).filter(lambda raw: 0 not in raw).map(paths.target)
ids = st.sampled_from([0, 1, 0o7777777, 0o10000000, 2**32 - 2]) | st.integers(0, 2**32 - 2)
numbers = st.integers(0, 2**12 - 1)
xattr_names = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0="), max_size=20)
    .map(lambda text: f"user.{text}")
)  # fmt: skip
xattrs = st.dictionaries(xattr_names, st.binary(max_size=40), max_size=3)


@st.composite
def entries(draw, *, largest_time: int = 2**40, with_xattrs: bool = True) -> Entry:
    kind = draw(st.sampled_from(list(Kind)))
    link, content, major, minor = "", b"", 0, 0
    if kind is Kind.FILE:
        content = draw(st.binary(max_size=1200))
    elif kind is Kind.SYMLINK:
        link = draw(targets)
    elif kind is Kind.HARDLINK:
        link = draw(names)
    elif kind in {Kind.CHAR, Kind.BLOCK}:
        major, minor = draw(numbers), draw(numbers)
    return Entry(
        draw(names), kind, draw(st.integers(0, 0o7777)), draw(ids), draw(ids),
        draw(st.integers(0, largest_time)), Bytes(content), link, major, minor,
        draw(xattrs) if with_xattrs else {},
    )  # fmt: skip


records = st.dictionaries(
    st.sampled_from(["LINUXKIT.source", "LINUXKIT.location", "x"]), st.text(max_size=120)
)


@given(st.lists(entries(), max_size=6), records)
def test_tar_round_trip(tree, more):
    out = io.BytesIO()
    tar.write(tree, out, more)
    assert plain(read_tar(out.getvalue())) == plain(tree)


@given(st.lists(entries(largest_time=2**32 - 1, with_xattrs=False), max_size=6))
def test_cpio_round_trip(tree):
    # One name each, and links only to what comes before.
    before: dict[str, Entry] = {}
    for entry in tree:
        if entry.path in before:
            continue
        if entry.kind is Kind.HARDLINK:
            files = [e for e in before.values() if e.kind is Kind.FILE]
            if not files:
                continue
            first = files[len(entry.path) % len(files)]
            before[entry.path] = Entry(
                entry.path, Kind.HARDLINK, first.mode, first.uid, first.gid, first.mtime,
                link=first.path,
            )  # fmt: skip
        else:
            before[entry.path] = entry
    out = io.BytesIO()
    assert cpio.write(before.values(), out).written == len(out.getvalue())
    with opened(out.getvalue() * 2) as handle:
        assert plain(cpio.read(handle)) == plain(before.values()) * 2


@given(
    st.sampled_from(["gzip:1", "gzip", "zstd", "xz:0", "none"]), st.lists(st.binary(), max_size=9)
)
def test_compression_round_trip(form, pieces):
    chosen = compress.parse(form)
    out = io.BytesIO()
    writer = compress.open_writer(chosen.name, chosen.level, out)
    for piece in pieces:
        writer.write(piece)
    writer.close()
    back = io.BytesIO()
    if chosen.name != "none":  # what is not compressed may look as if it were
        assert compress.spool(io.BytesIO(out.getvalue()), back) == sum(map(len, pieces))
        assert back.getvalue() == b"".join(pieces)


VALID = io.BytesIO()
tar.write(
    [
        archives.folder("etc"),
        archives.file("etc/" + "f" * 120, b"x" * 700, xattrs={"user.a": b"b"}),
        archives.hardlink("etc/h", "etc/" + "f" * 120),
        archives.symlink("etc/s", "../../x"),
        archives.file("n" * 90, b"x", uid=2**31),
    ],
    VALID,
)
VALID_CPIO = io.BytesIO()
cpio.write(
    [archives.folder("d"), archives.file("d/a", b"x" * 30), archives.hardlink("d/b", "d/a"),
     archives.symlink("s", "../t")],
    VALID_CPIO,
)  # fmt: skip
changes = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6)


def mutated(data: bytes, edits: list[tuple[int, int]], size: int) -> bytes:
    changed = bytearray(data)
    for at, value in edits:
        changed[at % len(changed)] = value
    return bytes(changed[:size])


@given(changes, st.integers(0, 8000), st.booleans())
def test_tar_reader_takes_or_refuses(edits, size, mend):
    data = mutated(VALID.getvalue(), edits, size)
    if mend:  # so that more than the checksum is tried
        blocks = []
        for at in range(0, len(data) - 511, 512):
            block = data[at : at + 512]
            if block[257:262] == b"ustar":
                total = sum(block[:148]) + sum(block[156:]) + 256
                block = block[:148] + b"%06o\0 " % total + block[156:]
            blocks.append(block)
        data = b"".join(blocks)
    found: list[Entry] = []
    error = refusal(lambda: found.extend(read_tar(data)))
    assert error is None or error.code.startswith("LK06")
    assert error is None or str(error).isprintable()
    for entry in found:
        assert paths.clean(entry.path) == entry.path


@given(st.binary(max_size=1500))
def test_tar_reader_takes_or_refuses_anything(data):
    error = refusal(lambda: read_tar(data))
    assert error is None or error.code.startswith("LK06")


@given(changes, st.integers(0, 2000))
def test_cpio_reader_takes_or_refuses(edits, size):
    with opened(mutated(VALID_CPIO.getvalue(), edits, size)) as handle:
        found: list[Entry] = []
        error = refusal(lambda: found.extend(cpio.read(handle)))
        assert error is None or error.code in {"LK0601", "LK0612"}
        for entry in found:
            assert paths.clean(entry.path) == entry.path
            assert len(b"".join(entry.content.chunks())) == entry.content.size


@given(st.sampled_from(["gzip", "zstd", "xz"]), changes, st.integers(0, 9000))
def test_spool_takes_or_refuses(name, edits, size):
    out = io.BytesIO()
    writer = compress.open_writer(name, None, out)
    writer.write(VALID.getvalue())
    writer.close()
    data = io.BytesIO(mutated(out.getvalue(), edits, size))
    error = refusal(lambda: compress.spool(data, io.BytesIO()))
    assert error is None or error.code == "LK0615"


# The same archives in the eyes of GNU tar: two readers that disagree let files be smuggled.

words = st.sampled_from([b"a", b"b/c", b"d" * 99, b"e/" * 49 + b"f", b"./g", b"h/"])
sizes = st.sampled_from([0, 1, 511, 512, 513, 1024])
flags = st.sampled_from([b"0", b"0", b"0", b"\0", b"7", b"1", b"2", b"3", b"5", b"6", b"S", b"V"])
magics = st.sampled_from([b"ustar\x0000"] * 4 + [b"ustar  \0", bytes(8)])


@st.composite
def members(draw) -> bytes:
    size = draw(sizes)
    flag = draw(flags)
    header = draw(st.sampled_from([size, size, 0])) if flag in b"0\x007" else 0
    head = archives.block(
        draw(words), flag, header, link=draw(words), magic=draw(magics),
        prefix=draw(st.sampled_from([b"", b"", b"p/q"])),
    )  # fmt: skip
    inner = archives.block(b"smuggled", b"0", 0)
    body = (inner * 2)[:size] if draw(st.booleans()) else b"x" * size
    return head + (archives.padded(body) if header or draw(st.booleans()) else b"")


@st.composite
def extended(draw) -> bytes:
    what = draw(st.sampled_from("xxgLK"))
    if what in "LK":
        return archives.long_name(draw(words) * draw(st.integers(1, 3)), what.encode())
    pairs = st.sampled_from([
        (b"path", b"pax/name"), (b"path", b"x" * 120), (b"linkpath", b"pax/link"),
        (b"size", b"0"), (b"size", b"512"), (b"size", b"1024"), (b"size", b"513"),
        (b"uid", b"7"), (b"mtime", b"5.5"), (b"comment", b"c"),
    ])  # fmt: skip
    return archives.pax(*draw(st.lists(pairs, max_size=2)), flag=what.encode())


streams = st.lists(extended() | members() | members(), min_size=1, max_size=5).map(b"".join)


def gnu_listing(data: bytes) -> list[tuple[str, str, str]]:
    done = subprocess.run(
        ["tar", "--numeric-owner", "--quoting-style=literal", "-tvf", "-"], input=data,
        capture_output=True, check=True, env={"LC_ALL": "C", "TZ": "UTC"},
    )  # fmt: skip
    rows = []
    for line in done.stdout.decode().splitlines():
        mode, owner, size, _date, _time, name = line.split(maxsplit=5)
        name = name.split(" -> ")[0].split(" link to ")[0]
        rows.append((f"{mode[0]} {owner}", size, paths.clean_or_root(name)))
    return rows


LETTERS = {
    Kind.FILE: "-", Kind.DIR: "d", Kind.SYMLINK: "l", Kind.HARDLINK: "h", Kind.CHAR: "c",
    Kind.FIFO: "p",
}  # fmt: skip


def our_listing(data: bytes) -> list[tuple[str, str, str]]:
    return [
        (
            f"{LETTERS[e.kind]} {e.uid}/{e.gid}",
            "0,0" if e.kind is Kind.CHAR else str(e.content.size),
            e.path,
        )
        for e in read_tar(data)
    ]


@settings(max_examples=400)
@given(streams)
@example(archives.pax((b"size", b"1024")) + archives.block(b"o") + archives.member(b"i", b"j"))
def test_gnu_tar_sees_the_same(data):
    try:
        ours = our_listing(data + END)
    except Error:
        return
    listing = gnu_listing(data + END)
    # GNU tar shows "contiguous" files as C, and knows no owners of global headers' other kinds.
    assert [(kind.replace("C ", "- "), size, name) for kind, size, name in listing] == ours
