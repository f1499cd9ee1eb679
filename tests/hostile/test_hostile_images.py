"""Images whose documents, labels and files deceived other programs, taken through whole builds."""

from __future__ import annotations

import gzip
import json
import tarfile

import pytest

import linuxkit
from linuxkit.base import digest as digests
from linuxkit.base.errors import Error
from linuxkit.cli import main as cli
from linuxkit.oci import model
from linuxkit.oci import ref as refs
from linuxkit.oci.image import open_image
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.sources.store import Stored
from support import bombs, cost
from support.archives import END, block, member
from support.images import archive

AMD64 = Platform("linux", "amd64")
NAME = "docker.io/lk/evil:1"
YML = "services: [{name: web, image: 'lk/evil:1'}]\n"


def document(store, value, media_type=model.OCI_MANIFEST):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Descriptor(media_type, store.put(data), len(data))


def row(descriptor, **changes):
    return {**model.descriptor_value(descriptor), **changes}


def raw_image(store, run, *layers, manifest=None, layer=None):
    """An image whose documents are written by hand; ``run`` is its ``config`` member."""
    data = [one if isinstance(one, bytes) else archive(one) for one in layers or ({"bin/x": "x"},)]
    blobs = [Descriptor(model.OCI_LAYER, store.put(one), len(one)) for one in data]
    config = {
        "os": "linux", "architecture": "amd64", "config": run,
        "rootfs": {"type": "layers", "diff_ids": [digests.of_bytes(one) for one in data]},
    }  # fmt: skip
    config = document(store, config, model.OCI_CONFIG)
    value = {
        "schemaVersion": 2, "mediaType": model.OCI_MANIFEST, "config": row(config),
        "layers": [row(blob, **(layer or {})) for blob in blobs], **(manifest or {}),
    }  # fmt: skip
    made = document(store, value)
    store.set_name(NAME, made)
    return made


def build(store, tmp_path, text=YML):
    """The plan, and path → (kind, bytes) of the whole tree as a foreign reader has it."""
    yml = tmp_path / "in.yml"
    yml.write_text(text)
    spec = linuxkit.load([yml], arch="amd64")
    plan = linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64", sbom="")
    made = linuxkit.assemble(plan, store=store)
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    linuxkit.emit(made, ["tar"], directory=out, name="t")
    found = {}
    with tarfile.open(out / "t.tar") as packed:
        for item in packed:
            content = packed.extractfile(item) if item.isreg() else None
            found[item.name] = item.linkname or (content.read() if content else item.type)
    return plan, found


def code(action, *arguments):
    with pytest.raises(Error) as caught:
        action(*arguments)
    assert "\x1b" not in str(caught.value)
    return caught.value.code


def config_json(found, name="web"):
    return json.loads(found[f"containers/services/{name}/config.json"])


