"""Our reading of the language against what the Go tool made of the same files.

The data lies beside the checkout; without it these tests skip, in CI they fail.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.build import cgroups, ids, runtime
from linuxkit.oci.image import open_image
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.spec import labels, load, metadata, yaml

COMPAT = Path(__file__).resolve().parents[2].parent / "shared" / "compat"
BASELINE = COMPAT / "baseline"
RECORDED = BASELINE / "expected" / "features" / "files"
ERRORS = BASELINE / "expected-errors"
AMD64 = Platform("linux", "amd64")

pytestmark = pytest.mark.skipif(
    not COMPAT.is_dir() and os.environ.get("CI") != "true", reason="no compatibility data"
)


# --- upstream's examples ---

REFUSED_EXAMPLES = {
    # A comment in the first column ends a block of text; the Go tool refuses it too.
    "static-ip.yml": "28:7: this does not fit what stands before it [LK0201]",
}


def examples():
    return sorted(path.name for path in (COMPAT / "upstream-examples").glob("*.yml"))


def test_there_are_examples():
    assert len(examples()) >= 33
    assert set(REFUSED_EXAMPLES) < set(examples())


@pytest.mark.parametrize("name", examples())
def test_upstream_examples_are_read(name):
    path = COMPAT / "upstream-examples" / name
    if name in REFUSED_EXAMPLES:
        with pytest.raises(Error) as caught:
            load.load([path])
        assert str(caught.value).endswith(REFUSED_EXAMPLES[name])
        return
    spec = load.load([path])
    raw = plain(yaml.parse(path.read_text(), name))
    for section in ("init", "onboot", "onshutdown", "services", "files", "volumes"):
        assert len(getattr(spec, section)) == len(raw.get(section, ())), section
    assert load.parse(metadata.render(spec, "yaml").decode()) == spec


def plain(node):
    """Keys and list lengths of a document, read without the model."""
    if isinstance(node, yaml.Mapping):
        return {key: plain(value) for key, (_, value) in node.items.items()}
    if isinstance(node, yaml.Sequence):
        return [plain(item) for item in node.items]
    return node.value


# --- config.json and runtime.json ---

OVERRIDES = "onboot/002-overrides"
RESOURCES = f"{OVERRIDES} config linux.resources"

# Each difference from the Go tool's values: container, document and path, why, our value.
EXPLAINED = [
    ("onboot/003-yamllabel config process.capabilities.effective",
     "capabilities.add repeats one of the label's: the Go tool lists it twice",
     ["CAP_CHOWN", "CAP_KILL"]),
    (f"{OVERRIDES} config linux.uidMappings[0].hostID", "the Go tool loses hostID", 1000),
    (f"{OVERRIDES} config linux.gidMappings[0].hostID", "the Go tool loses hostID", 2000),
    (f"{RESOURCES}.memory.kernelTCP", "the Go tool loses it", 4000),
    (f"{RESOURCES}.memory.disableOOMKiller", "the Go tool loses it", True),
    (f"{RESOURCES}.cpu.realtimeRuntime", "the Go tool loses it", 950),
    (f"{RESOURCES}.cpu.realtimePeriod", "the Go tool loses it", 1000),
    (f"{RESOURCES}.blockIO.leafWeight", "the Go tool loses it", 50),
    (f"{RESOURCES}.blockIO.weightDevice", "the Go tool loses it",
     [{"major": 8, "minor": 0, "weight": 200, "leafWeight": 20}]),
    (f"{RESOURCES}.blockIO.throttleReadBpsDevice", "the Go tool loses it",
     [{"major": 8, "minor": 0, "rate": 600}]),
    (f"{RESOURCES}.hugepageLimits", "the Go tool loses it", [{"pageSize": "2MB", "limit": 9}]),
    (f"{RESOURCES}.network.classID", "the Go tool loses it", 5),
    ("services/other config mounts[2].source",
     "a mount's volume is replaced by its path, as a bind's is",
     "/containers/volumes/oci/merged"),
]  # fmt: skip


@pytest.fixture(scope="module")
def built():
    """Every container of features.yml: folder → (config, runtime)."""
    spec = load.load([BASELINE / "yml" / "features.yml"])
    store = Store(BASELINE / "cache-features")
    volumes = {volume.name: volume for volume in spec.volumes}
    table = ids.id_table(spec)
    first: dict[str, str] = {}
    found = {}
    for section in ("onboot", "onshutdown", "services"):
        for index, entry in enumerate(getattr(spec, section)):
            name = entry.name if section == "services" else f"{index:03d}-{entry.name}"
            folder = f"{section}/{name}"
            image = open_image(store, store.find(str(entry.image)), AMD64)
            settings = labels.settings(entry, image.config.labels, str(entry.image))
            bundle = f"containers/{folder}"
            own = f"{bundle}/{'rootfs' if settings.readonly else 'lower'}"
            lower = first.setdefault(str(entry.image), own)
            found[folder] = runtime.container_config(
                settings, image.config, ids=table, volumes=volumes, bundle=bundle, lower=lower
            )
    return found


def recorded():
    return sorted(
        str(path.parent.relative_to(RECORDED / "containers"))
        for path in (RECORDED / "containers").glob("*/*/config.json")
    )


def test_the_same_containers_are_made(built):
    assert sorted(built) == recorded()
    assert len(built) == 12


@pytest.mark.parametrize("folder", recorded())
def test_runtime_json_is_the_same_to_the_byte(built, folder):
    theirs = (RECORDED / "containers" / folder / "runtime.json").read_bytes()
    assert built[folder].runtime_json == theirs


@pytest.mark.parametrize("folder", recorded())
def test_config_json_differs_only_where_explained(built, folder):
    theirs = json.loads((RECORDED / "containers" / folder / "config.json").read_bytes())
    ours = without_device_rule(theirs, json.loads(built[folder].config_json))
    found = {path: mine for path, _, mine in differences(theirs, ours)}
    found.pop("process.capabilities.inheritable", None)  # see the next test
    prefix = f"{folder} config "
    explained = {
        path.removeprefix(prefix): value for path, _, value in EXPLAINED if path.startswith(prefix)
    }
    assert found == explained


@pytest.mark.parametrize("folder", recorded())
def test_inheritable_capabilities_are_the_ambient_ones_only(built, folder):
    """The Go tool makes everything in the bounding set inheritable; the kernel asks for less."""
    capabilities = built[folder].config["process"]["capabilities"]
    ambient = capabilities.get("ambient", [])
    assert capabilities.get("inheritable", []) == sorted(ambient)
    assert set(ambient) <= set(capabilities.get("permitted", []))


@pytest.mark.parametrize("folder", recorded())
def test_config_json_is_the_same_to_the_byte_but_for_the_differences(built, folder):
    """Order of keys, white space and escapes, where nothing is explained away."""
    theirs = (RECORDED / "containers" / folder / "config.json").read_bytes()
    value = json.loads(theirs)
    assert runtime.encode_go_json(value) == theirs
    ours = without_device_rule(value, built[folder].config)
    if not differences(value, ours):
        assert runtime.encode_go_json(ours) == theirs
    assert order(value, built[folder].config)


def without_device_rule(theirs, ours):
    """Our config.json without the rule that runc has by itself and crun has not."""
    if "devices" in theirs["linux"].get("resources", {}):
        return ours
    resources = dict(ours["linux"]["resources"])
    assert resources.pop("devices") == [cgroups.NO_DEVICES]
    return {**ours, "linux": {**ours["linux"], "resources": resources}}


def order(theirs, ours):
    """Whether the keys that both have come in the same order, at every level."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        shared = [key for key in theirs if key in ours]
        return shared == [key for key in ours if key in theirs] and all(
            order(theirs[key], ours[key]) for key in shared
        )
    if isinstance(theirs, list) and isinstance(ours, list):
        return all(order(a, b) for a, b in zip(theirs, ours, strict=False))
    return True


