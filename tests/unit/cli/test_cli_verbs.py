from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

import linuxkit
from linuxkit.base import events
from linuxkit.base.errors import Error
from linuxkit.cli import build, completion
from linuxkit.cli import main as program
from linuxkit.runners import Options, Result, run
from linuxkit.runners.report import Record
from support.images import image

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yml"))


def wish(*words: str) -> build.Wish:
    args = program.parser_for("build").parse(words)
    return build.decide(args)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("out/web.yml", {"name": "web", "formats": ("kernel+initrd",), "stream": "", "report": False}),
        ("a.yml b.yaml", {"name": "b"}),
        ("a.yml -", {"name": "moby"}),
        ("--name x a.yml", {"name": "x"}),
        ("--dir / a.yml", {"directory": Path("/")}),
        ("-f tar,docker -f tar a.yml", {"formats": ("tar", "docker")}),
        ("-o - a.yml", {"formats": ("tar",), "stream": "-"}),
        ("-f docker --o x a.yml", {"formats": ("docker",), "stream": "x"}),
        ("--size a.yml", {"report": True, "size": 0}),
        ("--size 4G a.yml", {"report": False, "size": 4 << 30}),
        ("--size 4 a.yml", {"size": 4 << 30}),
        ("--size 512MB a.yml", {"size": 512 << 20}),
        ("--arch aarch64 a.yml", {"arch": "arm64"}),
    ],
)
def test_what_build_is_asked(line, expected):
    made = wish(*line.split())
    assert {key: getattr(made, key) for key in expected} == expected


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_what_new_prints_and_build_reads(capsys, path):
    assert program.main(["new", path.stem]) == 0
    text = capsys.readouterr().out
    assert text == path.read_text()
    assert text.startswith("# ")
    assert program.main(["build", "--dry-run", "--arch", "amd64", str(path)]) == 0
    out = capsys.readouterr().out
    assert "linuxkit.stock/kernel" in out
    assert "@pkg:" not in out


def test_dry_run_as_json(capsys):
    assert program.main(["build", "--json", "--dry-run", str(ROOT / "examples" / "web.yml")]) == 0
    assert json.loads(capsys.readouterr().out)["kernel"]["cmdline"].startswith("console=ttyS0")


def test_flags_without_effect_say_so(capsys):
    words = ["build", "--dry-run", "--size", "4G"]
    assert program.main([*words, str(EXAMPLES[0])]) == 0
    text = capsys.readouterr().err
    assert [line.split(" has no effect")[0] for line in text.splitlines()] == [
        "warning: LK0116 --size 4G",
    ]
    assert program.main(["build", "--dry-run", "--input-tar", "old.tar", str(EXAMPLES[0])]) == 0
    assert "warning: LK0116 --input-tar has no effect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--input-tar a.tar -f tar a.yml", "both the input and the output"),
        ("--input-tar ./x/../b.tar -f docker,tar --name b a.yml", "both the input and the output"),
        ("--input-tar /tmp/o --o /tmp/o a.yml", "both the input and the output"),
        ("--input-tar old.tar --pull a.yml", "exclude each other"),
    ],
)
def test_an_input_is_not_overwritten(line, says):
    with pytest.raises(Error) as error:
        wish(*line.split())
    assert error.value.code == "LK0114"
    assert says in error.value.message


def test_upstreams_flags_are_all_known():
    """Those of `build` in the Go tool, and those for every command that it has too."""
    upstreams = """
        --name --dir --o --format --size --pull --docker --decompress-kernel --arch --input-tar
        --cache --no-sbom --sbom-output --sbom-current-time --dry-run --quiet --verbose
    """
    page = program.parser_for("build").format_help()
    assert set(upstreams.split()) <= {word.rstrip(",") for word in page.split()}


@pytest.fixture
def labelled(tmp_path):
    """A cache with an image whose label grants something, and a YAML that uses it."""
    store = linuxkit.open_store(tmp_path / "cache")
    label = {"org.mobyproject.config": '{"pid": "host", "capabilities": ["CAP_CHOWN"]}'}
    image(store, "docker.io/lk/a:1", {"x": "x"}, cmd=["/x"], labels=label)
    yml = tmp_path / "in.yml"
    yml.write_text("services: [{name: web, image: 'lk/a:1'}]\n")
    return ["--cache", str(tmp_path / "cache"), "build", "-f", "tar", "--arch", "amd64",
            "--dir", str(tmp_path), str(yml)]  # fmt: skip


