"""The stock packages: recipes that say why, scripts that parse and refuse nonsense."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from linuxkit.base import digest, platform
from linuxkit.recipes import recipe as recipes
from linuxkit.spec import labels

HERE = Path(__file__).resolve().parents[3]
PACKAGES = HERE / "packages"
NAMES = sorted(path.parent.name for path in PACKAGES.glob("*/build.yml"))
PROMISED = {
    "busybox", "ca-certificates", "crun", "crun-static", "dhcpcd", "format", "getty", "init", "kernel",
    "kernel-debug", "kernel-debug-races", "kernel-hardened", "kernel-metal", "kernel-microvm",
    "kernel-rpi", "mount",
    "nginx", "ntpd", "poweroff", "redis", "rngd", "runc", "sshd", "sysctl",
}  # fmt: skip


def script_paths():
    for path in sorted(PACKAGES.glob("*/*")):
        if path.is_file() and path.read_bytes()[:2] == b"#!":
            yield path


SCRIPTS = list(script_paths())
# Those that are compiled, and for what.
COMPILED = {
    "crun-static": {"amd64"},
    "kernel-debug": {"amd64"}, "kernel-debug-races": {"amd64"},
    "kernel-metal": {"amd64"}, "kernel-microvm": {"amd64"},
    "kernel-hardened": {"amd64", "arm64", "riscv64", "s390x"},
}  # fmt: skip
# Those that are locked for some architectures only.
LOCKED = {"containerd": {"amd64", "arm64"}, "vmm": {"amd64"}}
# Those for the boards of one architecture.
BOARDS = {"kernel-rpi": {"arm64"}}
# Those for machines that start by UEFI as our tools know it.
UEFI = {name: {"amd64", "arm64"} for name in ("state", "update")}


def text_of(name):
    return (PACKAGES / name / "build.yml").read_text()


def load(name):
    return recipes.load(PACKAGES / name)


def settings_of(name):
    config = load(name).config
    return labels.decode(digest.canonical_json(config).decode(), name) if config else None


@pytest.fixture
def run(tmp_path):
    """Run a script with hardly any program in reach: none of them may touch this machine."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "tr").symlink_to(shutil.which("tr"))
    shell = shutil.which("sh")

    def start(script, *args):
        done = subprocess.run(
            [shell, PACKAGES / script, *args],
            capture_output=True, text=True, check=False, timeout=20, env={"PATH": str(tools)},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return start


def test_all_are_there():
    assert set(NAMES) >= PROMISED


@pytest.mark.parametrize("name", NAMES)
def test_header_says_what_it_is_for(name):
    first, _, rest = text_of(name).partition("\n")
    assert first.startswith("# ")
    assert re.search(rf"^image: {re.escape(name)}$", rest, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_made_for_every_architecture(name):
    assert "\narches: " in text_of(name)
    says = load(name).says
    special = {**COMPILED, **LOCKED, **UEFI, **BOARDS}
    assert set(says.arches) == special.get(name, set(platform.names()))
    if says.kernel:
        assert set(says.kernel.packages) == set(says.arches)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_the_folder_is_used(name):
    folder = PACKAGES / name
    named = {file.source for file in load(name).says.files if file.source}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    if name in COMPILED:  # their steps see the whole folder, and have to name its parts
        parts = {path.partition("/")[0] for path in there - {"build.yml"}}
        assert [part for part in parts if f"/src/{part}" not in text_of(name)] == []
        return
    assert there - {"build.yml"} == named


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_valid(name):
    settings = settings_of(name)
    says = load(name).says
    runs_nothing = says.kernel or name in COMPILED or name in ("init", "crun", "runc", "containerd", "memlogd", "ca-certificates")
    assert (settings is None) == bool(runs_nothing or name == "busybox")
    assert bool(says.entrypoint or says.cmd) != bool(runs_nothing)


@pytest.mark.parametrize("name", NAMES)
def test_every_privilege_has_its_reason(name):
    for line in text_of(name).splitlines():
        if re.match(r"\s*- CAP_", line):
            assert re.search(r"#\s\w", line), f"{line.strip()}: why?"
    if settings_of(name) and "capabilities: [all]" in text_of(name):
        assert name in ("getty", "sshd")


@pytest.mark.parametrize("name", NAMES)
def test_servers_are_not_root(name):
    settings, says = settings_of(name), load(name).says
    if says.user:
        uid, gid = map(int, says.user.split(":"))
        assert settings is not None
        assert (settings.uid, settings.gid) == (uid, gid)
        assert uid in {user.uid for user in says.users}
        assert settings.readonly
        assert settings.no_new_privileges


@pytest.mark.parametrize("name", NAMES)
def test_paths_are_said_once_and_parents_are_folders(name):
    files = load(name).says.files
    paths = [file.path for file in files]
    assert len(paths) == len(set(paths))
    others = {file.path for file in files if not file.directory}
    for path in paths:
        assert not any(path.startswith(f"{other}/") for other in others), path


@pytest.mark.parametrize("name", NAMES)
def test_scripts_are_executable_and_have_a_shell(name):
    says = load(name).says
    scripts = [
        file for file in says.files
        if file.source and (PACKAGES / name / file.source).read_bytes()[:2] == b"#!"
    ]  # fmt: skip
    for file in scripts:
        assert file.mode is not None
        assert file.mode.bits == 0o755, file.path
    shells = {file.path for file in says.files if file.symlink} | set(
        (says.debian and says.debian.kept("amd64")) or ()
    )
    assert not scripts or "usr/bin/sh" in shells


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(PACKAGES)))
def test_script_parses(script):
    assert script.read_text().startswith("#!/bin/sh\n# ")
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    if shutil.which("bash"):
        assert subprocess.run(["bash", "--posix", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(PACKAGES)))
