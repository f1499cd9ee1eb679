from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from linuxkit.base import files
from linuxkit.base.errors import Error, Errors
from linuxkit.cli import arguments, examples, reference
from linuxkit.cli import main as program
from linuxkit.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.cli.arguments import Parser

ROOT = Path(__file__).parents[3]
START = [sys.executable, "-c", "from linuxkit.cli.main import entry; entry()"]


def linuxkit(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **more.pop("env", {})}  # type: ignore[arg-type]
    return subprocess.run([*START, *words], capture_output=True, text=True, env=env, check=False, **more)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["version"], 0, f"linuxkit {__version__}\n"),
        (["--version"], 0, f"linuxkit {__version__}\n"),
        (["version", "--short"], 0, f"{__version__}\n"),
        (["version", "--json"], 0, f'{{"version": "{__version__}"}}\n'),
        (["--json", "version"], 0, f'{{"version": "{__version__}"}}\n'),
    ],
)
def test_version(capsys, words, status, says):
    assert program.main(words) == status
    assert capsys.readouterr().out == says


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(capsys, words):
    assert program.main(words) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text for verb in program.VERBS)


@pytest.mark.parametrize("verb", program.VERBS)
def test_every_command_has_help(capsys, verb):
    for words in ([verb, "--help"], ["help", verb]):
        assert program.main(words) == 0
        assert capsys.readouterr().out.startswith(f"usage: linuxkit {verb} ")


def test_help_of_a_command_below_another(capsys):
    for words in (["help", "cache", "export"], ["--help", "cache", "export"], ["cache", "export", "-h"]):
        assert program.main(words) == 0
        assert capsys.readouterr().out.startswith("usage: linuxkit cache export ")


@pytest.mark.parametrize("words", [["--help"], ["version"], ["formats"], ["schema"]])
def test_output_that_cannot_be_written(words, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "LINUXKIT_CACHE": str(tmp_path)}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*START, *words], stdout=full, stderr=subprocess.PIPE, text=True, env=env, check=False
        )
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert re.fullmatch("error: LK0102 cannot write( standard output)?: No space left on device", error)
    assert hint == "hint: the disk is full: free some space, or choose another place"


@pytest.mark.parametrize("words", [["--help"], ["version"], ["schema"]])
def test_whoever_reads_may_go(words):
    read, write = os.pipe()
    os.close(read)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [*START, *words], stdout=write, stderr=subprocess.PIPE, text=True, env=env, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["buidl"], 2, ['LK0110 there is no command "buidl"', 'hint: did you mean "build"?']),
        (["-q"], 2, ["LK0110 there is no command"]),
        (["--fast", "build"], 2, ['LK0111 there is no flag "--fast"']),
        (["build"], 2, ["LK0113", "FILE", "hint: see linuxkit build --help"]),
        (["build", "-format", "tar", "x"], 2, ["LK0112", "hint: write --format"]),
        (["run"], 2, ["LK0113", "NAME"]),
        (["run", "/nonexistent/x"], 2, ['LK0801 no built system "x" in /nonexistent']),
        (["run", "qmeu", "x"], 2, ["LK0815", 'did you mean "qemu"?']),
        (["run", "qemu", "x", "y"], 2, ["LK0113"]),
        (["run", "--timeout", "soon", "x"], 2, ["LK0113"]),
        (["run", "--timeout", "nan", "x"], 2, ["LK0113"]),
        (["run", "--publish", "x", "y"], 2, ["LK0811"]),
        (["run", "--disk", "x,y", "z"], 2, ["LK0810"]),
        (["run", "--networking", "x", "z"], 2, ["LK0812"]),
        (["run", "--arch", "z80", "x"], 2, ["LK0101"]),
        (["new", "wbe"], 2, ["LK0117", 'did you mean "web"?']),
        (["completion", "ksh"], 2, ["LK0118"]),
        (["build", "/nonexistent.yml"], 2, ["LK0210"]),
        (["build", "-f", "iso", "x"], 2, ["LK0701"]),
        (["build", "-f", "tar,docker", "-o", "-", "x"], 2, ["LK0114"]),
        (["build", "-o", "x", "--dir", "y", "x"], 2, ["LK0114 --o and --dir"]),
        (["build", "--dir", "/nonexistent", "x"], 2, ["LK0102 there is no folder /nonexistent"]),
        (["build", "-o", "/nonexistent/x", "x"], 2, ["LK0102 there is no folder /nonexistent"]),
        (["build", "-f", "kernel+initrd", "-o", "-", "x"], 2, ["LK0709"]),
        (["build", "--compress", "rar", "x"], 2, ["LK0613"]),
        (["build", "--arch", "z80", "x"], 2, ["LK0101"]),
        (["pkg"], 2, ["LK0113"]),
        (["build", "--size=abc", "x"], 2, ['LK0113 --size: "abc" is not the size of a disk', "write 512M"]),
        (["build", "--size", "4X", "x"], 2, ['LK0113 --size: "4X" is not']),
        (["build", "--size=-1", "x"], 2, ['LK0113 --size: "-1" is not']),
        (["build", "--size=0", "x"], 2, ['LK0113 --size: "0" is not']),
        (["help", "biuld"], 2, ['LK0110 there is no command "biuld"', '"build"?']),
        (["cache", "lss"], 2, ['LK0110 linuxkit cache has no command "lss"', 'hint: did you mean "ls"?']),
        (["pkg", "builder", "x"], 2, ['pkg builder has no command "x"', "hint: known: du, prune"]),
        (["cache", "export", "--format", "zip", "x"], 2, ['LK0113 --format cannot be "zip"', "oci-dir"]),
        (["cache", "export", "--arch", "x", "--outfile", "y", "z"], 2, [
            'LK0111 linuxkit cache export has no flag "--arch"', "hint: see linuxkit cache export --help",
        ]),
    ],
)
def test_mistakes(capsys, words, status, says):
    assert program.main(words) == status
    text = capsys.readouterr()
    assert text.out == ""
    assert all(part in text.err for part in says), text.err


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        (["LK0102"], 1),
        (["LK0203"], 2),
        (["LK0410"], 3),
        (["LK0402", "LK0402"], 3),
        (["LK0402", "LK0203"], 2),
        (["LK0506", "LK0410"], 3),
        (["LK0801"], 2),
        (["LK0501"], 2),
        (["LK0566"], 2),
        (["LK0802"], 1),
        (["LK0901"], 1),
    ],
)
def test_statuses(codes, status):
    assert program.status_of(Errors([Error(code, "x") for code in codes])) == status