def test_what_labels_grant_is_in_the_result(capsys, labelled):
    assert program.main(["--json", *labelled]) == 0
    assert json.loads(capsys.readouterr().out)["grants"] == [
        {
            "container": "services/web",
            "image": "docker.io/lk/a:1",
            "privileges": ["capability CAP_CHOWN", "pid host"],
        }
    ]


def test_what_labels_grant_is_told_to_those_who_ask(capsys, labelled):
    says = "services/web: the label of docker.io/lk/a:1 grants capability CAP_CHOWN, pid host"
    assert program.main(labelled) == 0
    assert says not in capsys.readouterr().err
    assert program.main(["-v", *labelled]) == 0
    assert says in capsys.readouterr().err


def test_the_bill_of_materials_can_tell_the_time(tmp_path, labelled):
    def created():
        with tarfile.open(tmp_path / "in.tar") as archive:
            document = json.load(archive.extractfile("sbom.spdx.json"))
        return document["creationInfo"]["created"]

    assert program.main(labelled) == 0
    assert created() == "2017-04-18T16:30:00Z"
    assert program.main([*labelled, "--sbom-current-time"]) == 0
    assert created() > "2020"


def test_formats(capsys):
    assert program.main(["formats"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[0] == "kernel+initrd"
    assert program.main(["formats", "--json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} >= {"tar", "docker"}


class TestCompletion:
    def bash(self, tmp_path: Path, *words: str) -> set[str]:
        """What bash offers for the command line ``words``, of which the last is under way."""
        script = tmp_path / "linuxkit.bash"
        script.write_text(completion.bash(completion.verbs()))
        line = " ".join(f"'{word}'" for word in words)
        command = (
            f"compopt() {{ :; }}; . {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
            '_linuxkit; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.stderr == ""
        return set(done.stdout.split())

    def test_bash_understands_it(self, capsys):
        assert program.main(["completion", "bash"]) == 0
        subprocess.run(["bash", "-n"], input=capsys.readouterr().out.encode(), check=True)

    @pytest.mark.parametrize(
        ("words", "offered"),
        [
            (["linuxkit", "b"], {"build", "boot-report", "bundle"}),
            (["linuxkit", "-v", "comp"], {"completion"}),
            (["linuxkit", "build", "--fo"], {"--format"}),
            (["linuxkit", "build", "-f", "tar"], {"tar", "tar-kernel-initrd"}),
            (["linuxkit", "build", "--arch", "a"], {"amd64", "arm64"}),
            (["linuxkit", "build", "--dir", "o"], {"out"}),
            (["linuxkit", "build", "w"], {"web.yml"}),
            (["linuxkit", "completion", "f"], {"fish"}),
            (["linuxkit", "pkg", "l"], {"lock", "ls"}),
            (["linuxkit", "pkg", "lock", "--ch"], {"--check"}),
            (["linuxkit", "run", "--networking", "n"], {"none"}),
            (["linuxkit", "run", "--cpus", "1"], set()),
        ],
    )
    def test_bash_offers(self, tmp_path, words, offered):
        (tmp_path / "out").mkdir()
        (tmp_path / "web.yml").touch()
        assert self.bash(tmp_path, *words) == offered

    @pytest.mark.parametrize("shell", ["zsh", "fish"])
    def test_other_shells_know_every_flag(self, capsys, shell):
        assert program.main(["completion", shell]) == 0
        text = capsys.readouterr().out
        for verb in completion.verbs():
            for flag in verb.flags:
                name = flag.names[-1]
                assert (f"-l {name[2:]}" if shell == "fish" else name) in text

    def test_every_flag_has_help(self):
        for verb in completion.verbs():
            for flag in verb.flags:
                assert flag.help, (verb.name, flag.names)


RESULT = Result(0, "guest-shutdown", True, True, "poweroff", (), (
    Record(10, "boot", "boot", "started", host_ms=2000),
    Record(20, "unit", "services/a", "running", host_ms=2010),
    Record(30, "boot", "boot", "ready", mem_total_kib=9216, mem_available_kib=4096, host_ms=2020),
), 0, 4.5, False)  # fmt: skip


class TestRun:
    @pytest.fixture
    def asked(self, monkeypatch, tmp_path):
        """Runs the verb with a runner that only takes notes; the machine itself has its own tests."""
        for ending in ("-kernel", "-initrd.img", "-cmdline"):
            (tmp_path / f"web{ending}").write_text("console=ttyS0")
        monkeypatch.chdir(tmp_path)
        seen: list[tuple[str, Options]] = []

        def go(line: str, result: Result = RESULT) -> tuple[int, list[tuple[str, Options]]]:
            def note(artifact, options, *, runner):
                seen.append((f"{runner} {artifact.name} {artifact.arch}", options))
                return result

            monkeypatch.setattr("linuxkit.runners.run", note)
            return program.main(line.split()), seen

        return go

    def test_upstreams_flags(self, asked):
        status, seen = asked(
            "run qemu --cpus 2 --mem 512 --disk a.qcow2,size=1G --publish 8080:80 --arch arm64 "
            "--accel tcg --device usb-ehci --state s --qemu /q web --cache /c"
        )
        assert status == 0
        ((what, options),) = seen
        assert what == "qemu web arm64"
        assert (options.cpus, options.memory_mib, options.accel) == (2, 512, "tcg")
        assert options.disks[0].size_mib == 1024
        assert options.forwards[0].guest == 80
        assert options.devices == ("usb-ehci",)
        assert (options.state, options.cache, options.program) == (Path("s"), Path("/c"), "/q")

    def test_the_usual_machine(self, asked):
        assert asked("run web")[1][0][1] == Options()

    @pytest.mark.parametrize(
        ("result", "status", "says"),
        [
            (RESULT, 0, "the guest was well, ready after 0.03 s with 5.0 MiB of memory in use"),
            (RESULT._replace(status=4, failed=("services/a",)), 4, "warning: services/a failed"),
            (RESULT._replace(status=4, ready=False), 4, "warning: the guest never became ready"),
            (RESULT._replace(status=4, power="", reason="guest-reset"), 4,
             "warning: it ended without saying so (guest-reset)"),
            (RESULT._replace(status=124, timed_out=True), 124, "warning: the machine was ended after 4 s"),
            (RESULT._replace(reported=False, records=()), 0, "the guest reported nothing; guest-shutdown"),
        ],
    )  # fmt: skip
    def test_the_verdict(self, asked, capsys, result, status, says):
        assert asked("run web", result)[0] == status
        assert capsys.readouterr().err.splitlines()[-1] == says

    def test_the_boot_as_a_table(self, asked, capsys):
        asked("run web -v")
        assert "services/a running  0.020 s  2.010 s" in capsys.readouterr().err

    def test_the_report(self, asked, capsys):
        asked("run web --report r.json --json")
        value = json.loads(Path("r.json").read_text())
        assert value["records"][1]["name"] == "services/a"
        assert json.loads(capsys.readouterr().out) == value


def test_every_code_of_ours_is_documented():
    """Codes in the sources of the layers above stand in the reference, with their hundred."""
    pages = "\n".join(p.read_text() for p in (ROOT / "docs/reference/errors").glob("*.md"))
    known = set(re.findall(r"^## (LK\d{4}) ", pages, re.MULTILINE))
    for folder in ("cli", "runners", "base"):
        for path in (ROOT / "src" / "linuxkit" / folder).glob("*.py"):
            for code in re.findall(r'"(LK\d{4})"', path.read_text()):
                if folder != "cli" or path.stem != "main":
                    assert code in known, f"{path.name}: {code}"


def test_events_reach_a_reporter_given_by_the_caller():
    told: list[events.Event] = []
    with events.reporting(told.append):
        events.note("hello")
    assert told == [events.Note("info", "hello")]
    assert run.__doc__
