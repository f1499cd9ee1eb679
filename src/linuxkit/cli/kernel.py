"""Kernels on the command line: what ours are made of, how hard they are, what tells two apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import files, platform
from linuxkit.base.errors import Error
from linuxkit.build import kconfig
from linuxkit.cli import results
from linuxkit.tree.entry import Kind

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from linuxkit.cli.arguments import Parser
    from linuxkit.oci.store import Store
    from linuxkit.recipes.hardening import Finding, Score

_OURS = "@pkg:kernel-hardened"
_CONFIG_JSON = (
    ".\nWith --json a list of objects: name, value, reason, file and line of each symbol; without\n"
    "FLAVOUR: flavour and its parts"
)
_CONFIG = "config"  # where kernel images keep it


def configure(parser: Parser) -> None:
    """Add the commands and their flags."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "print what one of our kernels asks of Kconfig, and why; without FLAVOUR, list them"
    config = commands.add_parser("config", help=text, description=f"{text}{_CONFIG_JSON}")
    config.add_argument("flavour", metavar="FLAVOUR", nargs="?", default="", help="such as cloud")
    config.add_argument(
        "--arch", metavar="ARCH", default="", help="architecture (default: this machine's)"
    )
    text = "let kernel-hardening-checker look at a kernel; status 1 when it finds what none accepts"
    check = commands.add_parser("check", help=text, description=text)
    check.add_argument(
        "kernel", metavar="IMAGE|CONFIG", nargs="?", default=_OURS,
        help=f"a kernel image, or a file such as /boot/config-6.12 (default: {_OURS})",
    )  # fmt: skip
    check.add_argument(
        "--arch", metavar="ARCH", default="", help="architecture of IMAGE (default: this machine's)"
    )
    check.add_argument(
        "--cmdline", metavar="TEXT", default=None,
        help="its command line; @FILE reads one (default: packages/hardening/cmdline)",
    )  # fmt: skip
    check.add_argument(
        "--sysctl", metavar="FILE", default="", help="look at kernel parameters as well"
    )
    text = "show the symbols that two kernels have different values for"
    diff = commands.add_parser("diff", help=text, description=text)
    for name in ("before", "after"):
        diff.add_argument(name, metavar="IMAGE|CONFIG", help="a kernel image or a .config file")
    diff.add_argument(
        "--arch", metavar="ARCH", default="", help="architecture (default: this machine's)"
    )


def main(args: argparse.Namespace) -> int:
    """Do the command; the exit status."""
    arch = platform.arch(args.arch).oci if args.arch else platform.host().oci
    if args.command == "config":
        return _config(args.flavour, arch, as_json=args.json)
    store = linuxkit.open_store(args.cache or None)
    if args.command == "check":
        return _check(args, arch, store)
    before, after = (
        kconfig.parse(_configuration(name, arch, store, args))
        for name in (args.before, args.after)
    )
    found = kconfig.differences(before, after)
    if args.json:
        print(json.dumps([each._asdict() for each in found], indent=1))
    elif found:
        print("\n".join(_columns([("symbol", args.before, args.after), *found])))
    return 0


def _config(flavour: str, arch: str, *, as_json: bool) -> int:
    from linuxkit.recipes import fragments

    config = fragments.folder()
    if flavour:
        found = [
            (line._asdict(), f"CONFIG_{line.name}={line.value}  # {line.reason} ({line.place})")
            for line in fragments.read(config, arch, flavour)
        ]
    else:
        listed = fragments.flavours(config).items()
        found = [({"flavour": name, "parts": list(parts)}, name) for name, parts in listed]
    results.tell(found, as_json=as_json)
    return 0


def _check(args: argparse.Namespace, arch: str, store: Store) -> int:
    from linuxkit.recipes import hardening
    from linuxkit.sources.packages import pool_of

    cmdline = hardening.cmdline() if args.cmdline is None else args.cmdline
    if cmdline.startswith("@"):
        cmdline = _text(Path(cmdline[1:]))
    subject = hardening.Subject(
        _configuration(args.kernel, arch, store, args),
        cmdline,
        # "-" marks lines that a kernel may refuse (packages/sysctl); the checker knows none.
        _text(Path(args.sysctl)).replace("\n-", "\n") if args.sysctl else "",
    )
    score = hardening.check(subject, pool_of(store), store)
    bad = [finding for finding in score.findings if not finding.ok and not finding.accepted]
    if args.json:
        print(json.dumps(_record(score), indent=1))
    else:
        print(_shown(score))
    return 1 if bad else 0


def _record(score: Score) -> dict[str, object]:
    return {
        "checker": score.checker,
        "good": score.good,
        "of": len(score.findings),
        "findings": [finding._asdict() for finding in score.findings],
    }


def _shown(score: Score) -> str:
    failed = sorted((f for f in score.findings if not f.ok), key=lambda f: (bool(f.accepted), f))
    rows = [(f.name, _is(f), f.accepted or "NOT ACCEPTED") for f in failed]
    total = f"{score.good} of {len(score.findings)} are as they should be ({score.checker})"
    return "\n".join([*_columns([("not so", "is", "accepted, because"), *rows]), total])


def _is(finding: Finding) -> str:
    return finding.result.removeprefix("FAIL: ")


def _columns(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for first, second, third in rows:
        yield f"{first:{widths[0]}}  {second:{widths[1]}}  {third}"


def _configuration(name: str, arch: str, store: Store, args: argparse.Namespace) -> str:
    """The text of a configuration: of a file of that name, else of a kernel image."""
    path = Path(name)
    if not name.startswith("@") and path.is_file():
        return _text(path)
    from linuxkit.build.source import Wanted, locate
    from linuxkit.oci import flatten, image, ref
    from linuxkit.oci.model import Platform
    from linuxkit.recipes.stock import Shelf

    asked = Shelf().named(name, arch)
    sources = linuxkit.default_sources(
        store, mirrors=args.mirror, certs=args.cert_file, logins=args.registry_creds
    )
    wanted = Platform("linux", arch)
    root = locate(Wanted(ref.parse(asked), None), wanted, sources)
    found = image.open_image(store, root, wanted)
    with flatten.flatten(store, found.manifest.layers, found.config.diff_ids) as tree:
        entry = tree.get(_CONFIG)
        if entry is None or entry.kind is not Kind.FILE:
            raise Error(
                "LK0574", f"the image {asked} does not tell how its kernel was configured",
                hint="give the .config file itself",
            )  # fmt: skip
        return b"".join(entry.content.chunks()).decode(errors="replace")


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as source:
            return source.read(kconfig.LIMIT)
    except OSError as error:
        raise files.os_error(error, "read", path) from error
