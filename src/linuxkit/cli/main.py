"""The program's entry: finds the verb, imports its module alone, and turns errors into statuses.

``version`` and ``--help`` need next to no imports; what a verb does stands in its own module.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Protocol, cast

from linuxkit.version import __version__

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import FrameType
    from typing import NoReturn

    from linuxkit.base.errors import Error
    from linuxkit.cli.arguments import Globals, Parser

VERBS = {
    "build": "build a system from YAML files",
    "run": "boot a built system",
    "ps": "list machines in the background, or the units of one",
    "logs": "show the console of such a machine, or what a unit said",
    "exec": "run a command in a container of such a machine",
    "learn": "write down which system calls such a machine's units have made",
    "stop": "end such a machine, or a service in it",
    "boot-report": "show what a boot took its time for",
    "validate": "check YAML files without building",
    "audit": "rate how exposed a system's containers are",
    "config": "show what several YAML files come to",
    "explain": "show where images would come from",
    "schema": "print the JSON Schema of a YAML file",
    "lock": "write down what every reference stands for",
    "fetch": "fetch all that a build needs",
    "bundle": "carry all that a build needs to a machine without a network",
    "sign": "sign an image with a key",
    "verify": "check who has signed an image",
    "keys": "keys of Secure Boot: make, enrol, check",
    "measure": "print what a TPM will have measured of an image",
    "update": "make signed updates of a system, and send them to a registry",
    "new": "print a commented YAML file to start from",
    "pkg": "packages: list, lock, name, build, push",
    "kernel": "kernels: what ours are made of, how hard they are, what tells two apart",
    "cache": "images in the store: list, pull, import, export, forget, check, collect",
    "metadata": "write a CD-ROM image with settings for a machine",
    "serve": "serve built files over HTTP, for network boots",
    "formats": "list the output formats",
    "tools": "programs that disk images are made with: list, fetch, lock",
    "completion": "print the completion script of a shell",
    "version": "print the version",
}

STATUSES = (
    (0, "done, and for `run`: the guest was well"),
    (1, "failed"),
    (2, "wrong usage or wrong input; also when a file or folder that was named is not there"),
    (3, "the network could not be reached, or is needed and `--offline` was given"),
    (4, "`run`: the guest was not well"),
    (124, "`run`: not over within `--timeout`"),
    (130, "interrupted"),
    (143, "ended by SIGTERM"),
)
_FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk, which is no defect of ours, wherever it is met
_FAILED, _USAGE, _NETWORK, _INTERRUPTED, _TERMINATED = 1, 2, 3, 130, 143

_USAGE_CODES = (  # by hundreds
    "LK0101", "LK011",
    "LK02",
    "LK0302", "LK0325", "LK0327", "LK0329", "LK0332", "LK0354", "LK0355",
    "LK0418", "LK0430", "LK0431", "LK0434", "LK0435", "LK0443", "LK0444", "LK0445",
    "LK0501", "LK0534", "LK0536", "LK0538", "LK0542", "LK0545", "LK0546", "LK0566", "LK0567",
    "LK0568", "LK0570", "LK0581", "LK0585",
    "LK0613",
    "LK0701", "LK0709", "LK0711", "LK072", "LK073", "LK0744", "LK0745", "LK0746", "LK0747",
    "LK0748", "LK075", "LK0762", "LK0763", "LK0764", "LK0765", "LK0770", "LK0771", "LK0775",
    "LK0778", "LK0779", "LK0781", "LK0785", "LK0788",
    "LK0801", "LK081", "LK0830", "LK0832", "LK084", "LK087",
    "LK0906",
)  # fmt: skip
_NETWORK_CODES = ("LK0402", "LK0410", "LK0412", "LK0413", "LK0416", "LK0419", "LK0907")


class Verb(Protocol):
    """A module of this package that is named like its verb."""

    def configure(self, parser: Parser, /) -> None:
        """Add the verb's flags and arguments."""

    def main(self, args: argparse.Namespace, /) -> int:
        """Do it; the exit status."""


class _Terminated(BaseException):
    """SIGTERM or SIGHUP came; leave as from an interrupt, so that everything is tidied up."""


def entry() -> NoReturn:
    """The console script."""
    _open_standard_files()
    # What a command makes lives to its end; looking for cycles in it is a tenth of a warm build.
    gc.set_threshold(100_000)
    sys.exit(main(sys.argv[1:]))