def test_script_has_no_findings(need, script):
    need("shellcheck")
    subprocess.run(["shellcheck", "-s", "sh", script], check=True)


def test_wide_kernel_has_all_of_the_small_one():
    small, wide = load("kernel").says.kernel, load("kernel-full").says.kernel
    assert small is not None
    assert wide is not None
    assert small.packages == wide.packages
    for arch in platform.names():
        missing = {m.replace("-", "_") for m in small.modules.get(arch)} - {
            m.replace("-", "_") for m in wide.modules.get(arch)
        }
        assert not missing, arch


def test_init_images_say_what_they_bring():
    assert load("init").says.labels["org.linuxkit.boot-table"] == "1"
    for name in ("crun", "runc"):
        says = load(name).says
        runtime = says.labels["org.linuxkit.runtime"].removeprefix("/")
        assert says.debian is not None
        assert not says.debian.usr_merge
        assert runtime in {file.path for file in says.files} | set(says.debian.kept("amd64") or ())
    says = load("containerd").says
    paths = {file.path for file in says.files} | set(says.debian.kept("amd64"))
    assert not says.debian.usr_merge
    for label in ("org.linuxkit.runtime.services", "org.linuxkit.runtime.daemon"):
        assert says.labels[label].removeprefix("/") in paths


def test_reference_page_has_a_row_for_each():
    page = (HERE / "docs/reference/packages.md").read_text()
    assert [name for name in NAMES if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize(
    ("script", "args", "status", "message"),
    [
        ("poweroff/poweroff.sh", ["1x"], 2, '"1x" is not a number of seconds'),
        ("poweroff/poweroff.sh", [""], 2, "is not a number of seconds"),
        ("update/update.sh", [], 2, "usage: update watch"),
        ("update/update.sh", ["apply"], 2, "usage: update watch"),
        ("update/update.sh", ["watch", "a", "1", "b"], 2, "usage: update watch"),
        ("format/format.sh", ["-type", "zfs"], 2, 'file system type "zfs" is not known'),
        ("format/format.sh", ["-type", "xfs", "-label", "x" * 13], 2, "longer than the 12 characters of xfs"),
        ("format/format.sh", ["-partition=apm"], 2, 'partition table "apm" is not known'),
        ("format/format.sh", ["--label"], 2, "--label needs a value"),
        ("format/format.sh", ["-label", "x" * 17], 2, "longer than the 16 characters"),
        ("format/format.sh", ["-quick"], 2, "unknown option -quick"),
        ("format/format.sh", ["-force"], 2, "-force needs a DEVICE"),
        ("format/format.sh", ["/dev/a", "/dev/b"], 2, "one DEVICE only"),
        ("format/format.sh", ["/dev/no-such-disk"], 1, "/dev/no-such-disk is not a disk"),
        ("mount/mountie.sh", [], 2, "MOUNTPOINT is missing"),
        ("mount/mountie.sh", ["-uuid", "1", "-label", "2", "/m"], 2, "choose one of"),
        ("mount/mountie.sh", ["-label=", "/m"], 2, "empty label"),
        ("mount/mountie.sh", ["/var/../etc"], 2, 'must not contain ".."'),
        ("mount/mountie.sh", ["data"], 2, "must be an absolute path"),
        ("mount/mountie.sh", ["-fast", "/m"], 2, "unknown option -fast"),
        ("network/network.sh", [], 2, "usage: network links|wireguard"),
        ("wireguard/wireguard.sh", [], 2, "usage: wireguard NAME|FILE"),
        ("wireguard/wireguard.sh", ["wg7"], 1, "there is no file /etc/wireguard/wg7.conf"),
        ("swap/swap.sh", ["--path", "/var/swap"], 2, "--size is missing"),
        ("swap/swap.sh", ["--path", "/tmp/swap", "--size", "1M"], 2, "must lie below /var"),
        ("swap/swap.sh", ["--path", "/var/../etc/x", "--size", "1M"], 2, 'must not contain ".."'),
        ("swap/swap.sh", ["--path", "/var/swap", "--size", "1T"], 2, '"1T" is not a size'),
        ("swap/swap.sh", ["--path", "/var/swap", "--size", "1K"], 2, "too small"),
        ("swap/swap.sh", ["--path", "/var/a", "--size", "1M", "--condition", "moon:full"], 2, "unknown condition"),
        ("swap/swap.sh", ["--path", "/var/a", "--size", "1M", "--condition", "part:/no/mount:true"], 1, "nothing is mounted at /no/mount"),
        ("swap/swap.sh", ["--path", "/var/a", "--size", "1M", "--condition", "partsize:/proc:1G:true"], 1, "less than 1G"),
        ("losetup/loopy.sh", ["-c"], 2, "FILE is missing"),
        ("losetup/loopy.sh", ["-s", "0", "/f"], 2, '"0" is not a size in MiB'),
        ("losetup/loopy.sh", ["-d", "/dev/sda", "/f"], 2, '"/dev/sda" is not a loop device'),
        ("losetup/loopy.sh", ["/no/such/file"], 1, "there is no file /no/such/file"),
        ("dm-crypt/crypto.sh", ["name"], 2, "DEVICE is missing"),
        ("dm-crypt/crypto.sh", ["a/b", "/dev/sda"], 2, '"a/b" cannot be a name'),
        ("dm-crypt/crypto.sh", ["-k", "/no/key", "a", "/dev/sda"], 1, "there is no key in /no/key"),
        ("dm-crypt/crypto.sh", ["a", "/dev/sda", "more"], 2, "one too many"),
        ("state/state.sh", [], 2, "MOUNTPOINT is missing"),
        ("state/state.sh", ["/srv/state"], 2, "must be below /var"),
        ("state/state.sh", ["/var/../etc"], 2, 'must not contain ".."'),
        ("state/state.sh", ["-partition", "a/b", "/var/x"], 2, '"a/b" cannot be the name'),
        ("state/state.sh", ["-fast", "/var/x"], 2, "unknown option -fast"),
        ("state/state.sh", ["-partition", "no-such-partition", "/var/x"], 1, "no partition is called no-such-partition"),
        ("extend/extend.sh", ["-type", "zfs"], 2, 'file system type "zfs" is not known'),
        ("extend/extend.sh", ["-type"], 2, "-type needs a value"),
        ("extend/extend.sh", ["/dev/no-such-disk"], 1, "is not a disk of this machine"),
        ("binfmt/binfmt.sh", ["-dir"], 2, "-dir needs a value"),
        ("binfmt/binfmt.sh", ["register"], 2, "unknown argument register"),
        ("sysfs/sysfs.sh", ["/no/such/file"], 1, "/no/such/file: no such file or directory"),
        ("sysctl/sysctl.sh", ["/no/such/file"], 1, "/no/such/file: no such file or directory"),
    ],
)
def test_script_refuses(run, script, args, status, message):
    code, _out, err = run(script, *args)
    assert code == status
    assert message in err


def test_update_tells_what_it_can_do(run):
    code, out, err = run("update/update.sh", "help")
    assert (code, err) == (0, "")
    for word in ("watch", "apply", "good", "rollback", "status"):
        assert f"\n  {word} " in out


def test_a_condition_that_does_not_hold_is_no_failure(run):
    code, out, err = run("swap/swap.sh", "--path", "/var/a", "--size", "1M", "--condition", "part:/no/mount")
    assert (code, err) == (0, "")
    assert "nothing is mounted at /no/mount: no swap" in out


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("# a = 1\n; b = 2\n-no/such = 1\n", []),
        ("no/such/key = 1", [":1: this machine has no /sys/no/such/key"]),
        ("nonsense\n", [':1: expected "path = value", found "nonsense"']),
        ("kernel/../../proc/x = 1\n", [':1: "kernel/../../proc/x" does not lie in /sys']),
        ("/sys/kernel/uevent_seqnum = 1\n", [":1: the kernel refuses kernel/uevent_seqnum = 1"]),
    ],
)
def test_sysfs_reads(run, tmp_path, text, messages):
    (tmp_path / "a.conf").write_text(text)
    code, _out, err = run("sysfs/sysfs.sh", str(tmp_path))
    assert (code, len(err.splitlines())) == (int(bool(messages)), len(messages))
    for message in messages:
        assert message in err


