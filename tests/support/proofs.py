"""What the tests have proved of output formats: recorded as they pass, kept in a file, told in a page.

A test says what it proves with the fixture ``prove``.  When it passes, that must be what the file has
under its name; ``--accept`` writes the file anew.  docs/reference/formats-proven.md is made of it, so it
claims what tests have shown, and each run of a test holds it to that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files, platform
from support import formats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FILE = Path(__file__).parents[1] / "proofs.tsv"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "formats-proven.md"
BEGIN, END = "<!-- made by tests/support/proofs.py -->\n", "<!-- end -->"

MADE, SAME, READ, HOLDS, BOOTED = "made", "same", "read", "holds", "booted"
_SPOKEN = {
    MADE: "made", SAME: "the same bytes from another", READ: "read by", HOLDS: "holds the same as",
    BOOTED: "booted:",
}  # fmt: skip
DIRECT, BIOS, UEFI, PI = "kernel loaded directly", "BIOS", "UEFI", "Raspberry Pi"
FIRMWARE = {
    "direct": (DIRECT,), "bios": (BIOS,), "uefi": (UEFI,), "any": (BIOS, UEFI), "rpi": (PI,),
}  # fmt: skip
"""What boot facts call it, and what the page does."""


class Proof(NamedTuple):
    """One thing that a test has shown of a format for an architecture."""

    test: str  # pytest's id of it
    what: str  # MADE …
    by: str  # firmware, what else was different, a program, another format
    arch: str
    form: str


class Recorder:
    """What one test proves; the fixture ``prove``."""

    def __init__(self, test: str) -> None:
        self._test = test
        self.proofs: set[Proof] = set()

    def __call__(self, form: str | Iterable[str], what: str, *by: str, arch: str = "amd64") -> None:
        """``what`` is shown of these formats, by each of ``by``."""
        for name in [form] if isinstance(form, str) else form:
            self.proofs |= {Proof(self._test, what, each, arch, name) for each in by}


def load() -> set[Proof]:
    """Everything in the file."""
    found = set()
    for line in FILE.read_text().splitlines():
        test, what, by, arch, names = line.split("\t")
        found |= {Proof(test, what, by, arch, name) for name in names.split(",")}
    return found


def save(proofs: Iterable[Proof]) -> None:
    """Write the file, a line for what one test shows of several formats."""
    lines: dict[Proof, set[str]] = {}
    for each in proofs:
        lines.setdefault(each._replace(form=""), set()).add(each.form)
    rows = ("\t".join((*key[:-1], ",".join(sorted(lines[key])))) for key in sorted(lines))
    FILE.write_text("".join(f"{row}\n" for row in rows))


def settle(test: str, found: set[Proof], *, accept: bool) -> str:
    """Hold what ``test`` has shown against the file, or write it there; what is wrong, or ""."""
    if not accept:
        wrong = {each for each in load() if each.test == test} ^ found
        told = "\n".join("\t".join(each) for each in sorted(wrong))
        return f"not what {FILE.name} has (run it with --accept):\n{told}" if wrong else ""
    with files.locked(FILE.with_name(f".{FILE.name}.lock")):
        known = load()
        others = {each for each in known if each.test != test}
        if others | found != known:
            save(others | found)
    return ""


def page(proofs: set[Proof]) -> str:
    """The two tables of the documentation."""
    rows = ["| Format | Architecture | Starts from | Made | The same from another | Read by | Booted |"]
    rows.append("|---|---|---|---|---|---|---|")
    rows += [f"| {' | '.join(cells)} |" for cells in _rows(proofs)]
    rows += ["", "| Test | Shows |", "|---|---|"]
    tests: dict[str, set[str]] = {}
    for each in proofs:
        text = f"{_SPOKEN[each.what]} {each.by}" if each.what != MADE else _SPOKEN[MADE]
        tests.setdefault(each.test.partition("[")[0], set()).add(text)
    rows += [f"| `{test}` | {'; '.join(sorted(tests[test]))} |" for test in sorted(tests)]
    return "\n".join(rows) + "\n"


def _rows(proofs: set[Proof]) -> Iterator[Sequence[str]]:
    """A row for each format, architecture and firmware."""
    shown: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for each in proofs:
        shown.setdefault((each.form, each.arch), set()).add((each.what, each.by))
    for form in formats.NAMES:
        for arch in platform.names():
            mine = shown.get((form, arch), set())
            of_arch = {name: found for (name, other), found in shown.items() if other == arch}
            alike = {name: of_arch[name] for name in sorted(_alike(form, of_arch) - {form})}
            for firmware in _firmware(mine, alike) if mine else ():
                same, read = (", ".join(_named(mine, what)) for what in (SAME, READ))
                made = "yes" if _named(mine, MADE) else ""
                yield f"`{form}`", arch, firmware, made, same, read, _booted(mine, alike, firmware)


def _alike(form: str, shown: Mapping[str, set[tuple[str, str]]]) -> set[str]:
    """The formats that hold the same as ``form``, in however many steps; itself too."""
    found: set[str] = set()
    wanted = {form}
    while wanted:
        found |= wanted
        near = {other for name in wanted for other in _named(shown.get(name, set()), HOLDS)}
        near |= {name for name in shown if wanted.intersection(_named(shown[name], HOLDS))}
        wanted = near - found
    return found


def _named(shown: set[tuple[str, str]], what: str) -> list[str]:
    return sorted(by for kind, by in shown if kind == what)


def _firmware(
    mine: set[tuple[str, str]], alike: Mapping[str, set[tuple[str, str]]]
) -> Sequence[str]:
    """Who starts it: as its boot facts or those of its like say, or as was seen."""
    found: set[str] = set()
    for shown in (mine, *alike.values()):
        found |= {name for by in _named(shown, MADE) for name in FIRMWARE.get(by, ())}
        found |= {by.partition(", ")[0] for by in _named(shown, BOOTED)}
    return [name for name in (DIRECT, BIOS, UEFI, PI) if name in found] or [""]


def _booted(
    mine: set[tuple[str, str]], alike: Mapping[str, set[tuple[str, str]]], firmware: str
) -> str:
    """How it was booted by ``firmware``, or whose like was."""

    def ways(shown: set[tuple[str, str]]) -> list[str]:
        each = (by.partition(", ") for by in _named(shown, BOOTED))
        return [way or "yes" for name, _, way in each if name == firmware]

    found = ways(mine) or [f"as `{name}`" for name, shown in alike.items() if ways(shown)][:1]
    return ", ".join(found)
