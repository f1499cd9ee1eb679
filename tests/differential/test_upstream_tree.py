"""The trees we build against those that the Go tool built of the same files and images.

Both are merged as an unpacker does, the last entry of a name wins; then every path and every field
of it must be equal, or explained in EXPLAINED below and in docs/explanation/compatibility.md.  The
data lies beside the checkout; without it these tests skip, in CI they fail.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
from test_upstream_config import BASELINE, COMPAT, differences, same_metadata, without_device_rule
from test_upstream_config import EXPLAINED as EXPLAINED_CONFIG

import linuxkit
from linuxkit.build.sandbox import compat, strict
from linuxkit.sources.store import Stored

pytestmark = pytest.mark.skipif(
    not COMPAT.is_dir() and os.environ.get("CI") != "true", reason="no compatibility data"
)

EXPECTED = BASELINE / "expected"
CACHES = {
    "features": "cache-features",
    "kernel-ucode-first": "cache-features",
    "minimal": "cache-bench-index-small",
    "medium": "cache-bench-index-small",
}
CASES = [name for name, cache in CACHES.items() if (BASELINE / cache).is_dir()]
FORMATS = ["tar", "kernel+initrd", "tar-kernel-initrd"]

OURS = 1492533000  # the time of what a build makes itself
IMAGES = 1700000000  # the time of everything in the recorded images
ABSENT = "absent"
PRESENT = "present"
ODD = "containers/onboot/004-odd/lower"


class Explained(NamedTuple):
    """Where, and in which field, we differ from the Go tool: its value, ours, and why."""

    paths: str  # a regular expression for whole paths
    field: str
    theirs: object
    ours: object
    why: str


OWN_DIRECTORY = "dev, etc, proc and sys of an image keep the metadata that the image gives them"
FROM_INIT = [
    {"LINUXKIT.location": f"init[{n}]", "LINUXKIT.source": f"docker.io/linuxkit/{name}:feat"}
    for n, name in enumerate(("init", "runc"))
]
BY_FILES = {"LINUXKIT.location": "files[0]", "LINUXKIT.source": "linuxkit.files"}

EXPLAINED = [
    Explained("etc", "mode", 0o700, 0o755, "a file's parents do not change folders that exist"),
    Explained("etc", "pax", BY_FILES, FROM_INIT[0], "a file's parents do not change folders"),
    Explained("dev|proc|sys", "pax", FROM_INIT[1], FROM_INIT[0], OWN_DIRECTORY),
    Explained("proc|sys", "mode", 0o755, 0o555, OWN_DIRECTORY),
    Explained(r"(.*/)?(dev|etc|proc|sys)", "mtime", OURS, IMAGES, OWN_DIRECTORY),
    Explained(f"{ODD}/etc/mtab", "mtime", OURS, IMAGES, "an image's own etc/mtab keeps its time"),
    Explained(f"{ODD}/owned", "uname", "bob", None, "owners are numbers; names mean nothing here"),
    Explained(f"{ODD}/owned", "gname", "bobs", None, "owners are numbers; names mean nothing here"),
    Explained(f"{ODD}/subsec", "mtime", "1700000000.123456789", IMAGES, "times in whole seconds"),
    Explained(rf"{ODD}/\.", "", PRESENT, ABSENT, "an image's entry for its root is no member"),
    Explained(f"{ODD}/opq/lower", "", PRESENT, ABSENT, "an opaque directory hides what is below"),
    Explained("containers/volumes/(blankro|fsro)/tmp", "", PRESENT, ABSENT,
              "upstream's init makes a volume with a tmp writable, also one that is readonly"),
    Explained(f"{ODD}/file-to-dir(/new)?", "", ABSENT, PRESENT,
              "a whiteout hides lower layers, not a folder of its own layer"),
]  # fmt: skip

# An initramfs may differ as the tree does, and here: the Go tool makes links of hard links.
HARD_LINKS = {f"{ODD}/hard-b": "hard-a", f"{ODD}/sub/hard-c": "../hard-a"}


class Outcome(NamedTuple):
    """Our files for one case."""

    folder: Path
    name: str

    def file(self, suffix):
        return self.folder / f"{self.name}{suffix}"


def copied_store(cache, folder):
    """A recorded cache that may be written to."""
    copy = shutil.copytree(BASELINE / cache, folder / "cache", copy_function=shutil.copyfile)
    for directory in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        directory.chmod(0o755)
    return linuxkit.open_store(copy)


@pytest.fixture(scope="module", params=CASES)
def built(request, tmp_path_factory):
    """The case's YAML built from a copy of its images, with paths as the Go tool had them."""
    folder = tmp_path_factory.mktemp(request.param)
    store = copied_store(CACHES[request.param], folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(BASELINE)  # `source` is relative to the working directory
        spec = linuxkit.load([BASELINE / "yml" / f"{request.param}.yml"], arch="amd64")
        plan = linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64", sbom="")
    linuxkit.fetch(plan, store=store)
    system = linuxkit.assemble(plan, store=store)
    linuxkit.emit(system, FORMATS, directory=folder, name=request.param, compression="none")
    return Outcome(folder, request.param)


def test_the_recorded_cases_are_here():
    assert {"features", "kernel-ucode-first"} <= set(CASES)


def test_the_tree_is_the_same(built):
    """Path by path and field by field."""
    found = list(tree_differences(built))
    unexplained = [row for row in found if not any(explains(rule, row) for rule in EXPLAINED)]
    assert unexplained == []
    if built.name == "features":
        unused = [rule for rule in EXPLAINED if not any(explains(rule, row) for row in found)]
        assert unused == []


def test_documents_have_the_same_values(built):
    """config.json and the like, which the comparison of bytes leaves to this one."""
    theirs, ours = EXPECTED / built.name / "files", documents(built)
    recorded = {str(p.relative_to(theirs)): p.read_text() for p in theirs.rglob("*") if p.is_file()}
    assert recorded
    for name, text in recorded.items():
        mine = ours.pop(name).decode()
        if name in {"etc/meta.yaml", "etc/meta.json"}:
            same_metadata(text, mine)
        elif name.endswith(".json"):
            assert_same_document(name, json.loads(text), json.loads(mine))
        else:
            assert mine == text, name
    for name in filter(is_document, ours):
        assert name.endswith("/oci-layout")  # not recorded, and always the same
        assert json.loads(ours[name]) == {"imageLayoutVersion": "1.0.0"}


def test_the_initrd_is_the_same(built):
    theirs, ours = recorded_initrd(built.name), initrd(built)
    allowed = {(row.path, row.field) for row in tree_differences(built)}
    for path, target in HARD_LINKS.items() if built.name == "features" else ():
        assert theirs.pop(path)["link"] == target  # a link to the file's name …
        linked = ours.pop(path)
        assert linked == ours[f"{ODD}/hard-a"]  # … where ours is the file itself
        assert linked["names"] == 3
    for row in compare(theirs, without_names(ours)):
        is_value = is_document(row.path) and row.field in {"size", "sha256"}
        assert is_value or (row.path, row.field) in allowed, row


def test_the_kernel_and_its_command_line_are_the_same(built):
    expected = EXPECTED / built.name
    kernel = hashlib.sha256(built.file("-kernel").read_bytes()).hexdigest()
    assert kernel == (expected / "kernel.sha256").read_text().split()[0]
    assert built.file("-cmdline").read_bytes() == (expected / "cmdline").read_bytes()


def test_the_archive_of_the_three_has_the_same_members(built):
    recorded = EXPECTED / built.name / "tar-kernel-initrd.jsonl"
    if not recorded.exists():
        pytest.skip("not recorded")
    theirs, ours = json_lines(recorded), tar_entries(built.file("-initrd.tar"))
    assert [row["name"] for row in theirs] == list(ours)
    for row in theirs:
        mine = ours[row["name"]]
        for field in ("type", "mode", "uid", "gid", "mtime"):
            assert mine[field] == normal(row)[field], (row["name"], field)
        if row["name"] != "initrd.img":  # compressed by another compressor
            assert mine["sha256"] == row["sha256"]


# --- comparing ---


class Difference(NamedTuple):
    path: str
    field: str
    theirs: object
    ours: object


def explains(rule, row):
    return (
        re.fullmatch(rule.paths, row.path) is not None
        and (rule.field, rule.theirs, rule.ours) == row[1:]
    )


def compare(theirs, ours):
    for path in {**theirs, **ours}:
        if path not in ours or path not in theirs:
            both = (PRESENT, ABSENT) if path in theirs else (ABSENT, PRESENT)
            yield Difference(path, "", *both)
            continue
        a, b = theirs[path], ours[path]
        for field in {**a, **b}:
            if a.get(field) != b.get(field):
                yield Difference(path, field, a.get(field), b.get(field))


def tree_differences(built):
    theirs = {row["name"].rstrip("/"): normal(row) for row in json_lines(recorded_tar(built.name))}
    for row in compare(theirs, tar_entries(built.file(".tar"))):
        if not (is_document(row.path) and row.field in {"size", "sha256"}):
            yield row


def is_document(path):
    """Whether it is a file whose value counts, not its bytes."""
    names = r"(config|runtime|index)\.json|oci-layout"
    return re.fullmatch(rf"containers/.*/({names})|etc/meta\.(yaml|json)", path) is not None


def assert_same_document(name, theirs, ours):
    """Differences are those that test_upstream_config explains."""
    section = name.removeprefix("containers/").removesuffix("/config.json")
    explained = {
        path.removeprefix(f"{section} config "): value
        for path, _, value in EXPLAINED_CONFIG
        if path.startswith(f"{section} config ")
    }
    if name.endswith("/config.json"):
        ours = without_guard(theirs, without_device_rule(theirs, ours))
    found = {path: value for path, _, value in differences(theirs, ours)}
    if name.endswith("/config.json"):
        found.pop("process.capabilities.inheritable", None)  # its own test there
    assert found == explained, name


def without_guard(theirs, ours):
    """Our config.json without what the compat profile adds, which has to be all of it or nothing."""
    linux = dict(ours["linux"])
    held = ours["process"]["capabilities"]
    own = [m for m in ours["mounts"] if m["type"] in {"proc", "cgroup"}]
    usual = {"/proc", "/sys/fs/cgroup"} == {m["destination"] for m in own}
    private = {"type": "pid"} in linux["namespaces"]
    assert ("seccomp" in linux) == (not held and usual and private)
    if "seccomp" not in linux:
        return ours
    assert linux.pop("seccomp") == compat.seccomp("amd64")
    assert linux["namespaces"][-1] == {"type": "cgroup"}
    linux["namespaces"] = linux["namespaces"][:-1]
    for key, hidden in (("maskedPaths", strict.MASKED), ("readonlyPaths", strict.READONLY)):
        if key not in theirs["linux"]:
            assert linux.pop(key) == list(hidden)
    return {**ours, "linux": linux}


# --- reading what was recorded, and what we made ---


def recorded_tar(name):
    return EXPECTED / name / "tar.jsonl"


def json_lines(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "name" in row]


def normal(row):
    """A recorded header in the form of :func:`tar_entries`."""
    found = {key: value for key, value in row.items() if key != "name"}
    return {**found, "mode": int(row["mode"], 8)}


def tar_entries(path):
    """Name → fields, by Python's own reader."""
    own = {"path", "linkpath", "uid", "gid", "size", "mtime"}
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            row = {
                "type": member.type.decode(), "mode": member.mode, "uid": member.uid,
                "gid": member.gid, "size": member.size if member.isreg() else 0,
                "mtime": int(member.mtime),
            }  # fmt: skip
            pax = {key: value for key, value in member.pax_headers.items() if key not in own}
            optional = {
                "link": member.linkname, "uname": member.uname, "gname": member.gname, "pax": pax
            }  # fmt: skip
            row |= {key: value for key, value in optional.items() if value}
            if member.ischr() or member.isblk():
                row["dev"] = [member.devmajor, member.devminor]
            if member.type == tarfile.REGTYPE:
                row["sha256"] = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
            found[member.name] = row
    return found


def documents(built):
    """The content of every file whose recorded content is at hand."""
    with tarfile.open(built.file(".tar")) as archive:
        files = [m for m in archive if m.isreg() and m.size < 1 << 20]
        return {m.name: archive.extractfile(m).read() for m in files}


# Of a newc header, see Documentation/driver-api/early-userspace/buffer-format.rst.
FIELDS = ("ino", "mode", "uid", "gid", "nlink", "mtime", "size", "devmaj", "devmin", "rdevmaj",
          "rdevmin", "namesize")  # fmt: skip
COMPARED = ("mode", "uid", "gid", "mtime", "rdevmaj", "rdevmin")


def recorded_initrd(name):
    found = {}
    for row in json_lines(EXPECTED / name / "initrd.cpio.jsonl"):
        kept = {key: row[key] for key in (*COMPARED, "size", "link", "sha256") if key in row}
        found[row["name"].rstrip("/")] = kept | {"mode": int(row["mode"], 8)}
    found.pop("TRAILER!!!")
    return found


def initrd(built):
    """Name → fields of our archives, which follow each other."""
    data = built.file("-initrd.img").read_bytes()
    found, piece, at = {}, {}, max(data.find(b"070701"), 0)
    while at < len(data):
        if data[at : at + 1] == b"\0":
            at += 1
            continue
        assert data[at : at + 6] == b"070701"
        words = (int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(len(FIELDS)))
        head = dict(zip(FIELDS, words, strict=True))
        start = at + 110
        name = data[start : start + head["namesize"] - 1].decode("utf-8", "surrogateescape")
        start += head["namesize"]
        start += -start % 4
        content = data[start : start + head["size"]]
        at = start + head["size"] + -head["size"] % 4
        if name == "TRAILER!!!":
            found |= finished(piece)
            piece = {}
        else:
            piece[name] = head, content
    return found


def finished(piece):
    """An archive's members; every name of a file with several has its data."""
    data = {head["ino"]: content for head, content in piece.values() if content}
    numbers = [head["ino"] for head, _ in piece.values()]
    rows = {}
    for name, (head, _) in piece.items():
        content = data.get(head["ino"], b"")
        row = {key: head[key] for key in COMPARED} | {"size": len(content)}
        if head["mode"] & 0o170000 == 0o120000:
            row["link"] = content.decode("utf-8", "surrogateescape")
        elif content:
            row["sha256"] = hashlib.sha256(content).hexdigest()
        rows[name] = row | {"names": numbers.count(head["ino"])}
    return rows


def without_names(members):
    return {name: {k: v for k, v in row.items() if k != "names"} for name, row in members.items()}