HELPFUL = ("binfmt/binfmt.sh", "format/format.sh", "mount/mountie.sh", "extend/extend.sh")


@pytest.mark.parametrize("script", HELPFUL)
def test_script_helps(run, script):
    code, out, err = run(script, "-help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: ")


@pytest.mark.parametrize(
    ("text", "status", "messages"),
    [
        ("", 0, []),
        ("# kernel.no = 1\n  ; other\n\n", 0, []),
        ("-kernel.no_such_key = 1\n", 0, []),
        ("kernel.no_such_key = 1", 1, [':1: this kernel has no parameter "kernel.no_such_key"']),
        ("nonsense\n", 1, [':1: expected "key = value", found "nonsense"']),
        ("a/../../b=1\n", 1, [':1: "a/../../b" is not a kernel parameter']),
        ("x.a = 1\ny/b=2\n", 1, [":1: this kernel", ":2: this kernel"]),
        ("kernel.ostype = Other\n", 1, [":1: the kernel refuses kernel.ostype = Other"]),
    ],
)
def test_sysctl_reads(run, tmp_path, text, status, messages):
    folder = tmp_path / "sysctl.d"
    folder.mkdir()
    (folder / "10-test.conf").write_text(text)
    (folder / "README").write_text("not read")
    code, _out, err = run("sysctl/sysctl.sh", str(folder))
    assert (code, len(err.splitlines())) == (status, len(messages))
    for message in messages:
        assert message in err