@pytest.mark.parametrize(("number", "status"), [("ENOENT", 2), ("ENOTDIR", 2), ("EACCES", 1), ("ENOSPC", 1)])
def test_the_systems_no_is_wrong_input_where_nothing_is_there(number, status):
    error = OSError(getattr(errno, number), "x")
    assert program.status_of(files.os_error(error, "read", "file")) == status


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["serve", "--directory", "none"], "LK0102"),
        (["learn", "web", "--dir", "none"], "LK0102"),
        (["cache", "import", "none"], "LK0102"),
        (["cache", "import", "file/below"], "LK0102"),
        (["kernel", "diff", "file", "@pkg:none"], "LK0501"),
        (["kernel", "check", "file", "--sysctl", "none"], "LK0102"),
        (["pkg", "show-tag", "none"], "LK0566"),
    ],
)
def test_what_is_named_and_not_there_is_wrong_input(words, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert program.main(words) == 2
    assert f"error: {code} " in capsys.readouterr().err


def test_a_defect_is_one_line(capsys, monkeypatch):
    def broken(_verb: str) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.delenv("LINUXKIT_DEBUG", raising=False)
    monkeypatch.setattr(program, "load", broken)
    assert program.main(["formats"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: internal error: ZeroDivisionError: oops",
        "hint: this is a defect of linuxkit; with LINUXKIT_DEBUG=1 it shows where",
    ]
    monkeypatch.setenv("LINUXKIT_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        program.main(["formats"])


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [(signal.SIGINT, 130, "error: interrupted\n"), (signal.SIGTERM, 143, "error: ended by a signal\n")],
)
def test_signals_leave_quietly(number, status, says, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "LINUXKIT_CACHE": str(tmp_path)}
    with subprocess.Popen(
        [*START, "build", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True
    ) as process:
        seen = 0
        while seen < 3:
            time.sleep(0.03)
            seen = seen + 1 if _reads(process.pid) else 0
        process.send_signal(number)
        assert process.wait(60) == status
        assert process.stderr
        assert process.stderr.read() == says


def _reads(pid: int) -> bool:
    """The process is in a system call on descriptor 0, which is most likely to be a read."""
    return Path(f"/proc/{pid}/syscall").read_text().split()[1:2] == ["0x0"]


def test_a_closed_pipe_is_no_drama():
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as gone:
        done = subprocess.run([*START, "formats"], stdout=gone, stderr=subprocess.PIPE, env=env, check=False)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_lead_nowhere(tmp_path, closed):
    """A program that it starts finds all three, none of them a file of ours."""
    qemu, seen = tmp_path / "qemu", tmp_path / "seen"
    qemu.write_text(f'#!/bin/sh\nfor n in 0 1 2; do all="$all $(readlink /proc/$$/fd/$n)"; done; echo "$all" > {seen}\n')
    qemu.chmod(0o755)
    (tmp_path / "m-kernel").write_bytes(b"kernel")
    (tmp_path / "m-initrd.img").write_bytes(b"initrd")
    (tmp_path / "m-cmdline").write_text("console=ttyS0")
    words = ["run", "--qemu", str(qemu), "--accel", "tcg", str(tmp_path / "m")]
    shell = ["/bin/bash", "-c", f'exec "$@" {closed}', "-", *START]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([*shell, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, check=False)
    assert "Traceback" not in done.stderr
    files = seen.read_text().split()
    assert len(files) == 3
    assert [f.split(":")[0] for f in files] == [
        "/dev/null",
        "/dev/null" if ">&-" in closed.split() else "pipe",
        "pipe",  # errors of QEMU are read, not shown
    ]
    assert subprocess.run([*shell, "version"], capture_output=True, env=env, check=False).returncode == 0


def test_standard_input_without_an_end_is_not_read_to_it():
    with open("/dev/zero", "rb") as zeros:
        done = linuxkit("validate", "-", stdin=zeros, timeout=60)
    assert done.returncode == 2
    assert "LK0202" in done.stderr
    assert "standard input has more than 4 Mi characters" in done.stderr


def test_standard_input_that_is_closed_is_empty():
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    closed = ["sh", "-c", f"{shlex.join(START)} config render - <&-"]
    done = subprocess.run(closed, capture_output=True, env=env, text=True, check=False)
    empty = linuxkit("config", "render", "-", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (empty.returncode, empty.stdout, empty.stderr)
    assert "internal error" not in done.stderr


def test_json_errors():
    done = linuxkit("--json", "run", "/nonexistent/x")
    assert done.returncode == 2
    assert done.stderr.startswith('{"event": "error", "code": "LK0801"')


def test_the_commit_of_a_checkout():
    """Here, with changes or without; there are no others that tests could make without harm."""
    try:
        words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        commit = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    assert linuxkit("version", "--commit").stdout == f"linuxkit {__version__}\ncommit {commit or 'unknown'}\n"
    assert linuxkit("version", "--commit", "--short").stdout == f"{__version__}\n{commit or 'unknown'}\n"
    told = json.loads(linuxkit("version", "--commit", "--json").stdout)
    assert told == {"version": __version__, "commit": commit or None}


def test_the_commit_of_what_pip_has_installed(tmp_path):
    ignore = shutil.ignore_patterns("data", "__pycache__")
    shutil.copytree(ROOT / "src/linuxkit", tmp_path / "linuxkit", ignore=ignore)
    words, env = ["version", "--commit", "--short"], {"PYTHONPATH": str(tmp_path)}
    assert linuxkit(*words, env=env, cwd=tmp_path).stdout == f"{__version__}\nunknown\n"
    about = tmp_path / f"linuxkit-{__version__}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: linuxkit\nVersion: {__version__}\n")
    assert linuxkit(*words, env=env, cwd=tmp_path).stdout == f"{__version__}\nunknown\n"
    from_git = {"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "12ab"}}
    (about / "direct_url.json").write_text(json.dumps(from_git))
    assert linuxkit(*words, env=env, cwd=tmp_path).stdout == f"{__version__}\n12ab\n"


def test_starting_is_quick():
    """Modules tell what wall clocks on a busy machine do not."""
    script = "import sys; from linuxkit.cli import main; main.main(sys.argv[1:]); print(sorted(m for m in sys.modules if m.startswith('linuxkit') or m in ('argparse', 'json', 'rich')), file=sys.stderr)"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for words in (["version"], ["--help"]):
        done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, env=env, check=True)
        assert done.stderr == "['linuxkit', 'linuxkit.cli', 'linuxkit.cli.main', 'linuxkit.version']\n"


def test_the_reference_page_is_current():
    page = ROOT / "docs" / "reference" / "cli.md"
    assert page.read_text() == reference.markdown(), (
        "run: python -m linuxkit.cli.reference > docs/reference/cli.md"
    )


def commands(parser: Parser) -> Iterator[str]:
    """What stands behind ``linuxkit`` for each command that does something."""
    names = parser.commands()
    if not names:
        yield parser.prog.removeprefix("linuxkit ")
    for child in names.values():
        yield from commands(child)


@pytest.mark.parametrize("verb", program.VERBS)
def test_every_command_has_examples_that_it_would_take(verb, capsys):
    paths = list(commands(program.parser_for(verb)))
    for path in paths:
        assert program.main([*path.split(), "--help"]) == 0
        _, _, shown = capsys.readouterr().out.partition("\nexamples:\n")
        assert f"\n  linuxkit {path}" in f"\n{shown}", path
        for line in re.findall(r"\blinuxkit (.+)", shown):
            words = shlex.split(re.split(r" (?:&&|\||>) ", line)[0])
            _, (first, *rest) = arguments.take_globals(words)
            assert program.parser_for(first).parse(rest), line


def test_no_example_is_of_a_command_that_is_not_there():
    known = {path for verb in program.VERBS for path in commands(program.parser_for(verb))}
    assert set(examples.EXAMPLES) == known