HEX = "0" * 64
DIGESTS = {
    "climbing": "sha256:../../../../etc/passwd",
    "climbing after digits": f"sha256:{HEX}/../x",
    "absolute": "/etc/passwd",
    "absolute behind the colon": "sha256:/etc/passwd",
    "too short": f"sha256:{HEX[1:]}",
    "too long": f"sha256:{HEX}0",
    "upper case": f"sha256:{'A' * 64}",
    "unknown algorithm": f"md5:{HEX[:32]}",
    "another algorithm": f"sha512:{HEX * 2}",
    "line break behind": f"sha256:{HEX}\n",
    "other digits": "sha256:" + "\u0663" * 64,
    "query behind": f"sha256:{HEX}?x=1",
    "empty": "",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_case_24_digests_of_layers(name, store):
    """A digest is used as a file name, or in an address, as it comes."""
    made = raw_image(store, {}, layer={"digest": DIGESTS[name]})
    assert code(open_image, store, made, AMD64) == "LK0301"


@pytest.mark.parametrize("name", DIGESTS)
def test_case_20_digests_everywhere_else(name, store):
    """An image's id leads outside of the folder that images are kept in."""
    text = DIGESTS[name]
    made = raw_image(store, {}, manifest={"config": {"mediaType": model.OCI_CONFIG, "size": 1, "digest": text}})
    assert code(open_image, store, made, AMD64) == "LK0301"
    index = {"schemaVersion": 2, "manifests": [{"mediaType": model.OCI_MANIFEST, "size": 1, "digest": text}]}
    assert code(open_image, store, document(store, index, model.OCI_INDEX), AMD64) == "LK0301"
    assert code(refs.parse, f"lk/evil@{text}") == "LK0302"


def test_case_19_a_bomb_as_an_images_layer(store, tmp_path):
    """A layer that fills the disk when it is unpacked; pulling it stores it packed."""
    bomb = bombs.gzip_bomb()
    blob = Descriptor(model.OCI_LAYER + "+gzip", store.put(bomb), len(bomb))
    made = raw_image(store, {}, manifest={"layers": [row(blob)]})
    assert made
    assert digests.of_bytes(bomb) == blob.digest
    assert code(build, store, tmp_path) == "LK0616"


OTHER_ROOTS = {
    "link to the host": block(b"etc/passwd", b"2", link=b"/etc/passwd"),
    "link that climbs": block(b"etc/passwd", b"2", link=b"../../../../../../etc/passwd"),
    "FIFO": block(b"etc/passwd", b"6"),
    "device": block(b"etc/passwd", b"3", major=b"0000001\0", minor=b"0000005\0"),
    "folder": block(b"etc/passwd", b"5"),
}


@pytest.mark.parametrize("name", OTHER_ROOTS)
def test_case_25_users_are_not_looked_up(name, store, tmp_path):
    """The list of users is a link or a FIFO, and is read from the host or for ever."""
    raw_image(store, {"User": "root", "Cmd": ["/bin/x"]}, OTHER_ROOTS[name] + END)
    _, found = build(store, tmp_path)
    assert "containers/services/web/lower/etc/passwd" in found
    assert config_json(found)["process"]["user"] == {"uid": 0, "gid": 0}


@pytest.mark.parametrize("size", [0, 32 << 20])
def test_case_26_groups_are_not_read(size, store, tmp_path):
    """A list of groups without end is read into memory; ours is copied as any file is."""
    groups = b"staff:x:0:root\n" * (size // 15)
    raw_image(store, {"User": "0:staff", "Cmd": ["/bin/x"]}, member(b"etc/group", groups) + END)
    _, found = build(store, tmp_path)
    assert found["containers/services/web/lower/etc/group"] == groups
    assert config_json(found)["process"]["user"] == {"uid": 0, "gid": 0}


def test_case_26_groups_without_end(store, tmp_path):
    """The same with a list that is packed to a thousandth."""
    head = gzip.compress(block(b"etc/group", size=1 << 30), mtime=0)
    data = head + bombs.zeros() * 16
    blob = Descriptor(model.OCI_LAYER + "+gzip", store.put(data), len(data))
    raw_image(store, {}, manifest={"layers": [row(blob)]})
    assert code(build, store, tmp_path) == "LK0616"


@pytest.mark.parametrize("user", ["4294967296", "-1", "2147483648:2147483648", "1000:x", "\x1b[2J", "nobody"])
def test_case_28_the_images_user_has_no_effect(user, store, tmp_path):
    """A user beyond 31 bits wraps around to root; here only the YAML and the label name users."""
    raw_image(store, {"User": user, "Cmd": ["/bin/x"]})
    _, found = build(store, tmp_path)
    assert config_json(found)["process"]["user"] == {"uid": 0, "gid": 0}


@pytest.mark.parametrize("uid", ["4294967296", "-1", "'4294967296'", "2147483648.5", "0x10", "1e3"])
def test_case_28_users_beyond_32_bits(uid, store, tmp_path):
    raw_image(store, {"Cmd": ["/bin/x"]})
    text = f"services: [{{name: web, image: 'lk/evil:1', uid: {uid}}}]\n"
    assert code(build, store, tmp_path, text) in {"LK0204", "LK0208", "LK0211"}
    raw_image(store, {"Labels": {"org.mobyproject.config": f"uid: {uid}"}})
    assert code(build, store, tmp_path) in {"LK0204", "LK0208", "LK0211"}


GREEDY = {
    "capabilities": ["all"],
    "binds": ["/:/host"],
    "pid": "host",
    "devices": [{"path": "all", "type": "b"}],
    "runtime": {"mkdir": ["/etc/cron.d"]},
}


def test_case_29_what_a_label_grants_is_told(store, tmp_path):
    """A label asks for the host.  Upstream gives it; here the report says so, line by line."""
    raw_image(store, {"Labels": {"org.mobyproject.config": json.dumps(GREEDY)}, "Cmd": ["/bin/x"]})
    plan, _ = build(store, tmp_path)
    (grant,) = plan.grants
    assert grant.container == "services/web"
    for line in ("capability all", "bind /:/host", "pid host", "device all b", "runtime mkdir /etc/cron.d"):
        assert line in grant.privileges


@pytest.mark.parametrize(
    "label",
    [
        "hooks: {prestart: [{path: /bin/sh}]}",
        "image: other",
        "name: other",
        "command: [/bin/sh]\nfiles: [{path: /etc/x, contents: y}]",
        "x: !!python/object/apply:os.system [id]",
        "a: &a [x]\nb: *a",
        "capabilities: [CAP_ROOT]",
        "binds: ['a:b']",
        "mounts: [{type: bind, source: nowhere, destination: /x}]",
        "\x1b[2J: x",
    ],
)
def test_case_29_labels_that_are_refused(label, store, tmp_path):
    """A label becomes a command of the host, or more than settings of its own container."""
    raw_image(store, {"Labels": {"org.mobyproject.config": label}, "Cmd": ["/bin/x"]})
    assert code(build, store, tmp_path).startswith("LK02")


@pytest.mark.parametrize("path", ["/../../etc", "/etc/../..", "relative", "/proc/self/fd/7", "/"])
def test_case_30_volumes_of_the_image_have_no_effect(path, store, tmp_path):
    """A volume's path leads out of the image, and the host's files are copied into the container."""
    run = {"Cmd": ["/bin/x"]}
    raw_image(store, run)
    _, plain = build(store, tmp_path)
    raw_image(store, {**run, "Volumes": {path: {}}, "ExposedPorts": {"1/tcp": {}}, "Shell": ["/x"]})
    _, found = build(store, tmp_path)
    assert found == plain


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "etc", "run"])
@pytest.mark.parametrize("flag", [b"2", b"0", b"6", b"3"])
def test_case_31_roots_that_redirect_the_runtime(name, flag, store, tmp_path):
    """A link at /dev makes a runtime delete and create files of the host."""
    raw_image(store, {"Cmd": ["/bin/x"]}, block(name.encode(), flag, link=b"/") + END)
    assert code(build, store, tmp_path) == "LK0703"
    raw_image(store, {"Cmd": ["/bin/x"]}, {f"{name}/": ""}, block(name.encode(), flag, link=b"/") + END)
    assert code(build, store, tmp_path) == "LK0703"