ARM = r":qemu-arm:M::\x7f\x45:\xff\xff:/usr/bin/qemu-arm:F"


@pytest.mark.parametrize(
    ("text", "registered", "messages"),
    [
        (f"# a comment\n; another\n\n{ARM}\n", ARM, []),
        (ARM, ARM, []),  # without an end
        (",x:y,E,,x:y,,/x,", ",x:y,E,,x:y,,/x,", []),
        (":../x:M::a::/x:", "", [':1: expected ":NAME:TYPE:...", found ":../x:M::a::/x:"']),
        (":register:M::a::/x:\n::\n", "", [":1: expected", ":2: expected"]),
        (":there:M::a::/x:\n", ":there:M::a::/x:", []),
        (":stuck:M::a::/x:\n", "", [":1: stuck stays as it was: "]),
    ],
)
def test_binfmt_reads(run, tmp_path, text, registered, messages):
    """A folder plays the file system: its file "register" has the last line that was written."""
    files, kernel = tmp_path / "binfmt.d", tmp_path / "binfmt_misc"
    for folder in (files, kernel):
        folder.mkdir()
    (files / "own.conf").write_text(text)
    for name in ("register", "there"):
        (kernel / name).touch()
    (kernel / "stuck").symlink_to("/dev/full")
    code, out, err = run("binfmt/binfmt.sh", "-dir", str(files), f"--mount={kernel}")
    assert (code, len(err.splitlines())) == (int(bool(messages)), len(messages))
    assert all(message in err for message in messages)
    assert (kernel / "register").read_text().strip() == registered
    assert (kernel / "there").read_text().strip() == ("-1" if "there" in text else "")
    assert out.startswith("binfmt: ") == bool(registered)


def test_binfmt_tells_what_the_kernel_refuses(run, tmp_path):
    (tmp_path / "register").symlink_to("/dev/full")
    (tmp_path / "own.conf").write_text(ARM)
    code, _out, err = run("binfmt/binfmt.sh", "-dir", str(tmp_path), "-mount", str(tmp_path))
    assert code == 1
    assert "own.conf:1: the kernel refuses qemu-arm: " in err


def test_sysctl_keys_are_said_once():
    text = (PACKAGES / "sysctl/00-linuxkit.conf").read_text()
    keys = re.findall(r"^-?([a-z][\w./-]*) = \S", text, re.MULTILINE)
    assert len(keys) == len(set(keys)) > 40
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(keys)


def test_rngd_waits_for_the_kernel(run):
    code, out, _err = run("rngd/rngd.sh", "-1")
    assert code == 0
    assert "random generator is ready" in out
