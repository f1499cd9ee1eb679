from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.cli.arguments import Globals, Parser, take_globals


def parser() -> Parser:
    made = Parser(prog="linuxkit verb")
    made.add_argument("files", nargs="+")
    made.add_argument("--name", default="")
    made.add_argument("-f", "--format", action="append", default=[])
    made.add_optional("--size", pattern=r"\d+[MG]?", const="report", metavar="SIZE", help="size")
    return made


@pytest.mark.parametrize(
    ("line", "given", "left"),
    [
        ("build a", Globals(), "build a"),
        ("-q build a", Globals(quiet=True, verbose=0), "build a"),
        ("build a -q", Globals(quiet=True, verbose=0), "build a"),
        ("build --cache /c a --json", Globals(cache="/c", json=True), "build a"),
        ("--cache=/c build a", Globals(cache="/c"), "build a"),
        ("-v build a", Globals(verbose=2), "build a"),
        ("-v 3 build a", Globals(verbose=3), "build a"),
        ("build a -v2", Globals(verbose=2), "build a"),
        ("build -vv a", Globals(verbose=3), "build a"),
        ("build --verbose=0 a", Globals(verbose=0), "build a"),
        ("build --verbose 1 a", Globals(verbose=1), "build a"),
        ("build -v a", Globals(verbose=2), "build a"),
        ("build -- -q", Globals(), "build -- -q"),
        ("build -verbose", Globals(), "build -verbose"),
    ],
)
def test_globals_stand_anywhere(line, given, left):
    assert take_globals(line.split()) == (given, left.split())


@pytest.mark.parametrize("line", ["build --cache", "build -v7", "build --verbose=x"])
def test_bad_globals(line):
    with pytest.raises(Error) as caught:
        take_globals(line.split())
    assert caught.value.code == "LK0113"


@pytest.mark.parametrize(
    ("line", "files", "size"),
    [
        ("--size a.yml", ["a.yml"], "report"),
        ("--size 5G a.yml", ["a.yml"], "5G"),
        ("a.yml --size", ["a.yml"], "report"),
        ("a.yml --size=5", ["a.yml"], "5"),
        ("a.yml", ["a.yml"], ""),
        ("a.yml --name x b.yml -f tar,docker", ["a.yml", "b.yml"], ""),
        ("-- --size", ["--size"], ""),
        ("-", ["-"], ""),
    ],
)
def test_values_that_may_be_left_out(line, files, size):
    args = parser().parse(line.split())
    assert (args.files, args.size) == (files, size)


@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        ("-format tar a", "LK0112", "write --format"),
        ("-format=tar a", "LK0112", "write --format"),
        ("a -size 4", "LK0112", "write --size"),
        ("--formt tar a", "LK0111", 'did you mean "--format"?'),
        ("--formt=tar a", "LK0111", 'did you mean "--format"?'),
        ("--form tar a", "LK0111", 'did you mean "--format"?'),
        ("-x a", "LK0111", "see linuxkit verb --help"),
        ("", "LK0113", "see linuxkit verb --help"),
        ("a --name", "LK0113", "see linuxkit verb --help"),
    ],
)
def test_mistakes(line, code, hint):
    with pytest.raises(Error) as caught:
        parser().parse(line.split())
    assert (caught.value.code, caught.value.hint) == (code, hint)


def test_a_short_flag_keeps_its_value():
    assert parser().parse(["-ftar", "a"]).format == ["tar"]


def test_commands_below():
    top = Parser(prog="linuxkit pkg")
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("build").add_argument("name")
    commands.add_parser("lock").add_argument("--update")
    assert vars(top.parse(["build", "x"])) == {"command": "build", "name": "x"}
    assert set(top.commands()) == {"build", "lock"}
    with pytest.raises(Error) as caught:
        top.parse(["lock", "-update", "x"])
    assert caught.value.code == "LK0112"


def with_commands() -> Parser:
    made = Parser(prog="linuxkit verb")
    commands = made.add_subparsers(dest="command", required=True)
    for name in ("build", "show"):
        below = commands.add_parser(name)
        below.add_argument("folder", nargs="+")
        below.add_value("--org", "ORG", "organisation")
        below.add_value("--arch", "ARCH", "architecture", default=[])
        below.add_switch("--dev", "for development")
    return made


@pytest.mark.parametrize("line", [
    "build --org build --dev --arch a --arch b dir",
    "--org build --dev --arch a --arch b build dir",
    "--org=build build --dev dir --arch a --arch=b",
    "--dev --arch a build --org build --arch b dir",
])  # fmt: skip
def test_flags_of_a_command_may_stand_before_it(line):
    found = with_commands().parse(line.split())
    assert vars(found) == {
        "command": "build", "folder": ["dir"], "org": "build", "arch": ["a", "b"], "dev": True,
    }  # fmt: skip


@pytest.mark.parametrize("line", ["--org", "--org build", "--none build dir", "--dev dir build"])
def test_what_has_no_command_behind_its_flags(line):
    with pytest.raises(Error) as caught:
        with_commands().parse(line.split())
    assert caught.value.code in {"LK0110", "LK0111", "LK0113"}
