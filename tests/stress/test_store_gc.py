"""Collecting in a loop against processes that build and pull: nothing they want is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from test_store_crowd import crowd

import linuxkit
from linuxkit.base import digest as digests
from linuxkit.oci import fsck, gc, inventory, pull, ref
from linuxkit.oci.model import Platform
from linuxkit.oci.registry import Client, options
from linuxkit.oci.store import Store
from linuxkit.sources.store import Stored
from support.images import image
from support.registry import running

if TYPE_CHECKING:
    from pathlib import Path

AMD = Platform("linux", "amd64")
ALL = gc.Rules(keep_s=-1, grace_s=0)  # spares nothing but what is named or in use
ROUNDS = 12
YAML = """
kernel: {image: "team/kernel:1", cmdline: "console=ttyS0"}
init: ["team/init:1"]
services: [{name: web, image: "team/web:1"}]
"""


def collector(root: Path, until: Path) -> None:
    end = time.monotonic() + 120
    while not until.exists() and time.monotonic() < end:
        gc.collect(Store(root), ALL)


def builder(root: Path, folder: Path, who: int) -> None:
    """Builds again and again in a process of its own; each build makes the same bytes."""
    file = folder / f"{who}.yml"
    file.write_text(YAML)
    for n in range(ROUNDS):
        store = Store(root)
        spec = linuxkit.load([file], arch="amd64")
        plan = linuxkit.resolve(spec, store=store, sources=[Stored(store)], arch="amd64")
        linuxkit.fetch(plan, store=store)
        system = linuxkit.assemble(plan, store=store)
        out = folder / f"{who}-{n}"
        out.mkdir()
        linuxkit.emit(system, ["kernel+initrd"], directory=out, name="x")
        store.keep_uses([str(file)])


def puller(root: Path, host: str, who: int) -> None:
    """Pulls, forgets and pulls again: what it finds half collected has to be good."""
    client = Client(options([f"http://{host}"]))
    asked = ref.parse(f"team/big:{who}")
    for _ in range(ROUNDS):
        store = Store(root)
        found = pull.pull(client, asked, AMD, store)
        assert not list(fsck.missing(store, found))
        store.remove_name(str(asked))


def test_builds_and_pulls_while_all_is_collected(tmp_path):
    root = tmp_path / "cache"
    store = Store(root)
    image(
        store,
        "docker.io/team/kernel:1",
        {"kernel": os.urandom(100_000), "kernel.tar": b"\0" * 1024},
    )
    image(store, "docker.io/team/init:1", {"init": "x", "bin/": ""}, {"lib/": "", "lib/a": "1"})
    image(store, "docker.io/team/web:1", {"srv/": "", "srv/page": os.urandom(200_000)})
    origin = Store(tmp_path / "origin", sync=False)
    shared = {"shared": os.urandom(300_000)}
    done = tmp_path / "done"
    with running(tmp_path / "registry") as site:
        for who in range(2):
            image(origin, f"big{who}", shared, {f"own{who}": os.urandom(300_000)})
            site.push(origin, f"big{who}", f"team/big:{who}")
        store.release()

        def work() -> None:
            try:
                crowd(
                    [lambda who=who: builder(root, tmp_path, who) for who in range(3)]
                    + [lambda who=who: puller(root, site.host, who) for who in range(2)]
                )
            finally:
                done.touch()

        crowd([work, lambda: collector(root, done)])
    outputs = {
        digests.of_bytes((path / "x-initrd.img").read_bytes())
        for path in tmp_path.glob("?-*")
        if path.is_dir()
    }
    assert len(outputs) == 1
    assert fsck.check(Store(root)).findings == ()
    assert len(Store(root).names()) == 3
    gc.collect(Store(root), ALL)
    assert not list(Store(root).trash.files())


def test_killed_while_collecting(tmp_path):
    """SIGKILL at any moment: nothing that is named goes, and the next collection gets on."""
    dice = random.Random(3)
    store = Store(tmp_path, sync=False)
    named = image(store, "docker.io/team/web:1", {"a": "1"}, {"b": "2"})
    store.release()
    for turn in range(30):
        writing = Store(tmp_path, sync=False)
        for n in range(20):
            data = b"%d %d" % (turn, n)
            writing.set_derived(digests.of_bytes(data), "tar", writing.put(data), len(data))
        writing.release()
        child = os.fork()
        if not child:
            gc.collect(Store(tmp_path), ALL)
            os._exit(0)
        time.sleep(dice.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert not list(fsck.missing(Store(tmp_path), named))
    gc.collect(Store(tmp_path), ALL)
    gc.collect(Store(tmp_path), ALL)
    assert len(list(inventory.blobs(store))) == 4
    assert not list(store.trash.files())


@pytest.mark.parametrize("turn", range(3))
def test_two_collectors_at_once(tmp_path, turn):
    store = Store(tmp_path, sync=False)
    for n in range(50):
        store.put(b"%d %d" % (turn, n))
    store.release()
    crowd([lambda: gc.collect(Store(tmp_path), ALL) and None] * 2)  # type: ignore[list-item]
    gc.collect(Store(tmp_path), ALL)
    assert not list(inventory.blobs(store))