@pytest.mark.parametrize(
    "path", ["/proc/self/fd/7", "/proc/self/fd/7/../..", "//proc/1/cwd", "/./proc", "/a/../proc/1", "x", "../x", "."]
)
def test_case_32_working_directories(path, store, tmp_path):
    """The working directory is a file that the runtime left open, and so the host."""
    raw_image(store, {"WorkingDir": path, "Cmd": ["/bin/x"]})
    assert code(build, store, tmp_path) == "LK0713"
    raw_image(store, {"Labels": {"org.mobyproject.config": json.dumps({"cwd": path})}})
    assert code(build, store, tmp_path) == "LK0713"


def test_case_32_links_at_masked_paths(store, tmp_path):
    """A masked path is a link; its target would be mounted over.  Below /proc none can be."""
    data = block(b"proc", b"5") + block(b"proc/kcore", b"2", link=b"/etc/passwd") + END
    raw_image(store, {"Cmd": ["/bin/x"]}, data)
    _, found = build(store, tmp_path)
    mounts = {mount["destination"] for mount in config_json(found)["mounts"]}
    assert "/proc" in mounts  # the kernel's own covers the image's


@pytest.mark.parametrize("names", [["all"], ["CAP_NET_RAW", "CAP_SYS_ADMIN"], []])
def test_case_33_nothing_is_inheritable(names, store, tmp_path):
    """Inheritable capabilities come back with the first program that has file capabilities."""
    raw_image(store, {"Labels": {"org.mobyproject.config": json.dumps({"capabilities": names})}})
    _, found = build(store, tmp_path)
    capabilities = config_json(found)["process"].get("capabilities", {})
    assert not capabilities.get("inheritable")
    assert not capabilities.get("ambient")


