"""The corpus of hostile YAML texts; numbers as in ``hostile.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Text(NamedTuple):
    """A YAML text; the verdict is a code, or None where it is as harmless as it looks."""

    number: int
    name: str
    why: str
    text: Callable[[], str] | str
    code: str | None

    @property
    def id(self) -> str:
        return f"case-{self.number:02d} {self.name}" if self.number else f"trick {self.name}"

    def make(self) -> str:
        return self.text() if callable(self.text) else self.text


def laughs(levels: int = 9, width: int = 10) -> str:
    """Lists of lists of the same list."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels + 1)]
    return "\n".join(lines) + "\n"


_SERVICE = "services: [{name: a, image: b/c, %s}]\n"
YAMLS = [
    Text(42, "nine levels of aliases", "a few hundred bytes become 10^9 values", laughs, "LK0202"),
    Text(42, "quadratic aliases", "one long list is repeated often",
         lambda: f"a: &a [{', '.join(['x'] * 1100)}]\nb: [{', '.join(['*a'] * 95)}]\n", "LK0202"),
    Text(42, "many aliases", "each alias costs a little",
         lambda: "a: &a x\nb: [" + ", ".join(["*a"] * 101) + "]\n", "LK0202"),
    Text(42, "an alias to what is being made", "a value that holds itself",
         "a: &a [*a]\n", "LK0201"),
    Text(42, "merge keys that multiply", "the same by way of <<",
         lambda: "a0: &a0 {k: v}\n" + "".join(
             f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: v}}\n" for n in range(1, 12)),
         "LK0202"),
    Text(42, "20 000 open brackets", "the reader runs out of its stack",
         lambda: "[" * 20_000, "LK0202"),
    Text(42, "20 000 open braces", "the same with maps", lambda: "{a: " * 20_000, "LK0202"),
    Text(42, "20 000 list items in each other", "the same without brackets",
         lambda: "- " * 20_000, "LK0202"),
    Text(42, "a mebibyte of keys", "comparing each with all",
         lambda: "".join(f"k{n}: v\n" for n in range(45_000)), "LK0203"),
    Text(42, "too many values", "values without end",
         lambda: "services: [" + "a," * 100_001 + "]", "LK0202"),
    Text(42, "too long", "a text without end", lambda: "a: " + "x" * (4 << 20), "LK0202"),
    Text(42, "an object of Python", "values that are made by running code",
         "a: !!python/object/apply:os.system [id]\n", "LK0207"),
    Text(42, "a name of Python", "the same", "a: !!python/name:os.system\n", "LK0207"),
    Text(42, "a module of Python", "the same", "a: !!python/module:os\n", "LK0207"),
    Text(42, "an object by its long tag", "the same, spelled out",
         "a: !<tag:yaml.org,2002:python/object/new:os.system> [id]\n", "LK0207"),
    Text(42, "a tag by a shorthand of its own", "the same, by another name",
         "%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!name:os.system x\n", "LK0207"),
    Text(42, "bytes", "a value of another type", "a: !!binary aWQ=\n", "LK0207"),
    # What YAML 1.1 makes of plain words.
    Text(0, "a key twice", "the last one counts, which nobody sees",
         _SERVICE % "readonly: true, readonly: false", "LK0206"),
    Text(0, "a key that is a number", "a key that is no text", "1: x\n", "LK0207"),
    Text(0, "a key that is a truth value", "the same", "true: x\n", "LK0207"),
    Text(0, "a number with a leading 0", "010 is 8, or 10", _SERVICE % "uid: 010", "LK0211"),
    Text(0, "base 60", "12:30:45 is 45045", _SERVICE % "uid: 12:30:45", "LK0211"),
    Text(0, "no", "no is false, or a country", _SERVICE % "readonly: no", "LK0204"),
    Text(0, "on", "on is true, or a word", _SERVICE % "readonly: on", "LK0204"),
    Text(0, "a mode without quotes", "0644 is 420 where 644 is meant",
         "files: [{path: a, contents: b, mode: 644}]\n", "LK0204"),
    Text(0, "a mode with a 0 and no quotes", "0644 is read as octal by some",
         "files: [{path: a, contents: b, mode: 0644}]\n", None),
    Text(0, "a number with underscores", "1_0 is 10, or a word", _SERVICE % "uid: 1_0", "LK0211"),
    Text(0, "a number of base 16", "0x10 is 16, or a word", _SERVICE % "uid: 0x10", "LK0211"),
    Text(0, "an exponent", "1e3 is 1000.0, or a word", _SERVICE % "uid: 1e3", "LK0211"),
    Text(0, "a second document", "which of them counts?", "a: 1\n---\nb: 2\n", "LK0207"),
    Text(0, "NUL", "a text is cut short on its way", 'a: "x\\0y"\n', "LK0201"),
    Text(0, "an escape code", "a file writes on the terminal of its reader",
         "a: \x1b[2J\n", "LK0201"),
    Text(0, "half a character", "text that no file can hold", 'a: "\\ud800"\n', "LK0201"),
    Text(0, "a name that climbs", "a container's name is a folder",
         "services: [{name: ../../etc, image: b/c}]\n", "LK0208"),
    Text(0, "a volume that climbs", "a volume's name is a folder",
         "volumes: [{name: ../x}]\n", "LK0208"),
]  # fmt: skip
