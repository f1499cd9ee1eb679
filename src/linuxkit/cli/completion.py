"""``linuxkit completion``: scripts for shells, read off the parsers of all verbs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from linuxkit import formats
from linuxkit.base import platform
from linuxkit.base.errors import Error, suggestion
from linuxkit.cli import main as program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from linuxkit.cli.arguments import Parser

SHELLS = ("bash", "fish", "zsh")
_FILES, _FOLDERS = "files", "folders"


class Flag(NamedTuple):
    """A flag, its spellings, and what its value can be."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    kind: str = ""  # "files", "folders" or "": one of ``words``, or anything
    words: tuple[str, ...] = ()


class Verb(NamedTuple):
    """A verb, its flags, and the words that may follow it."""

    name: str
    help: str
    flags: tuple[Flag, ...]
    words: tuple[str, ...]


def configure(parser: Parser) -> None:
    """The shell alone."""
    parser.description = (
        "Print the completion script of a shell.\n\n"
        '  bash   eval "$(linuxkit completion bash)"            in ~/.bashrc\n'
        '  zsh    eval "$(linuxkit completion zsh)"             in ~/.zshrc, after compinit\n'
        "  fish   linuxkit completion fish | source             in ~/.config/fish/config.fish"
    )
    parser.add_argument("shell", metavar="SHELL", help=", ".join(SHELLS))


def main(args: argparse.Namespace) -> int:
    """Print it.  Raises LK0118."""
    scripts = {"bash": bash, "zsh": zsh, "fish": fish}
    if args.shell not in scripts:
        hint = suggestion(args.shell, scripts) or f"known: {', '.join(SHELLS)}"
        raise Error("LK0118", f'there is no completion for "{args.shell}"', hint=hint)
    print(scripts[args.shell](verbs()))
    return 0


def verbs() -> tuple[Verb, ...]:
    """Every verb as its parser has it."""
    return tuple(_verb(name, text) for name, text in program.VERBS.items())


def _verb(name: str, text: str) -> Verb:
    parser = program.parser_for(name)
    below = parser.commands()
    words: dict[str, None] = dict.fromkeys(SHELLS if name == "completion" else below)
    flags = {flag.names: flag for p in (parser, *below.values()) for flag in _flags(p)}
    return Verb(name, text, tuple(flags.values()), tuple(words))


def _flags(parser: Parser) -> Iterator[Flag]:
    for action in parser.actions():
        names = tuple(action.option_strings)
        if not names:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        kind = _FOLDERS if metavar == "DIR" else _FILES if metavar in {"FILE", "PATH"} else ""
        words = tuple(map(str, action.choices)) if action.choices else _words(action.dest)
        yield Flag(names, action.help or "", action.nargs != 0, kind, words)


def _words(dest: str) -> tuple[str, ...]:
    """The values of flags that have a known set of them."""
    if dest == "format":
        return tuple(name for name, _ in formats.summaries())
    if dest == "arch":
        return platform.names()
    return {
        "accel": ("kvm", "tcg"),
        "compress": ("zstd", "gzip", "lz4", "xz", "none"),
        "networking": ("user", "none", "bridge,", "tap,"),
    }.get(dest, ())


def bash(every: tuple[Verb, ...]) -> str:
    """A script for bash 4 and newer."""
    names = "|".join(verb.name for verb in every)
    lines = [
        "_linuxkit() {",
        '  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb="" word',
        '  for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do',
        f"    case $word in {names}) verb=$word; break ;; esac",
        "  done",
        "  COMPREPLY=()",
        '  case "$verb:$prev" in',
    ]
    for verb in every:
        for flag in verb.flags:
            if flag.takes_value:
                patterns = " | ".join(f"{verb.name}:{name}" for name in flag.names)
                lines.append(f"    {patterns}) {_bash_values(flag)}; return ;;")
    lines += ["  esac", '  case "$verb:$cur" in']
    for verb in every:
        flags = " ".join(name for flag in verb.flags for name in flag.names)
        lines.append(f"    {verb.name}:-*) {_compgen(flags)} ;;")
        if verb.words:
            lines.append(f"    {verb.name}:*) {_compgen(' '.join(verb.words))} ;;")
    lines += [
        f"    :*) {_compgen(' '.join(verb.name for verb in every))} ;;",
        '    *) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;',
        "  esac",
        "}",
        "complete -F _linuxkit linuxkit",
    ]
    return "\n".join(lines)


