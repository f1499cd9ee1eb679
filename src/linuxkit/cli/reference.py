"""The reference page of the command line, read off the parsers; a test keeps the file equal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from linuxkit.cli import main as program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from linuxkit.cli.arguments import Parser

_GLOBALS = {
    "--cache", "--mirror", "--cert-file", "--registry-creds", "--quiet", "--verbose", "--json",
    "--help",
}  # fmt: skip


def markdown() -> str:
    """The whole page."""
    lines = [
        "# Command line",
        "",
        "Made from the parsers by `python -m linuxkit.cli.reference > docs/reference/cli.md`.",
        "",
        "## Flags of every command",
        "",
        "They may stand before or after the command.",
        "",
        *_table(a for a in program.parser_for("version").actions() if _is_global(a)),
        "",
        "`--json` changes nothing where the output is a file for others: of `new`, `completion`.",
        "",
        "## Exit statuses",
        "",
        "| Status | Means |",
        "|---|---|",
        *(f"| {status} | {text} |" for status, text in program.STATUSES),
        "",
        "## Environment",
        "",
        "| Variable | Means |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in _ENVIRONMENT),
    ]
    for verb in program.VERBS:
        lines += ["", *_section(program.parser_for(verb), 2)]
    return "\n".join(lines) + "\n"


_ENVIRONMENT = (
    ("LINUXKIT_CACHE", "folder of the store, when `--cache` is not given"),
    ("LINUXKIT_DEBIAN_MIRROR", "where Debian packages come from; else the host's apt sources"),
    ("LINUXKIT_MIRROR", "mirrors of registries, as `--mirror` has them, separated by commas"),
    ("LINUXKIT_INSECURE_REGISTRIES", "hosts that may be asked without TLS, separated by commas"),
    ("LINUXKIT_TOKEN_HOSTS", "hosts that any registry may send us to for a token"),
    ("LINUXKIT_REGISTRY_CREDS", "logins, as `--registry-creds` has them, separated by blanks"),
    ("LINUXKIT_TRUST_POLICY", "the trust policy, when `--trust-policy` is not given"),
    ("LINUXKIT_KEY_PASSWORD", "password of the key that `sign` reads or makes"),
    ("DOCKER_CONFIG", "folder of the `config.json` with logins; else `~/.docker`"),
    ("REGISTRY_AUTH_FILE", "the only file of logins, when set"),
    ("LINUXKIT_QEMU_ACCEL", "acceleration of `run`, when `--accel` is not given"),
    ("LINUXKIT_DEBUG", "when set, a defect shows where in the program it is"),
    ("NO_COLOR", "when set, and not to nothing, nothing is coloured"),
    ("TERM", "when `dumb` or not set, nothing is coloured and no bars are drawn"),
)


def _section(parser: Parser, level: int) -> Iterator[str]:
    yield f"{'#' * level} {parser.prog}"
    yield ""
    yield "```"
    yield _usage(parser)
    yield "```"
    yield ""
    yield from _description(parser.description or "")
    own = [a for a in parser.actions() if not _is_global(a) and not hasattr(a, "add_parser")]
    if own:
        yield ""
        yield from _table(own)
    if not parser.commands():
        yield from ["", "```", *textwrap.dedent(str(parser.epilog)).splitlines()[1:], "```"]
    for child in parser.commands().values():
        yield ""
        yield from _section(child, level + 1)


def _description(text: str) -> Iterator[str]:
    """Paragraphs as they are; what help text lays out in columns stays so."""
    for number, paragraph in enumerate(text.split("\n\n")):
        fence = ["```"] if "\n  " in paragraph else []
        yield from [""] if number else []
        yield from [*fence, *paragraph.splitlines(), *fence]


def _usage(parser: Parser) -> str:
    words = [parser.prog]
    own = [a for a in parser.actions() if not _is_global(a)]
    if any(action.option_strings for action in own):
        words.append("[flags]")
    for action in own:
        if not action.option_strings:
            name = _metavar(action)
            words.append({"+": f"{name}...", "*": f"[{name}...]", "?": f"[{name}]"}.get(
                str(action.nargs), name
            ))  # fmt: skip
    return " ".join(words)


def _table(actions: Iterator[argparse.Action] | list[argparse.Action]) -> Iterator[str]:
    yield "| Flag or argument | Means |"
    yield "|---|---|"
    for action in actions:
        names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{_metavar(action)}`"
        if action.option_strings and action.nargs != 0:
            names += f" `{_metavar(action)}`"
        text = (action.help or "").replace("|", "\\|")
        yield f"| {names.replace('|', chr(92) + '|')} | {text} |"


def _metavar(action: argparse.Action) -> str:
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def _is_global(action: argparse.Action) -> bool:
    return bool(_GLOBALS.intersection(action.option_strings))


if __name__ == "__main__":
    print(markdown(), end="")
