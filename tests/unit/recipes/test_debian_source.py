"""Source packages: which archives an index names for one."""

from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.recipes.debian import control

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)
INDEX = f"""\
Package: crun-tools
Version: 9
Directory: pool/main/c/crun-tools
Checksums-Sha256:
 {ONE} 10 crun-tools_9.orig.tar.gz

Package: crun
Binary: crun
Version: 1.9-1
Directory: pool/main/c/crun
Checksums-Sha256:
 {ONE} 10 crun_1.9.orig.tar.gz

Package: crun
Binary: crun, libcrun
Version: 1.21-1
Directory: pool/main/c/crun
Files:
 {ONE[:32]} 10 crun_1.21-1.dsc
Checksums-Sha256:
 {ONE} 10 crun_1.21-1.dsc
 {TWO} 20 crun_1.21.orig.tar.gz
 {TWO} 21 crun_1.21.orig.tar.gz.asc
 {THREE} 30 crun_1.21-1.debian.tar.xz

Package: native
Version: 2
Directory: pool/main/n/native
Checksums-Sha256:
 {ONE} 10 native_2.dsc
 {THREE} 30 native_2.tar.xz
""".encode()


def test_the_newest_version_and_upstreams_part_of_it():
    (found,) = control.source(INDEX, "trixie", "crun")
    assert found == (
        "crun_1.21.orig.tar.gz", "1.21-1", "trixie", "pool/main/c/crun/crun_1.21.orig.tar.gz", 20,
        f"sha256:{TWO}",
    )  # fmt: skip


def test_a_native_package_is_one_archive():
    assert [file.name for file in control.source(INDEX, "trixie", "native")] == ["native_2.tar.xz"]


@pytest.mark.parametrize("name", ["cru", "crun-", "rust-crun", "ative"])
def test_names_are_whole(name):
    assert control.source(INDEX, "trixie", name) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Directory: pool/main/n/native\n", b""),
        (b"Directory: pool/main/n/native", b"Directory: ../../etc"),
        (THREE.encode() + b" 30 native_2.tar.xz", b"zz 30 native_2.tar.xz"),
        (b" 30 native_2.tar.xz", b" 0 native_2.tar.xz"),
        (b" 30 native_2.tar.xz", b" many native_2.tar.xz"),
    ],
)
def test_damaged_entries_are_refused(old, new):
    assert old in INDEX
    with pytest.raises(Error) as caught:
        control.source(INDEX.replace(old, new), "trixie", "native")
    assert caught.value.code == "LK0504"
