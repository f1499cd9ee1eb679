"""Packages built on a Dask cluster, whose workers have nothing but a scheduler and a registry."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from linuxkit.cli.main import main
from linuxkit.oci.store import Store
from linuxkit.recipes import package
from linuxkit.sources import farm
from support.checkout import need_modules
from support.networks import HUB, HUB_ADDRESS, star
from support.registry import command, running
from support.site import Site
from support.tools import need

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


# A mirror as above for machines that have no other network; it tells who waits.
MIRROR = """
import http.server, pathlib, sys, time
folder, address, waits, go_on = sys.argv[1:]
class Slow(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args): super().__init__(*args, directory=folder)
    def do_GET(self):
        if self.path.endswith(".deb") and not pathlib.Path(waits).exists():
            pathlib.Path(waits + ".new").write_text(self.client_address[0])
            pathlib.Path(waits + ".new").rename(waits)
            while not pathlib.Path(go_on).exists(): time.sleep(0.1)
        super().do_GET()
http.server.ThreadingHTTPServer((address, 8000), Slow).serve_forever()
"""
NATIVES = ("n1", "n2", "n3", "n4")


def settings(folder, **more):
    """The environment of a machine that has its own store and knows the hub alone."""
    hub = {"LINUXKIT_INSECURE_REGISTRIES": f"{HUB_ADDRESS}:5000", "LINUXKIT_PKG_ORG": f"{HUB_ADDRESS}:5000/team",
           "LINUXKIT_DEBIAN_MIRROR": f"http://{HUB_ADDRESS}:8000", "LINUXKIT_CACHE": str(folder)}  # fmt: skip
    return {**os.environ, **hub, **more}


def await_file(path, *processes):
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)
    return path.read_text()


def build_all(net, tmp_path, tree, *words):
    program = "from linuxkit.cli.main import entry; entry()"
    address = f"tcp://{HUB_ADDRESS}:8786"
    argv = [sys.executable, "-c", program, "pkg", "build", "-q", "--all", "--scheduler", address, *words]
    return net.run("desk", argv, cwd=tree, env=settings(tmp_path / "desk"), timeout=300)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_machines_that_reach_nothing_but_the_scheduler_and_the_registry(tree, tmp_path):
    need_modules("distributed")
    for program in ("ip", "buildah"):
        need(program)
    with star("desk", "w1", "w2", "w3") as net:
        waits, go_on = tmp_path / "waits", tmp_path / "go-on"

        def worker(name, arch):
            words = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://{HUB_ADDRESS}:8786",
                     "--no-nanny", "--no-dashboard", "--nthreads", "1", "--local-directory", tmp_path / "scratch",
                     "--resources", f"linux/{arch}=1"]  # fmt: skip
            return net.start(name, words, tmp_path / f"{name}.log", env=settings(tmp_path / name))

        hub = [
            net.start(HUB, words, tmp_path / f"hub{n}.log")
            for n, words in enumerate((
                command(tmp_path / "registry", f"{HUB_ADDRESS}:5000"),
                [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", HUB_ADDRESS, "--port", "8786",
                 "--no-dashboard"],
                [sys.executable, "-c", MIRROR, tmp_path / "debian", HUB_ADDRESS, waits, go_on],
            ))
        ]  # fmt: skip
        workers = {net.address(name): worker(name, "amd64") for name in ("w1", "w2")}
        killer = threading.Thread(target=lambda: kill_who_waits(waits, go_on, workers, hub))
        killer.start()
        done = build_all(net, tmp_path, tree, ".")
        killer.join()
        assert (done.returncode, done.stderr) == (0, "")
        assert [process.poll() is None for process in workers.values()].count(False) == 1
        listed = net.run("desk", [need("skopeo"), "inspect", "--tls-verify=false", image_of(tree, "one")])
        assert json.loads(listed.stdout)["Labels"]["org.opencontainers.image.revision"]

        # Dockerfiles run programs: a worker that is for another architecture gets none of them.
        worker("w3", "arm64")
        await_line(tmp_path / "w3.log", "Registered to")
        for name in NATIVES:
            folder = tree / "natives" / name
            folder.mkdir(parents=True)
            (folder / "build.yml").write_text(f"image: {name}\narches: [amd64]\n")
            (folder / "Dockerfile").write_text("FROM scratch\nCOPY build.yml /\n")
        git(tree, "add", "-A")
        git(tree, "commit", "-qm", "3")
        done = build_all(net, tmp_path, tree, "natives")
        assert (done.returncode, done.stderr) == (0, "")
        built = [name for where in ("w1", "w2") for name, _ in Store(tmp_path / where).names()]
        assert {name.split("/")[2].split(":")[0] for name in built} >= set(NATIVES)
        assert Store(tmp_path / "w3").names() == ()
        for name in (*NAMES, *NATIVES):
            argv = [need("skopeo"), "inspect", "--raw", "--tls-verify=false", image_of(tree, name)]
            assert json.loads(net.run("desk", argv).stdout)["manifests"]


def image_of(tree, name):
    folder = name if name in NAMES else f"natives/{name}"
    return f"docker://{HUB_ADDRESS}:5000/team/{name}:{git(tree, 'rev-parse', f'HEAD:{folder}')}"


def await_line(log, text):
    until = time.monotonic() + 60
    while text not in log.read_text():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


def kill_who_waits(waits, go_on, workers, hub):
    """SIGKILL for the worker whose build has asked the mirror."""
    try:
        victim = workers[await_file(waits, *hub)]
        victim.kill()
        victim.wait()
    finally:
        go_on.touch()


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
