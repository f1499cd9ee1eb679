"""From a YAML to files: what is in them, that it is the same twice, and what is refused."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import tarfile

import pytest

import linuxkit
from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.sources.store import Stored
from linuxkit.tree import compress, cpio, tar
from linuxkit.tree.entry import Bytes, Entry, Kind
from support.images import Files, archive, image

FORMATS = ["tar", "kernel+initrd", "tar-kernel-initrd", "docker"]
YML = """\
kernel: {image: "lk/kernel:1", cmdline: "console=ttyS0 quiet", ucode: ucode.cpio}
init: ["lk/init:1", "lk/runtime:1"]
onboot:
  - {name: first, image: "lk/app:1", command: ["/bin/app", "once"]}
services:
  - {name: web, image: "lk/app:1", readonly: true}
  - {name: other, image: "lk/other:1", readonly: true}
files:
  - {path: etc/deep/file, contents: "hello\\n", mode: "0640"}
  - {path: etc/link, symlink: deep/file}
"""


@pytest.fixture
def store(tmp_path):
    made = linuxkit.open_store(tmp_path / "cache")
    kernel: Files = {
        "kernel": b"KERNEL" * 100,
        "kernel.tar": archive({"lib/": "", "lib/modules/": "", "lib/modules/a.ko": "ko"}),
        "ucode.cpio": b"UCODE" * 3,
        "other": "dropped",
    }
    image(made, "docker.io/lk/kernel:1", kernel)
    init = Entry("init", Kind.FILE, 0o755, content=Bytes(b"#!"))
    image(
        made, "docker.io/lk/init:1", {"init": init, "etc/": "", "proc/": "", "etc/hosts": "no"},
        labels={"org.linuxkit.boot-table": "1"},
    )  # fmt: skip
    image(
        made, "docker.io/lk/runtime:1", {"usr/": "", "usr/crun": "x"},
        labels={"org.linuxkit.runtime": "/usr/crun"},
    )  # fmt: skip
    app: Files = {"bin/": "", "bin/app": "app", "etc/": "", "etc/gone": "x"}
    image(made, "docker.io/lk/app:1", app, {"etc/.wh.gone": "", "new": "n"}, cmd=["/bin/app"])
    image(made, "docker.io/lk/other:1", {"data": "d"}, cmd=["/data"])
    return made


def system(store, tmp_path, text=YML, **options):
    yml = tmp_path / "in.yml"
    yml.write_text(text)
    spec = linuxkit.load([yml], arch="amd64")
    plan = linuxkit.resolve(
        spec, store=store, sources=[Stored(store)], arch="amd64", sbom="", **options
    )
    linuxkit.fetch(plan, store=store)
    return linuxkit.assemble(plan, store=store)


def emit(store, tmp_path, text=YML, *, out="out", compression="none"):
    folder = tmp_path / out
    folder.mkdir(exist_ok=True)
    made = system(store, tmp_path, text)
    linuxkit.emit(made, FORMATS, directory=folder, name="t", compression=compression)
    return folder


def tree(path):
    """Path → entry, last one wins; and the provenance of each."""
    with path.open("rb") as file:
        return {e.path: e for e in tar.read(file.fileno())}


def test_the_tree_has_upstreams_layout(store, tmp_path):
    found = tree(emit(store, tmp_path) / "t.tar")
    for path in (
        "boot/kernel", "boot/cmdline", "boot/ucode.cpio", "lib/modules/a.ko", "init", "usr/crun",
        "containers/onboot/000-first/lower/bin/app", "containers/onboot/000-first/tmp",
        "containers/onboot/000-first/rootfs", "containers/onboot/000-first/config.json",
        "containers/onboot/000-first/runtime.json", "containers/services/web/rootfs",
        "containers/services/other/rootfs/data", "containers/services/other/rootfs/etc/hosts",
        "etc/deep/file", "etc/linuxkit/boot.table",
    ):  # fmt: skip
        assert path in found, path
    assert "containers/onboot/000-first/lower/etc/gone" not in found  # a whiteout
    assert "containers/services/web/rootfs/bin/app" not in found  # shared with onboot
    assert "other" not in found  # only named files leave the kernel's image
    assert found["etc"].mode == 0o755  # a file's parents that exist are left alone
    assert found["etc/deep"].mode == 0o750
    assert found["etc/resolv.conf"].link == "/run/resolvconf/resolv.conf"
    assert found["etc/hosts"].content.size == 160


def test_shared_image_points_at_its_first_place(store, tmp_path):
    folder = emit(store, tmp_path)
    with tarfile.open(folder / "t.tar") as archive_:
        text = archive_.extractfile("containers/services/web/runtime.json").read()
    (mount,) = json.loads(text)["mounts"]
    assert mount["source"] == "/containers/onboot/000-first/lower"
    assert mount["destination"] == "/containers/services/web/rootfs"


def test_every_entry_tells_its_origin(store, tmp_path):
    with tarfile.open(emit(store, tmp_path) / "t.tar") as archive_:
        for member in archive_:
            assert member.pax_headers["LINUXKIT.source"], member.name
            assert member.pax_headers["LINUXKIT.location"], member.name
        headers = archive_.getmember("containers/services/other/rootfs/data").pax_headers
    assert headers["LINUXKIT.source"] == "docker.io/lk/other:1"
    assert headers["LINUXKIT.location"] == "services[1]"


def test_initrd_is_the_tree_without_what_boot_loaders_read(store, tmp_path):
    folder = emit(store, tmp_path)
    assert (folder / "t-kernel").read_bytes() == b"KERNEL" * 100
    assert (folder / "t-cmdline").read_bytes() == b"console=ttyS0 quiet"
    data = (folder / "t-initrd.img").read_bytes()
    assert data.startswith(b"UCODE" * 3)  # microcode comes first and is not compressed
    plain = tmp_path / "plain"
    plain.write_bytes(data[16:])  # 15 bytes of it, rounded up to four
    with plain.open("rb") as file:
        in_initrd = {e.path for e in cpio.read(file.fileno())}
    in_tar = set(tree(folder / "t.tar"))
    assert in_tar - in_initrd == {"boot/kernel", "boot/cmdline", "boot/ucode.cpio"}
    assert in_initrd <= in_tar


def test_cpio_lists_the_initrd(store, tmp_path):
    folder = emit(store, tmp_path, YML.replace(", ucode: ucode.cpio", ""), compression="gzip")
    plain = subprocess.run(
        ["gzip", "-dc", folder / "t-initrd.img"], capture_output=True, check=True
    ).stdout
    # Each piece is an archive of its own to cpio(1), so let it read the first.
    done = subprocess.run(["cpio", "-it"], input=plain, capture_output=True, check=True, text=False)
    assert b"etc/resolv.conf" in done.stdout


def test_docker_format_is_a_build_context(store, tmp_path):
    with tarfile.open(emit(store, tmp_path) / "t.docker") as archive_:
        text = archive_.extractfile("Dockerfile").read().decode()
    assert text.splitlines()[0] == "FROM scratch"
    assert 'ENTRYPOINT ["/init"]' in text


def test_tar_kernel_initrd_members(store, tmp_path):
    with tarfile.open(emit(store, tmp_path) / "t-initrd.tar") as archive_:
        assert archive_.getnames() == ["kernel", "initrd.img", "cmdline", "ucode.cpio"]
        assert archive_.extractfile("ucode.cpio").read() == b"UCODE" * 3


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd", "zstd:19", "lz4", "xz"])
def test_same_bytes_in_another_folder_store_and_umask(store, tmp_path, compression):
    first = emit(store, tmp_path, compression=compression)
    other = tmp_path / "elsewhere"
    other.mkdir()
    old = os.umask(0o077)
    try:
        subprocess.run(
            ["cp", "-r", tmp_path / "cache", other / "cache"], check=True
        )
        subprocess.run(["rm", "-r", other / "cache" / "linuxkit"], check=True)
        second = emit(linuxkit.open_store(other / "cache"), other, compression=compression)
    finally:
        os.umask(old)
    names = sorted(p.name for p in first.iterdir())
    assert names == sorted(p.name for p in second.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_warm_build_makes_no_segment(store, tmp_path, monkeypatch):
    first = emit(store, tmp_path)
    from linuxkit.build import assemble

    def refuse(*_args):
        raise AssertionError("flattened again")

    monkeypatch.setattr(assemble, "flatten", refuse)
    second = emit(store, tmp_path, out="again")
    assert (first / "t.tar").read_bytes() == (second / "t.tar").read_bytes()


def test_kernel_is_decompressed_on_request(store, tmp_path):
    import gzip

    image(store, "docker.io/lk/kernel:1", {"kernel": gzip.compress(b"PLAIN"), "kernel.tar": archive({})})
    made = system(store, tmp_path, YML, decompress_kernel=True)
    assert store.read(made.kernel.binary.blob.digest, 100) == b"PLAIN"


@pytest.mark.parametrize(
    ("files", "code", "says"),
    [
        ({"etc": "-> /host"}, "LK0703", "symlink at /etc"),
        ({"proc": "file"}, "LK0703", "file at /proc"),
    ],
)
def test_unsafe_roots_are_refused(store, tmp_path, files, code, says):
    image(store, "docker.io/lk/other:1", files, cmd=["/x"])
    with pytest.raises(Error) as error:
        system(store, tmp_path)
    assert error.value.code == code
    assert says in error.value.message
    assert "services/other" in error.value.message


def test_missing_kernel_file_is_told_with_what_is_there(store, tmp_path):
    with pytest.raises(Error) as error:
        system(store, tmp_path, YML.replace("ucode: ucode.cpio", "binary: kernl"))
    assert error.value.code == "LK0706"
    assert error.value.hint == 'did you mean "kernel"?'


def test_unknown_images_are_told_all_at_once(store, tmp_path):
    text = YML.replace("lk/other:1", "lk/nowhere:1").replace("lk/runtime:1", "lk/gone:2")
    with pytest.raises(Error) as error:
        system(store, tmp_path, text)
    assert [e.code for e in error.value.all()] == ["LK0401", "LK0401"]
    assert [e.where.line for e in error.value.all()] == [2, 7]


def test_offline_lists_what_is_missing(store, tmp_path):
    with pytest.raises(Error) as error:
        system(store, tmp_path, YML.replace("lk/other:1", "lk/nowhere:1"), offline=True)
    assert error.value.code == "LK0401"


def test_a_lost_layer_is_found_before_assembly(store, tmp_path):
    made = system(store, tmp_path)
    layer = made.plan.layers()[-1]
    store.path(layer.digest).unlink()
    with pytest.raises(Error) as error:
        linuxkit.fetch(made.plan, store=store)
    assert error.value.code == "LK0403"


def test_containers_need_a_runtime(store, tmp_path):
    with pytest.raises(Error) as error:
        system(store, tmp_path, YML.replace(', "lk/runtime:1"', ""))
    assert error.value.code == "LK0711"


def test_keys_that_no_init_heeds_are_told(store, tmp_path):
    text = YML.replace("lk/init:1", "lk/other:1").replace(
        'image: "lk/other:1", readonly', 'image: "lk/other:1", restart: always, ready: {tcp: 5}, readonly'
    )
    said = []
    with events.reporting(said.append):
        system(store, tmp_path, text + "watchdog: {}\n")
        system(store, tmp_path, YML.replace("readonly: true", "restart: no, readonly: true"))
    codes = [(e.code, e.text) for e in said if isinstance(e, events.Note) and e.code == "LK0727"]
    assert codes == [("LK0727", "no init image heeds these keys: ready, restart, watchdog")]


def test_a_failed_write_leaves_nothing(store, tmp_path):
    made = system(store, tmp_path)
    store.path(made.kernel.binary.blob.digest).unlink()
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Error):
        linuxkit.emit(made, ["kernel+initrd"], directory=out, name="t")
    assert list(out.iterdir()) == []


def test_unknown_format_has_a_suggestion(store, tmp_path):
    with pytest.raises(Error) as error:
        linuxkit.emit(system(store, tmp_path), ["kernel+intrd"], directory=tmp_path, name="t")
    assert error.value.code == "LK0701"
    assert "kernel+initrd" in error.value.hint


def test_stream_to_a_pipe_is_the_file(store, tmp_path):
    from linuxkit import formats

    made = system(store, tmp_path)
    folder = emit(store, tmp_path)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        with os.fdopen(writer, "wb") as out:
            formats.find_streamable("tar").write(made, out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    assert data == (folder / "t.tar").read_bytes()


def bzimage(payload: bytes, appended: bytes) -> bytes:
    """A kernel image of boot protocol 2.12 around ``payload`` (Documentation/arch/x86/boot)."""
    head = bytearray(1024)
    head[0x1F1] = 1  # one sector of set-up code after the boot sector
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20C)
    struct.pack_into("<II", head, 0x248, 64, len(payload) + len(appended))
    return bytes(head) + bytes(64) + payload + appended + b"the rest of the kernel"


@pytest.mark.parametrize(("compression", "appended"), [("gzip", b""), ("zstd", b"size"), ("xz", b"size")])
def test_payload_of_a_bzimage(store, tmp_path, compression, appended):
    packed = io.BytesIO()
    writer = compress.open_writer(compression, None, packed)
    writer.write(b"VMLINUX" * 1000)
    writer.close()
    kernel = bzimage(packed.getvalue(), appended)
    image(store, "docker.io/lk/kernel:1", {"kernel": kernel, "kernel.tar": archive({})})
    made = system(store, tmp_path, YML, decompress_kernel=True)
    assert store.read(made.kernel.binary.blob.digest, 1 << 20) == b"VMLINUX" * 1000


def test_a_replaced_file_keeps_its_other_names_as_they_are(store, tmp_path):
    one = Entry("a", Kind.FILE, 0o644, content=Bytes(b"old"))
    two = Entry("b", Kind.HARDLINK, link="a")
    image(store, "docker.io/lk/init:1", {"init": "#!", "a": one, "b": two})
    made = system(store, tmp_path, YML + "  - {path: a, contents: new}\n")
    names = [segment.name for segment in made.segments]
    assert names.index("replaced links") == names.index("files") - 1
    # What the kernel does: a name whose kind changes is removed, else the file is written into.
    files: dict[str, tuple[str, list[bytes]]] = {}
    for segment in made.segments:
        with store.open(segment.tar.digest) as source:
            for e in tar.read(source.fileno()):
                if e.kind is Kind.HARDLINK:
                    files[e.path] = files[e.link]
                elif e.path in files and files[e.path][0] == e.kind:
                    files[e.path][1][:] = e.content.chunks()
                else:
                    files[e.path] = (e.kind, list(e.content.chunks()))
    assert files["a"][1] == [b"new"]
    assert files["b"][1] == [b"old"]


def test_nothing_changed_writes_nothing(store, tmp_path):
    folder = emit(store, tmp_path)
    before = {path.name: path.stat() for path in folder.iterdir()}
    emit(store, tmp_path)
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == {
        name: found.st_ino for name, found in before.items()
    }


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"x" * path.stat().st_size),
        lambda path: path.with_name("t.tar.json").unlink(),
    ],
)
def test_a_file_that_was_touched_is_written_anew(store, tmp_path, spoil):
    folder = emit(store, tmp_path)
    good = (folder / "t.tar").read_bytes()
    times = (folder / "t.tar").stat()
    spoil(folder / "t.tar")
    if (folder / "t.tar").exists():
        os.utime(folder / "t.tar", ns=(times.st_atime_ns, times.st_mtime_ns))
    emit(store, tmp_path)
    assert (folder / "t.tar").read_bytes() == good


def test_another_build_in_the_same_place_is_written(store, tmp_path):
    folder = emit(store, tmp_path)
    first = (folder / "t-initrd.img").read_bytes()
    emit(store, tmp_path, compression="gzip")
    assert (folder / "t-initrd.img").read_bytes() != first
    emit(store, tmp_path, YML.replace("quiet", "loud"))
    assert (folder / "t-cmdline").read_bytes() == b"console=ttyS0 loud"
    emit(store, tmp_path)
    assert (folder / "t-initrd.img").read_bytes() == first
