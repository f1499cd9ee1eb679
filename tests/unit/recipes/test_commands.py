"""The driver ``build:``: real compilers of Debian in the sandbox, and what may go wrong there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.net.http import Transport
from linuxkit.oci import image
from linuxkit.oci.flatten import flatten
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.recipes import inside, recipe, relock, settings
from linuxkit.recipes.debian import archive, mirror, release
from linuxkit.recipes.debian import lock as locks
from linuxkit.recipes.stock import Shelf
from linuxkit.sources.packages import pool_of
from support import nobody
from support.bench import add_recipe

pytestmark = [
    pytest.mark.net, pytest.mark.root, pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else"),
]  # fmt: skip

AMD64 = Platform("linux", "amd64")
HELLO = """\
image: hello
arches: [amd64]
build:
  packages: [gcc, libc6-dev, make]
  env: [GREETING=hi]
  steps:
    - make -C $SRC OUT=$PWD/hello GREETING="$GREETING" && ./hello > said
    - |
      mkdir -p tree/etc && mv said tree/etc/ && chmod 600 tree/etc/said
      ln -s said tree/etc/link && ln tree/etc/said tree/etc/twin
      stat -c '%n %a %u %Y' $SRC/hello.c > tree/etc/source
  outputs:
    - {source: /build/hello, path: bin/hello}
    - {source: tree, path: /}
entrypoint: [/bin/hello]
"""
FILES = {
    "hello.c": 'int puts(const char *);\nint main(void) { return puts(GREETING " " __DATE__ " " __FILE__) < 0; }\n',
    "Makefile": "all: ; cc -static -g -DGREETING='\"$(GREETING)\"' -o $(OUT) hello.c\n",
}
PROBE = """\
  packages: [gcc, libc6-dev, make]
  steps:
    - |
      exec > report 2>&1
      id -u; id -g; hostname; umask; pwd; echo $$
      env | sort | tr '\\n' ' '; echo
      grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr -d '\\t\\n'; echo
      ls / | tr '\\n' ' '; echo
      ls /dev | tr '\\n' ' '; echo
      cut -d: -f1 /proc/self/net/dev | tail -n +3 | tr -d ' \\n'; echo
      ls -d /proc/[0-9]* | wc -l
      for path in /usr/x /src/x /etc/passwd /dev/x /proc/sys/kernel/hostname; do
        (echo x > $path) 2>/dev/null && echo "wrote $path"
      done
      (echo > /dev/tcp/127.0.0.1/PORT) 2>/dev/null && echo "reached the host"
      unshare -U true 2>/dev/null && echo "made a user namespace"
      find / -name SECRET 2>/dev/null || true
      ls /proc/1/root /proc/1/cwd 2>/dev/null || true
      echo end
  outputs: [{source: report, path: report}]
