"""What is kept of packages: patterns, links, and the libraries that programs need."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes.debian.files import Files
from linuxkit.recipes.debian.select import select
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.elf import module, program

MULTIARCH = "x86_64-linux-gnu"
LIBS = f"usr/lib/{MULTIARCH}"
LOADER = "/lib64/ld-linux-x86-64.so.2"


def file(path, data=b"", mode=0o644):
    return Entry(path, Kind.FILE, mode, content=Bytes(data))


def link(path, target):
    return Entry(path, Kind.SYMLINK, 0o777, link=target)


def made(*entries):
    files = Files()
    files.add("p 1", entries, 1)
    return files


def kept(files, keep=None, drop=()):
    return sorted(select(files, keep, drop, MULTIARCH).paths)


LIBC = [
    file(f"{LIBS}/libc.so.6", program([], "")), file(f"{LIBS}/ld-linux-x86-64.so.2", program([], "")),
    link("usr/lib64/ld-linux-x86-64.so.2", f"../lib/{MULTIARCH}/ld-linux-x86-64.so.2"),
]  # fmt: skip
LOADER_PATHS = [f"{LIBS}/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"]


def test_needed_libraries_and_the_loader():
    files = made(
        *LIBC, file("usr/bin/a", program(["libx.so.1"], LOADER)), file("usr/bin/b", b"#!"),
        link(f"{LIBS}/libx.so.1", "libx.so.1.2"), file(f"{LIBS}/libx.so.1.2", program(["libc.so.6"], "")),
        file(f"{LIBS}/liby.so", program([], "")),
    )  # fmt: skip
    found = select(files, ["usr/bin/a"], (), MULTIARCH)
    assert sorted(found.paths) == sorted(
        ["usr/bin/a", f"{LIBS}/libx.so.1", f"{LIBS}/libx.so.1.2", f"{LIBS}/libc.so.6", *LOADER_PATHS]
    )
    assert found.interpreters == {LOADER}


@pytest.mark.parametrize(
    ("runpath", "lib"),
    [
        ("$ORIGIN/../lib/own", "usr/lib/own/libx.so"),
        ("${ORIGIN}/../lib/own", "usr/lib/own/libx.so"),
        ("/nowhere:/lib/own", "usr/lib/own/libx.so"),
        ("", f"{LIBS}/libx.so"),
        ("/nowhere", f"{LIBS}/libx.so"),
    ],
)
def test_run_paths_come_first(runpath, lib):
    files = made(
        file("usr/bin/a", program(["libx.so"], "", runpath)),
        file("usr/lib/own/libx.so", program([], "")), file(f"{LIBS}/libx.so", program([], "")),
    )  # fmt: skip
    assert kept(files, ["usr/bin/a"]) == sorted(["usr/bin/a", lib])


def test_libraries_of_other_machines_are_passed_over():
    files = made(
        file("usr/bin/a", program(["libx.so"], "")), file("usr/lib/libx.so", program([], "")),
        file(f"{LIBS}/libx.so", program([], "", machine=3, bits=32)),
    )  # fmt: skip
    assert kept(files, ["usr/bin/a"]) == ["usr/bin/a", "usr/lib/libx.so"]


def test_big_endian_programs():
    big = {"machine": 22, "order": ">"}
    files = made(
        file("usr/bin/a", program(["libx.so"], "/lib/ld64.so.1", **big)),
        file("usr/lib/libx.so", program([], "", **big)), file("usr/lib/ld64.so.1", program([], "", **big)),
    )  # fmt: skip
    assert kept(files, ["usr/bin/a"]) == ["usr/bin/a", "usr/lib/ld64.so.1", "usr/lib/libx.so"]


def test_missing_libraries_are_all_named():
    files = made(
        file("usr/bin/a", program(["libx.so", "liby.so"], "")), file("usr/bin/b", program([], LOADER))
    )
    with pytest.raises(Error) as caught:
        kept(files)
    errors = caught.value.all()
    assert {error.code for error in errors} == {"LK0524"}
    text = str(caught.value)
    assert all(word in text for word in ("libx.so", "liby.so", LOADER, "usr/bin/a", "usr/bin/b"))


def test_private_libraries_that_need_each_other():
    files = made(
        file("usr/bin/a", program(["libcore.so"], "", "/usr/lib/own")),
        file("usr/lib/own/libcore.so", program(["libshared.so"], "")),
        file("usr/lib/own/libshared.so", program([], "")),
    )
    assert kept(files, ["usr/bin/a"])[1:] == ["usr/lib/own/libcore.so", "usr/lib/own/libshared.so"]


def test_a_library_where_the_loader_does_not_look():
    files = made(
        file("usr/bin/a", program(["libx.so"], "")), file(f"{LIBS}/blas/libx.so", program([], ""))
    )
    with pytest.raises(Error) as caught:
        kept(files, ["usr/bin/a"])
    assert f"{LIBS}/blas/libx.so" in caught.value.hint


def test_kernel_modules_and_scripts_need_nothing():
    files = made(file("usr/lib/x.ko", module({})), file("usr/bin/s", b"#!/bin/sh"))
    assert kept(files) == ["usr/bin/s", "usr/lib/x.ko"]


def test_damaged_programs_are_named():
    with pytest.raises(Error) as caught:
        kept(made(file("usr/bin/a", b"\x7fELF" + b"x" * 20)))
    assert caught.value.code == "LK0520"
    assert "p 1: usr/bin/a" in caught.value.message


def test_links_bring_what_they_lead_to():
    files = made(link("usr/bin/sh", "dash"), file("usr/bin/dash"), link("usr/bin/x", "/nowhere"))
    assert kept(files, ["usr/bin/sh", "usr/bin/x"]) == ["usr/bin/dash", "usr/bin/sh", "usr/bin/x"]


DOCS = [
    file("usr/share/doc/a/copyright"), file("usr/share/man/man1/a.1"), file("usr/share/locale/de/x"),
    file("usr/share/info/a"), file("usr/share/lintian/x"), file("usr/share/bash-completion/x"),
    file("usr/share/a/doc"), file("etc/a"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "drop", "expected"),
    [
        (None, [], ["etc/a", "usr/share/a/doc"]),
        (None, ["etc/**"], ["usr/share/a/doc"]),
        (["**"], [], ["etc/a", "usr/share/a/doc"]),
        (["**", "usr/share/doc/**"], [], ["etc/a", "usr/share/a/doc", "usr/share/doc/a/copyright"]),
        (["usr/share/doc/a/copyright"], [], ["usr/share/doc/a/copyright"]),
        ([], [], []),
        (["etc/*", "usr/share/a/doc"], ["etc/a"], ["usr/share/a/doc"]),
    ],
)
def test_patterns_and_documents(keep, drop, expected):
    assert kept(made(*DOCS), keep, drop) == expected


def test_patterns_that_fit_nothing():
    with pytest.raises(Error) as caught:
        kept(made(file("usr/sbin/nginx")), ["usr/bin/nginx", "var/**"])
    first, second = caught.value.all()
    assert (first.code, second.code) == ("LK0526", "LK0526")
    assert first.hint == "there is usr/sbin/nginx"