def _bash_values(flag: Flag) -> str:
    if flag.words:
        return _compgen(" ".join(flag.words))
    if not flag.kind:
        return ":"
    what = "-d" if flag.kind == _FOLDERS else "-f"
    return f'compopt -o filenames; mapfile -t COMPREPLY < <(compgen {what} -- "$cur")'


def _compgen(words: str) -> str:
    return f'mapfile -t COMPREPLY < <(compgen -W {shlex.quote(words)} -- "$cur")'


def zsh(every: tuple[Verb, ...]) -> str:
    """A script for zsh."""
    described = " ".join(shlex.quote(f"{verb.name}:{verb.help}") for verb in every)
    lines = [
        "#compdef linuxkit",
        "_linuxkit() {",
        "  if (( CURRENT == 2 )); then",
        f"    local -a verbs=({described})",
        "    _describe command verbs",
        "    return",
        "  fi",
        "  local verb=${words[2]}",
        '  words=("${(@)words[2,-1]}"); (( CURRENT-- ))',
        "  case $verb in",
    ]
    for verb in every:
        specs = [spec for flag in verb.flags for spec in _zsh_specs(flag)]
        rest = f"*:argument:({' '.join(verb.words)})" if verb.words else "*:file:_files"
        quoted = " ".join(map(shlex.quote, [*specs, rest]))
        lines.append(f"    {verb.name}) _arguments -S {quoted} ;;")
    return "\n".join([*lines, "  esac", "}", "compdef _linuxkit linuxkit"])


def _zsh_specs(flag: Flag) -> Iterator[str]:
    text = flag.help.replace("[", "(").replace("]", ")").replace(":", " -")
    for name in flag.names:
        if not flag.takes_value:
            yield f"*{name}[{text}]"
            continue
        values = f"({' '.join(flag.words)})" if flag.words else ""
        values = values or {_FILES: "_files", _FOLDERS: "_files -/"}.get(flag.kind, "")
        yield (
            f"*{name}=[{text}]:value:{values}"
            if name[1] == "-"
            else f"*{name}[{text}]:value:{values}"
        )


def fish(every: tuple[Verb, ...]) -> str:
    """A script for fish."""
    names = " ".join(verb.name for verb in every)
    none_yet = shlex.quote(f"not __fish_seen_subcommand_from {names}")
    lines = []
    for verb in every:
        seen = shlex.quote(f"__fish_seen_subcommand_from {verb.name}")
        what = f"-a {verb.name} -d {_fish_quoted(verb.help)}"
        lines.append(f"complete -c linuxkit -f -n {none_yet} {what}")
        if verb.words:
            lines.append(
                f"complete -c linuxkit -f -n {seen} -a {_fish_quoted(' '.join(verb.words))}"
            )
        lines += [f"complete -c linuxkit -n {seen} {_fish_flag(flag)}" for flag in verb.flags]
    return "\n".join(lines)


def _fish_flag(flag: Flag) -> str:
    spelled = [
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names
    ]
    if flag.takes_value:
        spelled.append("-r" if flag.kind else "-x")
    if flag.words:
        spelled.append(f"-a {_fish_quoted(' '.join(flag.words))}")
    return " ".join([*spelled, f"-d {_fish_quoted(flag.help)}"])


def _fish_quoted(text: str) -> str:
    """Between single quotes fish knows two escapes, unlike other shells."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