"""


class Bench:
    """Recipes, a lock of today's Debian and a store."""

    def __init__(self, root):
        self.root = root
        self.store = Store(root / "cache", sync=False)
        self.recipes = root / "packages"
        self.lock_path = root / "debian.lock"

    def add(self, name, text, files=()):
        return add_recipe(self.recipes, name, text, files)

    def lock(self):
        found = archive.reach(
            mirror.choose(os.environ, settings.load(os.environ)),
            release.Keyring(release.shipped_keys()), Transport(), datetime.now(UTC),
        )  # fmt: skip
        bench = relock.Bench(found, pool_of(self.store), self.store)
        recipes = [recipe.load(path) for path in self.recipes.iterdir()]
        done = relock.refresh(locks.EMPTY, recipes, ["amd64"], bench)
        assert not done.failures
        self.lock_path.write_bytes(locks.encode(done.lock))
        return done.lock

    def relock_as(self, name, like):
        """Let ``name`` have the packages of ``like``, whose recipe asks for the same."""
        lock = locks.load(self.lock_path)
        packages = {**lock.packages, f"{name}:build": lock.packages[f"{like}:build"]}
        self.lock_path.write_bytes(locks.encode(lock._replace(packages=packages)))

    def build(self, name):
        shelf = Shelf(self.recipes, self.lock_path)
        return shelf.image(name, "amd64", self.store, pool_of(self.store))

    def files(self, descriptor):
        found = image.open_image(self.store, descriptor, AMD64)
        with flatten(self.store, found.manifest.layers, found.config.diff_ids) as tree:
            return {
                e.path: (e.kind.value, oct(e.mode), b"".join(e.content.chunks()) or e.link)
                for e in tree.entries()
            }

    def try_steps(self, *steps, outputs="[{source: x, path: x}]", limits="{}"):
        """Build a recipe with these steps."""
        body = f"  steps: {json.dumps(steps)}\n  outputs: {outputs}\n  limits: {limits}\n"
        text = f"image: trial\narches: [amd64]\nbuild:\n  packages: [gcc, libc6-dev, make]\n{body}"
        self.add("trial", text)
        self.relock_as("trial", "hello")
        return self.files(self.build("trial"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("bench"))
    made.add("hello", HELLO, FILES)
    made.lock()
    return made


def test_a_c_program_is_the_same_for_everybody(bench):
    first = bench.build("hello")
    files = bench.files(first)
    assert list(files) == ["bin", "bin/hello", "etc", "etc/link", "etc/said", "etc/source", "etc/twin"]
    lock = locks.load(bench.lock_path)
    assert "gcc" in {deb.package for deb in lock.debs_of("hello:build", "amd64")}
    assert files["bin/hello"][:2] == ("file", "0o755")
    assert files["etc/link"] == ("symlink", "0o777", "said")
    said = files["etc/said"]
    assert said[1] == "0o644"
    assert said == files["etc/twin"]
    assert said[2].startswith(b"hi ")
    assert said[2].endswith(b" hello.c\n")
    name, mode, owner, time = files["etc/source"][2].split()
    assert (name, mode, owner) == (b"/src/hello.c", b"644", b"1000")
    config = image.open_image(bench.store, first, AMD64).config
    assert config.entrypoint == ("/bin/hello",)
    # Its date is the compiler's, not today's.
    year = datetime.fromtimestamp(int(time), UTC).strftime("%Y").encode()
    assert year in said[2]
    again = Store(bench.root / "again", sync=False)
    (bench.root / "again").mkdir()
    (bench.root / "again" / "blobs").symlink_to(bench.store.root / "blobs")
    shelf = Shelf(bench.recipes, bench.lock_path)
    assert shelf.image("hello", "amd64", again, pool_of(again)) == first
    with nobody.home(blobs=bench.store.root / "blobs") as theirs:
        for path in ("build.yml", *FILES):
            (theirs / "recipes" / "hello").mkdir(parents=True, exist_ok=True)
            (theirs / "recipes" / "hello" / path).write_bytes((bench.recipes / "hello" / path).read_bytes())
        (theirs / "lock").write_bytes(bench.lock_path.read_bytes())
        done = nobody.run(theirs, BUILD, "hello")
        assert done.stdout.split()[-1] == first.digest


BUILD = """\
import sys
from pathlib import Path
from linuxkit.oci.store import Store
from linuxkit.recipes.stock import Shelf
from linuxkit.sources.packages import pool_of
store = Store(Path("cache"))
print(Shelf(Path("recipes"), Path("lock")).image(sys.argv[1], "amd64", store, pool_of(store)).digest)
if len(sys.argv) > 2:
    from linuxkit.oci import export
    from linuxkit.oci.model import Platform
    found = store.find(Shelf(Path("recipes"), Path("lock")).reference(sys.argv[1], "amd64"))
    with open(sys.argv[2], "wb") as out:
        export.write_tree(store, found, Platform("linux", "amd64"), out)
"""


def check_report(text):
    lines = text.decode().splitlines()
    user, group, host, umask, folder, number, env, status, top, devices, nets, processes, *rest = lines
    assert (user, group, host, umask, folder) == ("1000", "1000", "linuxkit", "0022", "/build")
    assert int(number) < 20
    names = {word.partition("=")[0] for word in env.split()}
    assert names == {
        "HOME", "JOBS", "LANG", "LC_ALL", "LOGNAME", "MACHINE_ARCH", "PATH", "PWD", "SHELL", "SHLVL",
        "SOURCE_DATE_EPOCH", "SRC", "TARGET_ARCH", "TARGET_KERNEL_ARCH", "TARGET_MULTIARCH", "TZ",
        "USER", "_",
    }  # fmt: skip
    zeros = "0" * 16
    assert status == "".join(f"Cap{k}:{zeros}" for k in ("Inh", "Prm", "Eff", "Bnd", "Amb")) + "NoNewPrivs:1"
    assert "work" not in top.split()
    assert {"src", "build", "usr"} < set(top.split())
    assert set(devices.split()) == {
        "fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero",
    }  # fmt: skip
    assert nets == "lo"
    assert int(processes) < 10
    assert rest == ["end"]


def test_commands_see_nothing_of_this_machine(bench):
    secret = f"secret-{os.urandom(6).hex()}"
    (bench.root / secret).write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = PROBE.replace("PORT", str(server.getsockname()[1])).replace("SECRET", secret)
        bench.add("probe", f"image: probe\narches: [amd64]\nbuild:\n{text}")
        bench.relock_as("probe", "hello")
        check_report(bench.files(bench.build("probe"))["report"][2])
        with nobody.home(blobs=bench.store.root / "blobs") as theirs:
            (theirs / "recipes" / "probe").mkdir(parents=True)
            (theirs / "recipes" / "probe" / "build.yml").write_bytes(
                (bench.recipes / "probe" / "build.yml").read_bytes()
            )
            (theirs / "lock").write_bytes(bench.lock_path.read_bytes())
            nobody.run(theirs, BUILD, "probe", "tree.tar")
            found = subprocess.run(
                ["tar", "xOf", theirs / "tree.tar", "report"], capture_output=True, check=True
            )
        check_report(found.stdout)


def left_over(store):
    """Processes in the sandboxes of this store; others on this machine may build, too."""
    ours = "/".join((store.root / "linuxkit" / "builds").parts[2:])  # behind a mount point such as /tmp
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status, mounts = (folder / "status").read_text(), (folder / "mountinfo").read_text()
        except OSError:
            continue
        if f"Uid:\t{inside.OUTSIDE}\t" in status and ours in mounts:
            found.append(status)
    return found


@pytest.mark.parametrize(("script", "codes"), [
    ("f() { f | f & }; f; sleep 1000", {"LK0560", "LK0562"}),
    ("(setsid sleep 1000 &) ; exec sleep 1000", {"LK0562"}),
    ("trap '' TERM INT HUP; while :; do :; done", {"LK0562"}),
])  # fmt: skip
def test_bombs_end(bench, script, codes):
    with pytest.raises(Error) as caught:
        bench.try_steps(script, limits="{timeout: 4, processes: 100}")
    assert caught.value.code in codes
    until = time.monotonic() + 60
    while (left := left_over(bench.store)) and time.monotonic() < until:  # the kernel takes them down one by one
        time.sleep(0.1)
    assert not left
    assert not list((bench.store.root / "linuxkit" / "builds").iterdir())


def test_what_a_step_leaves_running_is_gone_before_the_next(bench):
    files = bench.try_steps(
        "(while :; do echo x >> x; sleep 0.01; done) & sleep 0.3",
        "cp x y; sleep 0.3; cmp x y; ls -d /proc/[0-9]* | wc -l > x",
    )
    assert int(files["x"][2]) < 8


def test_a_failure_shows_its_line_and_the_last_words(bench):
    said = []
    with pytest.raises(Error) as caught, events.reporting(said.append):
        bench.try_steps("true", "echo one; echo two >&2; no-such-program | cat\necho not reached")
    error = caught.value
    assert error.code == "LK0560"
    assert error.message == 'step 2 of "trial" failed with status 127: echo one; echo two >&2; no-such-program | cat'
    assert (error.where.file, error.where.line) == (str(bench.recipes / "trial" / "build.yml"), 5)
    assert error.detail.splitlines()[:2] == ["one", "two"]
    assert "no-such-program: command not found" in error.detail
    log = bench.store.root / "linuxkit" / "logs" / "trial-amd64.log"
    assert log.read_text().startswith("one\ntwo\n")
    assert str(log) in error.hint
    notes = [event.text for event in said if isinstance(event, events.Note)]
    assert notes[:2] == ["one", "two"]
    bench.try_steps("echo fine > x")
    assert not log.exists()


@pytest.mark.parametrize(("script", "outputs", "code"), [
    ("true", "[{source: x, path: x}]", "LK0563"),
    ("ln -s /etc x", "[{source: x/passwd, path: x}]", "LK0563"),
    ("ln -s ../../../../../../etc/shadow x; mkdir d; ln -s .. d/up", "[{source: d/up/x, path: x}]", "LK0563"),
    ("mkfifo x", "[{source: x, path: x}]", "LK0563"),
    ("echo > x", "[{source: x, path: /}]", "LK0563"),
    ("echo > x; mkdir y", "[{source: x, path: a}, {source: y, path: a/b}]", "LK0535"),
])  # fmt: skip
def test_outputs_that_are_none(bench, script, outputs, code):
    with pytest.raises(Error) as caught:
        bench.try_steps(script, outputs=outputs)
    assert caught.value.code == code


def test_links_in_outputs_stay_links_and_closed_folders_go_away(bench):
    files = bench.try_steps(
        "mkdir x; ln -s /etc/shadow x/a; mkdir -p closed/in; echo > closed/in/f; chmod 0 closed/in closed"
    )
    assert files["x/a"] == ("symlink", "0o777", "/etc/shadow")
    assert not list((bench.store.root / "linuxkit" / "builds").iterdir())


def test_other_machines_and_other_recipes_are_told(bench):
    text = HELLO.replace("arches: [amd64]", "arches: [amd64, riscv64]")
    folder = bench.add("other", text, FILES)
    with pytest.raises(Error) as caught:
        bench.build("other")
    assert caught.value.code == "LK0539"
    bench.relock_as("other", "hello")
    (folder / "build.yml").write_text(text.replace("make]", "make, bison]"))
    with pytest.raises(Error) as caught:
        bench.build("other")
    assert caught.value.code == "LK0540"
    machine = text.replace("build:\n", "build:\n  machine: s390x\n")
    bench.add("other", machine)
    lock = locks.load(bench.lock_path)
    of = {"amd64": lock.packages["hello:build"]["amd64"]._replace(inputs=recipe.load(folder).root_inputs("amd64"))}
    changed = lock._replace(packages={**lock.packages, "other:build": of})
    bench.lock_path.write_bytes(locks.encode(changed))
    with pytest.raises(Error) as caught:
        bench.build("other")
    assert caught.value.code == "LK0564"