def differences(theirs, ours, path=""):
    """(path, their value, our value) of each smallest part that differs; None is "not there"."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        rows = []
        for key in {**theirs, **ours}:
            at = f"{path}.{key}" if path else key
            rows += differences(theirs.get(key), ours.get(key), at)
        return rows
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [
            row
            for i, (a, b) in enumerate(zip(theirs, ours, strict=True))
            for row in differences(a, b, f"{path}[{i}]")
        ]
    return [] if theirs == ours else [(path, theirs, ours)]


# --- the embedded configuration ---

METADATA_DIFFERENCES = {
    # Lost by the Go tool (see EXPLAINED).
    ".onboot[2].gidMappings[0].hostID", ".onboot[2].uidMappings[0].hostID",
    ".onboot[2].resources.blockio.leafWeight",
    ".onboot[2].resources.blockio.throttleReadBpsDevice",
    ".onboot[2].resources.blockio.weightDevice",
    ".onboot[2].resources.cpu.realtimePeriod", ".onboot[2].resources.cpu.realtimeRuntime",
    ".onboot[2].resources.hugepageLimits", ".onboot[2].resources.memory.disableOOMKiller",
    ".onboot[2].resources.memory.kernelTCP", ".onboot[2].resources.network.classID",
    ".trust",
    # The Go tool writes every reference in full but those of volumes.
    *(f".volumes[{i}].image" for i in (2, 3, 4, 5)),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_metadata_holds_what_the_go_tool_writes(kind):
    spec = load.load([BASELINE / "yml" / "features.yml"])
    theirs = (RECORDED / "etc" / f"meta.{kind}").read_text()
    same_metadata(theirs, metadata.render(spec, kind).decode())


def same_metadata(theirs_text, ours_text):
    """Whether two configurations, as YAML or JSON, differ only where it is explained."""
    # In JSON it spells this key as nobody may write it, and so cannot read its own file.
    theirs = plain(yaml.parse(theirs_text.replace('"blockIO"', '"blockio"'), "theirs"))
    ours = plain(yaml.parse(ours_text, "ours"))
    found = {f".{path}" for path, _, _ in differences(dense(theirs), dense(ours))}
    # The Go tool's decoder folds these two spellings into one that nobody may write.
    folded = {p.replace("hostID", "hostid") for p in METADATA_DIFFERENCES}
    assert {p for p in found if "containerid" not in p.lower()} <= METADATA_DIFFERENCES | folded
    assert found >= METADATA_DIFFERENCES


def dense(value):
    """Without what is empty or false: the Go tool writes some of it, we none."""
    if isinstance(value, dict):
        rows = {key: dense(item) for key, item in value.items()}
        return {
            key: item for key, item in rows.items() if item not in ("", "null", "false", [], {})
        }
    if isinstance(value, list):
        return [dense(item) for item in value]
    return value


# --- what the Go tool refuses ---


def outcomes():
    """The recorded exit status of each case."""
    rows = {}
    for line in (ERRORS / "expected-errors.txt").read_text().splitlines():
        if line.startswith("== "):
            _, name, code, _ = line.split()
            rows[name] = int(code.removeprefix("rc="))
    return rows


# Refused for a reason that is not in the YAML: images, registries and files are looked at later.
LATER = {
    "bad-label", "name-label",  # the label, see test_labels_are_refused
    "file-source-missing", "no-kernel-file", "no-kernel-tar", "not-in-cache",
    "rawlayer-bare", "zstd-bare",
    "oci-volume-on-image",  # a crash of the Go tool; the YAML is right
}  # fmt: skip

# What we read although the Go tool does not.
ACCEPTED = {
    "mode-int": "an unquoted 0644 can only mean one thing here: octal digits are a text to us",
}


@pytest.mark.parametrize("name", sorted(outcomes()) if ERRORS.is_dir() else [])
def test_what_the_go_tool_refuses_we_refuse(name):
    path = ERRORS / f"{name}.yml"
    refused = outcomes()[name] != 0
    if name in LATER or name in ACCEPTED or not refused:
        load.load([path])
        return
    with pytest.raises(Error) as caught:
        load.load([path])
    for error in caught.value.all():
        assert error.where is not None, error
        assert error.where.file == str(path)


def test_two_files_keep_the_volumes_of_the_first():
    spec = load.load([ERRORS / "merge-volumes-1.yml", ERRORS / "merge-volumes-2.yml"])
    assert [volume.name for volume in spec.volumes] == ["v"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("badlabel:1", 'unknown key "nonsense" in the label org.mobyproject.config of bad'),
        ("namelabel:1", 'the label org.mobyproject.config of bad must not set "name"'),
    ],
)
def test_labels_are_refused(name, message):
    store = Store(BASELINE / "cache-features")
    image = open_image(store, store.find(f"docker.io/linuxkit/{name}"), AMD64)
    with pytest.raises(Error) as caught:
        labels.decode(image.config.labels[labels.LABEL], "bad")
    assert caught.value.message == message
