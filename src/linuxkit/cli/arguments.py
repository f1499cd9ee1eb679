"""The command line's own argument parser: strict, helpful, and readable by other programs.

What the flags mean is each verb's business; help, completion and the reference page are read off
the parsers.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from linuxkit.base.errors import Error, printable, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_ONE_DASH = re.compile(r"-([a-z][a-z-]+)(=.*)?", re.DOTALL)
PROGRAM = "linuxkit"


class Parser(argparse.ArgumentParser):
    """An argument parser that raises our errors and never abbreviates."""

    def __init__(self, **settings: object) -> None:
        settings.setdefault("formatter_class", _Formatter)
        super().__init__(allow_abbrev=False, **settings)  # type: ignore[arg-type] # passed through
        self._positionals.title, self._optionals.title = "arguments", "flags"
        self._optional: dict[str, re.Pattern[str]] = {}

    def add_switch(self, name: str, text: str) -> None:
        """A flag without a value."""
        self.add_argument(name, action="store_true", help=text)

    def add_value(
        self,
        names: str,
        metavar: str,
        text: str,
        *,
        convert: Callable[[str], object] = str,
        default: object = "",
    ) -> None:
        """A flag with a value; ``names`` stand apart by spaces.  A list as default: repeatable."""
        self.add_argument(
            *names.split(),
            metavar=metavar,
            help=text,
            type=convert,
            default=default,
            action="append" if isinstance(default, list) else "store",
        )

    def add_optional(
        self,
        *names: str,
        pattern: str,
        const: str,
        metavar: str,
        help: str,  # noqa: A002 - argparse's word
    ) -> None:
        """A flag whose value may be left out; a following word is its value only if it matches."""
        self.add_argument(*names, nargs="?", const=const, default="", metavar=metavar, help=help)
        self._optional.update(dict.fromkeys(names, re.compile(pattern)))

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse everything.  Raises LK0111, LK0112 and LK0113."""
        spaced = self._ordered(self._spaced(words))
        # People write `run qemu --mem 512 web`; argparse calls arguments around flags intermixed,
        # and cannot have that together with commands below this one, or (until 3.12) with "--".
        plain = bool(self.commands()) or "--" in spaced
        parse = self.parse_known_args if plain else self.parse_known_intermixed_args
        known, rest = parse(spaced)
        if rest:
            raise _unknown(self._chosen(known), rest)
        return known

    def error(self, message: str) -> NoReturn:
        """What argparse calls when an argument does not fit."""
        raise Error("LK0113", message, hint=f"see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: str) -> None:
        """What argparse calls to hold a word against the ones that are allowed."""
        if action.choices is None or value in action.choices:
            return
        hint = suggestion(value, action.choices) or f"known: {', '.join(action.choices)}"
        word = printable(value)
        if action.nargs == argparse.PARSER:
            raise Error("LK0110", f'{self.prog} has no command "{word}"', hint=hint)
        name = "/".join(action.option_strings) or str(action.metavar)
        raise Error("LK0113", f'{name} cannot be "{word}"', hint=hint)

    def actions(self) -> tuple[argparse.Action, ...]:
        """Every flag and argument that help shows, in the order they were added."""
        return tuple(action for action in self._actions if action.help != argparse.SUPPRESS)

    def commands(self) -> Mapping[str, Parser]:
        """The parsers of the commands below this one."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - it has no other name
                return action.choices
        return {}

    def _chosen(self, known: argparse.Namespace) -> Parser:
        """The parser of the command that was named, or this one."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - it has no other name
                child = action.choices.get(getattr(known, action.dest, ""))
                return child._chosen(known) if child else self  # noqa: SLF001 - one of our own
        return self

    def flags(self) -> Iterable[str]:
        """All flags that help shows, those of commands below too."""
        for parser in (self, *self.commands().values()):
            for action in parser.actions():
                yield from action.option_strings

    def _spaced(self, words: Sequence[str]) -> list[str]:
        """Spell optional values with "=", and refuse upstream's old flags with one dash."""
        longs = {flag[2:] for flag in self.flags() if flag.startswith("--")}
        done: list[str] = []
        rest = list(words)
        while rest:
            word = rest.pop(0)
            old = _ONE_DASH.fullmatch(word)
            if word == "--":
                return [*done, word, *rest]
            if old and old[1] in longs:
                raise Error(
                    "LK0112", f'the flag "-{old[1]}" has one dash', hint=f"write --{old[1]}"
                )
            if word in self._optional:
                fits = bool(rest) and bool(self._optional[word].fullmatch(rest[0]))
                value = rest.pop(0) if fits else self._default(word)
                word = f"{word}={value}" if word.startswith("--") else word + value
            done.append(word)
        return done

    def _ordered(self, words: list[str]) -> list[str]:
        """Put a command in front of those of its flags that were written before it.

        Upstream has flags of ``pkg`` itself, such as ``pkg --org me build DIR``.
        """
        known = {
            flag: action.nargs
            for parser in self.commands().values()
            for action in parser.actions()
            for flag in action.option_strings
            if flag not in self._option_string_actions and action.nargs in (None, 0)
        }
        at = 0
        while at < len(words) and (flag := words[at].partition("=")[0]) in known:
            has_value_behind = known[flag] is None and "=" not in words[at]
            at += 2 if has_value_behind else 1
        if not 0 < at < len(words) or words[at] not in self.commands():
            return words
        return [words[at], *words[:at], *words[at + 1 :]]

    def _default(self, flag: str) -> str:
        return next(str(a.const) for a in self._actions if flag in a.option_strings)


def _unknown(parser: Parser, rest: Sequence[str]) -> Error:
    word = rest[0]
    if not word.startswith("-"):
        return Error("LK0113", f'unexpected argument "{word}"', hint=f"see {parser.prog} --help")
    flag = word.partition("=")[0]
    hint = suggestion(flag, parser.flags()) or f"see {parser.prog} --help"
    return Error("LK0111", f'{parser.prog} has no flag "{flag}"', hint=hint)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """argparse's layout with more room for the flags."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


class Globals(NamedTuple):
    """The flags that every command has and that may stand anywhere on the command line."""

    cache: str = ""
    quiet: bool = False
    verbose: int = 1  # 0: errors and warnings, 1: what is done, 2: also details, 3: all
    json: bool = False
    mirror: tuple[str, ...] = ()
    cert_file: tuple[str, ...] = ()
    registry_creds: tuple[str, ...] = ()


_GLOBAL_FLAGS = (
    (("--cache",), "DIR", "folder of the store (else $LINUXKIT_CACHE, else ~/.linuxkit/cache)"),
    (("-q", "--quiet"), "", "say nothing but warnings and errors"),
    (("-v", "--verbose"), "N", "how much to say: 0 as -q, 1 as usual, 2 details (plain -v), 3 all"),
    (("--mirror",), "[REG=]URL", "ask URL for the images of REG, or of all registries; repeatable"),
    (("--cert-file",), "FILE", "trust these certificates (PEM) besides the system's; repeatable"),
    (
        ("--registry-creds",),
        "REG=LOGIN",
        "log in to REG with USER:PASSWORD or TOKEN; repeatable",
    ),
    (("--json",), "", "progress as JSON lines on standard error, results on standard output"),
)


def add_globals(parser: argparse.ArgumentParser) -> None:
    """Make the global flags known to ``parser``; they are taken out before it parses."""
    group = parser.add_argument_group("flags of every command")
    for names, metavar, text in _GLOBAL_FLAGS:
        if metavar:
            group.add_argument(*names, metavar=metavar, help=text)
        else:
            group.add_argument(*names, action="store_true", help=text)


def take_globals(words: Sequence[str]) -> tuple[Globals, list[str]]:
    """Take the global flags out of ``words``, wherever they stand.  Raises LK0113."""
    found = Globals()
    left: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if word == "--":
            return found, [*left, word, *rest]
        if word in {"-q", "--quiet"}:
            found = found._replace(quiet=True, verbose=0)
        elif word == "--json":
            found = found._replace(json=True)
        elif flag in _VALUES:
            if not equals and not rest:
                raise Error("LK0113", f"{flag} needs a {_VALUES[flag]}")
            found = _with_value(found, flag, value if equals else rest.pop(0))
        elif flag == "--verbose" or _SHORT_VERBOSE.fullmatch(word):
            level = value if equals else word[2:] if word.startswith("-v") else ""
            if not level and rest and rest[0] in _LEVELS:
                level = rest.pop(0)
            found = found._replace(verbose=_level(level))
        else:
            left.append(word)
    return found, left


_VALUES = {
    "--cache": "folder",
    "--mirror": "URL",
    "--cert-file": "file",
    "--registry-creds": "login",
}


def _with_value(found: Globals, flag: str, value: str) -> Globals:
    if flag == "--mirror":
        return found._replace(mirror=(*found.mirror, value))
    if flag == "--cert-file":
        return found._replace(cert_file=(*found.cert_file, value))
    if flag == "--registry-creds":
        return found._replace(registry_creds=(*found.registry_creds, value))
    return found._replace(cache=value)


_LEVELS = ("0", "1", "2", "3")
_SHORT_VERBOSE = re.compile(r"-v(v*|\d+)")


def _level(text: str) -> int:
    if text.strip("v") == "":
        return min(2 + len(text), 3)
    if text not in _LEVELS:
        raise Error("LK0113", f'"{printable(text)}" is not a verbosity', hint="use 0 to 3")
    return int(text)
