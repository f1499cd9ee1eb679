"""One cache for both tools: what lies on disk is what the Go tool reads, locks and leaves.

The rules are those of its cache (an OCI image layout whose names are annotations); each is checked
here field by field.  The cache that the Go tool wrote itself lies beside the checkout.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_upstream_config import BASELINE, COMPAT

from linuxkit.base import digest as digests
from linuxkit.base import files
from linuxkit.cli.main import main
from linuxkit.oci import fsck, gc, inventory
from linuxkit.oci.image import write_index
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from support.images import image
from support.registry import running

SOURCE = Path(__file__).resolve().parents[2] / "src"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"


@pytest.fixture
def pulled(tmp_path, monkeypatch):
    """A cache that only ``cache pull`` has written, from a registry."""
    origin = Store(tmp_path / "origin", sync=False)
    parts = [image(origin, arch, {"a": arch}, arch=arch) for arch in ("amd64", "arm64")]
    platforms = [Platform("linux", "amd64"), Platform("linux", "arm64")]
    both = [part._replace(platform=p) for part, p in zip(parts, platforms, strict=True)]
    origin.set_name("web", write_index(origin, both))
    cache = tmp_path / "cache"
    monkeypatch.setenv("LINUXKIT_CACHE", str(cache))
    with running(tmp_path / "registry") as site:
        site.push(origin, "web", "team/web:1")
        words = ["cache", "pull", "team/web:1", "--mirror", f"http://{site.host}"]
        assert main([*words, "--arch", "amd64", "--arch", "arm64"]) == 0
    return cache, origin.find("web"), parts


def test_the_layout_is_as_the_go_tool_has_it(pulled):
    cache, root, parts = pulled
    assert json.loads((cache / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((cache / "index.json").read_bytes())
    assert (index["schemaVersion"], index["mediaType"]) == (2, INDEX)
    assert set(index) == {"schemaVersion", "mediaType", "manifests"}
    rows = {entry["annotations"][REF_NAME]: entry for entry in index["manifests"]}
    # One entry for each name, which is the reference in full; and NAME-ARCH for each platform.
    assert list(rows) == [
        "docker.io/team/web:1", "docker.io/team/web:1-amd64", "docker.io/team/web:1-arm64",
    ]  # fmt: skip
    assert len(index["manifests"]) == len(rows)
    whole = rows["docker.io/team/web:1"]
    assert set(whole) == {"mediaType", "digest", "size", "annotations"}
    assert (whole["mediaType"], whole["digest"], whole["size"]) == (INDEX, root.digest, root.size)
    for part, arch in zip(parts, ("amd64", "arm64"), strict=True):
        entry = rows[f"docker.io/team/web:1-{arch}"]
        assert (entry["mediaType"], entry["digest"], entry["size"]) == (
            MANIFEST, part.digest, part.size,
        )  # fmt: skip
        # It crashes where the entry of an image has no platform.
        assert entry["platform"] == {"architecture": arch, "os": "linux"}
    for path in (cache / "blobs" / "sha256").iterdir():
        assert digests.of_bytes(path.read_bytes()) == f"sha256:{path.name}"
        assert path.stat().st_mode & 0o444 == 0o444 & ~_umask()
    # Nothing of ours among what it looks at.
    assert sorted(path.name for path in cache.iterdir()) == [
        ".lock", "blobs", "index.json", "linuxkit", "oci-layout",
    ]  # fmt: skip
    assert [path.name for path in (cache / "blobs").iterdir()] == ["sha256"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_it_put_there_stays_as_it_is(pulled):
    """Members and entries that are none of ours survive our changes, in their order."""
    cache, root, _ = pulled
    index = json.loads((cache / "index.json").read_bytes())
    foreign = {"mediaType": INDEX, "digest": root.digest, "size": root.size, "x-own": {"a": [1]}}
    index["manifests"].insert(0, foreign)
    index["annotations"] = {"k": "v"}
    (cache / "index.json").write_text(json.dumps(index))
    assert main(["cache", "rm", "docker.io/team/web:1-arm64"]) == 0
    now = json.loads((cache / "index.json").read_bytes())
    assert now["manifests"][0] == foreign
    assert now["annotations"] == {"k": "v"}
    assert len(now["manifests"]) == 3
    # Also what has no name is named by the index, so that collecting leaves it alone.
    for name in ("docker.io/team/web:1", "docker.io/team/web:1-amd64"):
        assert main(["cache", "rm", name]) == 0
    before = len(list(inventory.blobs(Store(cache))))
    gc.collect(Store(cache), gc.Rules(keep_s=0, grace_s=0))
    assert len(list(inventory.blobs(Store(cache)))) == before


HOLDER = """
import fcntl, sys, time
lock = open(sys.argv[1], "w")
fcntl.lockf(lock, fcntl.LOCK_EX)  # POSIX, F_SETLKW: as the Go tool takes it
print("held", flush=True)
sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_its_lock_is_respected(pulled):
    """While it holds `.lock` names are not changed; readers, and blobs, do not wait."""
    cache, _, parts = pulled
    theirs = holder(cache / ".lock")
    try:
        store = Store(cache)
        assert store.find("docker.io/team/web:1") is not None
        store.put(b"a blob")
        ours = os.fork()
        if not ours:
            Store(cache).set_name("docker.io/team/new:1", parts[0])
            os._exit(0)
        time.sleep(0.3)
        assert os.waitpid(ours, os.WNOHANG) == (0, 0)
        assert store.find("docker.io/team/new:1") is None
        theirs.communicate("\n")
        assert os.waitpid(ours, 0)[1] == 0
        assert store.find("docker.io/team/new:1") is not None
    finally:
        theirs.kill()
        theirs.communicate()