def _open_standard_files() -> None:
    """Standard files that the caller closed lead nowhere.

    Otherwise the next file that this process or a child of it opens would be one of them: QEMU
    would take its source of random bytes for a person who types at the console.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def main(words: Sequence[str]) -> int:
    """Run the command line ``words``; the exit status."""
    try:
        status = _told(words)
        sys.stdout.flush()
    except OSError as error:
        # Python would complain once more when it flushes what could not be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):  # else whoever read our output has gone
            from linuxkit.base import files
            from linuxkit.cli import render

            render.plain().errors(files.os_error(error, "write", "standard output"))
        return _FAILED
    return status


def _told(words: Sequence[str]) -> int:
    """What needs next to no imports here, all else guarded."""
    if list(words) in (["version"], ["--version"]):
        print(f"linuxkit {__version__}")
        return 0
    if not words or words[0] in {"-h", "--help", "help"}:
        return _help(words[1:])
    if isinstance(sys.stdout, TextIOWrapper):  # names of files need not be text in this locale
        sys.stdout.reconfigure(errors="backslashreplace")
    return _guarded(words)


def parser_for(verb: str) -> Parser:
    """The verb's parser, with its own flags and those of every command."""
    from linuxkit.cli import arguments, examples

    module = load(verb)
    parser = arguments.Parser(prog=f"{arguments.PROGRAM} {verb}", description=VERBS[verb])
    module.configure(parser)
    arguments.add_globals(parser)
    examples.add(parser, verb)
    return parser


def load(verb: str) -> Verb:
    """The module that does ``verb``."""
    return cast("Verb", importlib.import_module(f"linuxkit.cli.{verb.replace('-', '_')}"))


def _guarded(words: Sequence[str]) -> int:
    """Run with a reporter; every error ends here, as words and a status."""
    from linuxkit.base import events
    from linuxkit.base.errors import Error
    from linuxkit.cli import render

    reporter = render.plain() if "--json" not in words else render.json_lines()
    try:
        _catch_signals()
        given, verb, rest = _split(words)
        reporter = render.reporter(given)
        with events.reporting(reporter):
            args = parser_for(verb).parse(rest)
            vars(args).update(given._asdict())
            return load(verb).main(args)
    except Error as error:
        reporter.errors(error)
        return status_of(error)
    except KeyboardInterrupt:
        reporter.failure("interrupted")
        return _INTERRUPTED
    except _Terminated:
        reporter.failure("ended by a signal")
        return _TERMINATED
    except BrokenPipeError:
        raise
    except SystemExit as stop:  # argparse, after --help
        return int(stop.code or 0)
    except Exception as error:
        if os.environ.get("LINUXKIT_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in _FULL:
            from linuxkit.base import files

            reporter.errors(files.os_error(error, "write"))
            return _FAILED
        reporter.failure(
            f"internal error: {type(error).__name__}: {error}",
            hint="this is a defect of linuxkit; with LINUXKIT_DEBUG=1 it shows where",
        )
        return _FAILED
    finally:
        reporter.close()


def _split(words: Sequence[str]) -> tuple[Globals, str, list[str]]:
    """The global flags, the verb and what is left.  Raises LK0110 and LK0111."""
    from linuxkit.base.errors import Error, suggestion
    from linuxkit.cli import arguments

    given, rest = arguments.take_globals(words)
    if not rest:
        raise Error("LK0110", "there is no command", hint="see linuxkit --help")
    verb, *rest = rest
    if verb in VERBS:
        return given, verb, rest
    if verb.startswith("-"):
        raise Error(
            "LK0111", f'there is no flag "{verb}" before the command', hint="see linuxkit --help"
        )
    hint = suggestion(verb, VERBS) or "see linuxkit --help"
    raise Error("LK0110", f'there is no command "{verb}"', hint=hint)


def status_of(error: Error) -> int:
    """The exit status of a failure: what the user can mend comes first."""
    from linuxkit.base.errors import MissingError

    codes = [each.code for each in error.all()]
    if any(code.startswith(_USAGE_CODES) for code in codes):
        return _USAGE
    if any(isinstance(each, MissingError) for each in error.all()):
        return _USAGE
    return _NETWORK if any(code.startswith(_NETWORK_CODES) for code in codes) else _FAILED


def _catch_signals() -> None:
    import signal
    import threading

    def leave(_number: int, _frame: FrameType | None) -> NoReturn:
        raise _Terminated

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGHUP, leave)


def _help(words: Sequence[str]) -> int:
    path = [word for word in words if not word.startswith("-")]
    if path:
        return _guarded([*path, "--help"])
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {text}" for name, text in VERBS.items())
    print(
        "usage: linuxkit COMMAND [flags] [arguments]\n\n"
        "Build secure, lean and portable Linux systems, from containers, for running containers.\n"
        f"\ncommands:\n{verbs}\n\n"
        "flags of every command:\n"
        "  --cache DIR   folder of the store (else $LINUXKIT_CACHE, else ~/.linuxkit/cache)\n"
        "  --mirror URL  or REG=URL: ask URL for the images of REG, or of all registries\n"
        "  --cert-file FILE  trust these certificates (PEM) besides the system's\n"
        "  --registry-creds REG=USER:PASSWORD  or REG=TOKEN: log in to a registry with this\n"
        "  -q, --quiet   say nothing but warnings and errors\n"
        "  -v [N]        say more: 2 details, 3 all\n"
        "  --json        progress as JSON lines on standard error, results on standard output\n"
        "\nlinuxkit COMMAND --help says more. A first system: linuxkit new web > web.yml"
    )
    return 0
