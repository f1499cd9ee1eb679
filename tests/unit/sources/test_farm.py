"""Packages built on a Dask cluster, whose workers have nothing but a scheduler and a registry."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from linuxkit.cli.main import main
from linuxkit.recipes import package
from linuxkit.sources import farm
from support.checkout import need_modules
from support.registry import running
from support.site import Site

pytestmark = pytest.mark.filterwarnings("default")  # the cluster's library has its own
NAMES = ("one", "two", "three")


def git(folder, *words):
    argv = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    Site(tmp_path, monkeypatch)
    root = tmp_path / "repo"
    for name in NAMES:
        (root / name).mkdir(parents=True)
        (root / name / "build.yml").write_text(f"image: {name}\ndebian: {{packages: [web]}}\narches: [amd64]\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "1")
    monkeypatch.chdir(root)
    assert main(["pkg", "lock", "-q", "--arch", "amd64", *NAMES]) == 0
    git(root, "add", "-A")
    git(root, "commit", "-qm", "2")
    return root


class Slow(SimpleHTTPRequestHandler):
    """A Debian mirror that keeps the first who asks for a package waiting."""

    asked = threading.Event()
    go_on = threading.Event()

    def do_GET(self):
        if self.path.endswith(".deb") and not self.asked.is_set():
            self.asked.set()
            self.go_on.wait(120)
        with contextlib.suppress(ConnectionError):  # who asked was killed
            super().do_GET()

    def log_message(self, *args):
        pass


def test_a_worker_that_is_killed_while_it_builds(tree, tmp_path, capsys, monkeypatch):
    need_modules("distributed")
    import distributed

    mirror = ThreadingHTTPServer(("127.0.0.1", 0), partial(Slow, directory=str(tmp_path / "debian")))
    threading.Thread(target=mirror.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("LINUXKIT_DEBIAN_MIRROR", f"http://127.0.0.1:{mirror.server_port}")
    # The packages are in this store already; the workers have one of their own.
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "workers"))
    with running(tmp_path / "registry") as hub:
        monkeypatch.setenv("LINUXKIT_PKG_ORG", f"{hub.host}/team")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster, distributed.Client(cluster) as client:
            pids = client.run(os.getpid)
            killed: list[int] = []
            killer = threading.Thread(target=kill_the_builder, args=(client, pids, killed))
            killer.start()
            words = ["pkg", "build", "-q", "--all", "--scheduler", cluster.scheduler_address, "."]
            status = main(words)
            killer.join()
        mirror.shutdown()
        mirror.server_close()
        assert (status, capsys.readouterr().err) == (0, "")
        assert len(killed) == 1
        for name in NAMES:
            tag = git(tree, "rev-parse", f"HEAD:{name}")
            argv = ["skopeo", "inspect", "--tls-verify=false", f"docker://{hub.host}/team/{name}:{tag}"]
            found = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
            assert found["Labels"]["org.opencontainers.image.revision"] == git(tree, "rev-parse", "HEAD")


def kill_the_builder(client, pids, killed):
    """SIGKILL for the worker that is building when the mirror is asked."""
    assert Slow.asked.wait(120)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        busy = [address for address, tasks in client.processing().items() if tasks]
        if busy:
            os.kill(pids[busy[0]], signal.SIGKILL)
            killed.append(pids[busy[0]])
            break
        time.sleep(0.1)
    Slow.go_on.set()


def test_what_a_worker_answers(tree, monkeypatch, tmp_path):
    monkeypatch.setenv("LINUXKIT_CACHE", str(tmp_path / "worker"))
    one = package.load(tree / "one")
    packed = farm.pack(one, ["amd64"], sbom=True)
    with running(tmp_path / "registry") as hub:
        named = one._replace(identity=one.identity._replace(reference=f"{hub.host}/a/one:1"))
        answer = json.loads(farm.build(farm.pack(named, ["amd64"], sbom=True)))
        assert answer == {"lines": [f"{hub.host}/a/one:1-amd64  built"]}
    (tree / "one" / "debian.lock").unlink()
    answer = json.loads(farm.build(farm.pack(package.load(tree / "one"), ["amd64"], sbom=True)))
    assert answer["error"]["code"] == "LK0539"
    head, _, body = packed.partition(b"\n")
    evil = json.dumps({**json.loads(head), "name": "../x"}).encode()
    assert json.loads(farm.build(evil + b"\n" + body))["error"]["code"] == "LK0601"


def test_no_scheduler(tree, capsys, monkeypatch):
    need_modules("distributed")
    monkeypatch.setattr(farm, "_WAIT_S", 1)
    assert main(["pkg", "build", "-q", "--all", "--scheduler", "tcp://127.0.0.1:9", "."]) == 1
    assert "LK0588" in capsys.readouterr().err
