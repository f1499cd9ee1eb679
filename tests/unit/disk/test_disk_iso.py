"""CD-ROM images, as xorriso reads them."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linuxkit.base.errors import Error
from linuxkit.disk import iso, isorecord, seed
from linuxkit.tree.entry import Bytes, Entry, Kind, Slice

VOLUME = iso.Volume("LINUXKIT", "0123456789ABCDEF" * 4, 1492533000)
OWNED = {"uid": 3_000_000, "gid": 70_000}
TREE = [
    Entry("bin", Kind.DIR, 0o755),
    Entry("bin/prog", Kind.FILE, 0o4755, **OWNED, mtime=1, content=Bytes(b"program" * 1000)),
    Entry("bin/same", Kind.HARDLINK, link="bin/prog"),
    Entry("console", Kind.CHAR, 0o600, major=5, minor=1),
    Entry("disk", Kind.BLOCK, 0o660, major=259, minor=300),
    Entry("empty", Kind.FILE, 0o644),
    Entry("fifo", Kind.FIFO, 0o640),
    Entry("l" * 250, Kind.FILE, 0o644, content=Bytes(b"long")),
    Entry("link", Kind.SYMLINK, 0o777, link="/bin/../bin/./prog"),
    Entry("long-link", Kind.SYMLINK, 0o777, link="/".join(["component" * 20] * 5)),
    Entry("many", Kind.DIR, 0o1777),
    *(Entry(f"many/some name {n:03}", Kind.FILE, 0o644, content=Bytes(b"%d" % n)) for n in range(300)),
    Entry("schön", Kind.FILE, 0o644, content=Bytes(b"utf-8")),
]  # fmt: skip


def write(path, entries, boots=(), volume=VOLUME):
    with path.open("w+b") as out:
        return iso.write(entries, out, volume, boots)


def xorriso(path, *words: str) -> str:
    done = subprocess.run(
        ["xorriso", "-abort_on", "SORRY", "-indev", str(path), *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_foreign_reader_finds_the_same_tree(tmp_path, need):
    need("xorriso")
    path = tmp_path / "t.iso"
    write(path, TREE)
    xorriso(path, "-osirrox", "on:auto_chmod_off:sort_lba_on", "-extract", "/", str(tmp_path / "out"))
    out = tmp_path / "out"
    for entry in TREE:
        if entry.kind in (Kind.CHAR, Kind.BLOCK, Kind.FIFO):
            continue  # only listed below
        found = out / entry.path
        facts = os.lstat(found)
        if entry.kind in (Kind.FILE, Kind.HARDLINK):
            wanted = next(e for e in TREE if e.path == (entry.link or entry.path))
            assert found.read_bytes() == b"".join(wanted.content.chunks()), entry.path
            assert facts.st_mode & 0o7777 == wanted.mode
        if entry.kind is Kind.SYMLINK:
            assert os.readlink(found) == entry.link
        if entry.kind is Kind.DIR:
            assert found.is_dir()
    listing = xorriso(path, "-find", "/", "-exec", "lsdl", "--")
    rows = {line.split("'")[1]: line for line in listing.splitlines() if "'" in line}
    assert rows["/bin/prog"].startswith("-rwsr-xr-x")
    assert " 3000000 " in rows["/bin/prog"]
    assert " 70000 " in rows["/bin/prog"]
    assert rows["/console"].startswith("c")
    assert rows["/disk"].startswith("b")
    assert rows["/fifo"].startswith("p")
    assert rows["/many"].startswith("drwxrwxrwt")


def test_places_are_where_the_bytes_are(tmp_path):
    path = tmp_path / "t.iso"
    places = write(path, TREE)
    data = path.read_bytes()
    for entry in TREE:
        if entry.kind is Kind.FILE:
            place = places[entry.path]
            assert data[place.offset : place.offset + place.size] == b"".join(entry.content.chunks())
    assert len(data) % iso.SECTOR == 0
    (total,) = struct.unpack_from("<I", data, 16 * iso.SECTOR + 80)
    assert total * iso.SECTOR == len(data)


def test_el_torito_names_both_loaders(tmp_path, need):
    need("xorriso")
    loader = bytes(range(256)) * 16
    entries = [
        Entry("efi.img", Kind.FILE, content=Bytes(b"\0" * 1_000_000)),
        Entry("grub.img", Kind.FILE, content=Bytes(loader)),
    ]
    path = tmp_path / "t.iso"
    boots = [iso.Boot("grub.img", iso.BIOS, info=True), iso.Boot("efi.img", iso.EFI)]
    places = write(path, entries, boots)
    said = xorriso(path, "-report_el_torito", "plain")
    assert "El Torito catalog" in said
    assert "BIOS" in said
    assert "UEFI" in said
    assert "/efi.img" in said
    place = places["grub.img"]
    data = path.read_bytes()[place.offset : place.offset + place.size]
    pvd, lba, size, checksum = struct.unpack_from("<4I", data, 8)
    assert (pvd, lba, size) == (16, place.offset // iso.SECTOR, len(loader))
    assert checksum == sum(struct.unpack(f"<{(len(loader) - 64) // 4}I", data[64:])) & 0xFFFFFFFF
    assert struct.unpack_from("<Q", data, 2548)[0] == lba * 4 + 5
    assert "boot-info-table" in said


def test_the_same_tree_gives_the_same_bytes(tmp_path):
    digests = set()
    for name in ("a", "b"):
        write(tmp_path / name, TREE)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_files_of_four_gib_are_refused(tmp_path):
    big = Entry("big", Kind.FILE, content=Slice(0, 0, 4 << 30))
    with pytest.raises(Error, match="too large") as caught:
        write(tmp_path / "t.iso", [big])
    assert caught.value.code == "LK0743"


def test_plain_names_are_unique_and_plain(tmp_path):
    names = ["a" * 60 + str(n) for n in range(20)] + ["ä", "ö", "A.b.c", "a.B.C"]
    root = isorecord.Node(Entry("", Kind.DIR), None)
    root.children = [isorecord.Node(Entry(name, Kind.FILE), root) for name in names]
    root.name_children()
    found = [child.name for child in root.children]
    assert len(set(found)) == len(names)
    assert found == sorted(found)
    for name in found:
        assert set(name) <= set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.;")
        assert len(name) <= 30 + 3


@given(target=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=600))
@settings(max_examples=25, deadline=None)
def test_no_record_is_too_long_for_any_link(target):
    root = isorecord.Node(Entry("", Kind.DIR), None)
    link = isorecord.Node(Entry("n" * 255, Kind.SYMLINK, link=target), root)
    root.children = [link]
    root.name_children()
    size, sectors = isorecord.measure(root)
    data = isorecord.directory(root)
    assert len(data) <= sectors * isorecord.SECTOR
    at = 0
    while at < size and data[at]:
        assert data[at] <= 254
        at += data[at]


def test_a_seed_is_what_upstream_and_cloud_init_look_for(tmp_path, need):
    need("xorriso")
    path = tmp_path / "c.iso"
    with path.open("w+b") as out:
        seed.write(seed.CONFIG, {"config": b"hello"}, out)
    xorriso(path, "-osirrox", "on", "-extract", "/config", str(tmp_path / "config"))
    assert (tmp_path / "config").read_bytes() == b"hello"
    assert path.read_bytes()[16 * 2048 + 40 : 16 * 2048 + 46] == b"config"