def test_a_lock_of_a_killed_one_is_none(pulled):
    cache, _, parts = pulled
    theirs = holder(cache / ".lock")
    theirs.send_signal(signal.SIGKILL)
    theirs.communicate()
    Store(cache).set_name("docker.io/team/new:1", parts[0])


def test_it_waits_for_ours(pulled):
    cache, _, _ = pulled
    with files.locked(cache / ".lock"), (cache / ".lock").open("r+") as lock:
        child = os.fork()
        if not child:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_an_index_rewritten_in_place_is_read_when_it_is_whole(pulled):
    """It truncates and writes the file itself, under its lock: a reader waits for the end."""
    cache, _, _ = pulled
    whole = (cache / "index.json").read_bytes()
    theirs = holder(cache / ".lock")
    try:
        (cache / "index.json").write_bytes(whole[: len(whole) // 2])
        reader = os.fork()
        if not reader:
            os._exit(0 if Store(cache).find("docker.io/team/web:1") else 1)
        time.sleep(0.2)
        assert os.waitpid(reader, os.WNOHANG) == (0, 0)
        (cache / "index.json").write_bytes(whole)
        theirs.communicate("\n")
        assert os.waitpid(reader, 0)[1] == 0
    finally:
        theirs.kill()
        theirs.communicate()


@pytest.mark.skipif(
    not COMPAT.is_dir() and os.environ.get("CI") != "true", reason="no compatibility data"
)
def test_a_cache_of_the_go_tool_is_read_in_place(tmp_path, monkeypatch, capsys):
    """Read only it is good as it is; then builds, checks and collections work in it."""
    cache = tmp_path / "cache"
    shutil.copytree(BASELINE / "cache-features", cache)
    for path in [cache, *cache.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.setenv("LINUXKIT_CACHE", str(cache))
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    names = [
        e["annotations"][REF_NAME] for e in json.loads(before[cache / "index.json"])["manifests"]
    ]
    assert main(["cache", "ls", "--json"]) == 0
    assert sorted(row["name"] for row in json.loads(capsys.readouterr().out)) == sorted(names)
    assert main(["cache", "fsck"]) == 0
    assert {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()} == before
    monkeypatch.chdir(BASELINE)  # paths of files in the YAML start there
    words = ["build", "--arch", "amd64", "--offline", "--ignore-trust", "-f", "tar"]
    words += ["--dir", str(tmp_path)]
    assert main([*words, str(BASELINE / "yml" / "features.yml")]) == 0
    assert main(["cache", "gc", "--grace", "0"]) == 0
    assert fsck.check(Store(cache)).findings == ()
    assert {path: path.read_bytes() for path in before} == before