DECEIVING = {
    "manifest and index": {"manifests": []},
    "layers in other case": {"Layers": []},
    "another type": {"mediaType": model.OCI_INDEX},
    "another version": {"schemaVersion": 1},
}


@pytest.mark.parametrize("name", DECEIVING)
def test_documents_with_two_meanings(name, store):
    """One reader sees a list of images where another sees one image (with case 41)."""
    made = raw_image(store, {}, manifest=DECEIVING[name])
    assert code(open_image, store, made, AMD64) == "LK0307"


BROKEN = """
import sys
from pathlib import Path
from linuxkit.base.errors import Error
from linuxkit.oci import model
from linuxkit.oci.store import Store
root, kind, digest, size = sys.argv[1:]
decode, limit = {
    model.OCI_MANIFEST: (model.decode_manifest, model.MANIFEST_LIMIT),
    model.OCI_CONFIG: (model.decode_config, model.CONFIG_LIMIT),
}[kind]
try:
    decode(Store(Path(root)).read(digest, limit), model.Descriptor(kind, digest, int(size)))
except Error as error:
    print(error.code)
"""
LARGE = {
    "nested lists": (lambda _: b"[" * 100_000, "LK0307"),
    "nested objects": (lambda _: b'{"a":' * 100_000, "LK0307"),
    "many objects": (lambda limit: b'{"x":[' + b"{}," * (limit // 3 - 10) + b"{}]}", "LK0307"),
    "many numbers": (lambda limit: b'{"x":[' + b"1.5," * (limit // 4 - 10) + b"1]}", "LK0307"),
    "digits": (lambda limit: b'{"schemaVersion":' + b"9" * (limit - 100) + b"}", "LK0307"),
    "too large": (lambda limit: b" " * (limit + 1), "LK0308"),
}


@pytest.mark.parametrize("kind", [model.OCI_MANIFEST, model.OCI_CONFIG])
@pytest.mark.parametrize("name", LARGE)
def test_documents_that_fill_the_memory(name, kind, store):
    """A document that is a hundred times as large once it is read."""
    make, expected = LARGE[name]
    limit = {model.OCI_MANIFEST: model.MANIFEST_LIMIT, model.OCI_CONFIG: model.CONFIG_LIMIT}[kind]
    made = document(store, make(limit), kind)
    peak, seconds, said = cost.measured(BROKEN, str(store.root), *map(str, made[:3]))
    assert said == expected
    assert peak < cost.MEMORY_KIB
    assert seconds < cost.SECONDS


def test_layers_are_counted(store):
    blob = Descriptor(model.OCI_LAYER, store.put(END), len(END))
    value = {"layers": [row(blob)] * 513}
    made = raw_image(store, {}, manifest=value)
    assert code(open_image, store, made, AMD64) == "LK0308"


def test_indexes_inside_indexes(store):
    inner = document(store, {"schemaVersion": 2, "manifests": []}, model.OCI_INDEX)
    for _ in range(3):
        inner = document(store, {"schemaVersion": 2, "manifests": [row(inner)]}, model.OCI_INDEX)
    assert code(open_image, store, inner, AMD64) == "LK0308"


def test_a_whole_build_ends_with_a_message(store, tmp_path, monkeypatch, capsys):
    """Status 1, a code, no trace of Python, and no control characters."""
    raw_image(store, {}, member(b"../\x1b[2J\n") + END)
    monkeypatch.setenv("LINUXKIT_CACHE", str(store.root))
    (tmp_path / "x.yml").write_text(YML)
    arguments = ["build", "--offline", "--format", "tar", "--dir", str(tmp_path), str(tmp_path / "x.yml")]
    assert cli.main(arguments) == 1
    said = capsys.readouterr()
    assert "LK0601" in said.err
    assert "Traceback" not in said.err
    assert "\x1b[2J" not in said.err + said.out
    assert not (tmp_path / "x.tar").exists()
