"""``linuxkit keys``: the keys of Secure Boot."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import files
from linuxkit.base import platform as platforms
from linuxkit.base.errors import Error, printable, raise_all
from linuxkit.disk import certificates

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import BinaryIO

    from linuxkit.cli.arguments import Parser
    from linuxkit.disk.tools import Tools


def configure(parser: Parser) -> None:
    """Add the commands and their flags."""
    parser.description = (
        "The keys of Secure Boot: PK owns a machine, KEK may change what it trusts, db signs what\n"
        "it starts.  `build --sign DIR` signs with them; only files that end in .key are secret."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "make keys: DIR/PK, KEK and db, each a .key and a .crt"
    new = commands.add_parser("new", help=text, description=text)
    new.add_argument("folder", metavar="DIR", help="a folder without keys, made if need be")
    text = "write what puts the keys into machines: orders, a stick, a virtual machine's store"
    enroll = commands.add_parser("enroll", help=text, description=text)
    enroll.add_argument("folder", metavar="DIR", help="folder of the keys, and of what is written")
    enroll.add_argument("--arch", default="amd64", metavar="ARCH", help="of the machines (amd64)")
    text = "check that all programs for UEFI of disks and CDs are signed as `build --sign` does it"
    check = commands.add_parser("check", help=text, description=text)
    check.add_argument("folder", metavar="DIR", help="folder of the keys; db.crt is enough")
    check.add_argument("file", metavar="FILE", nargs="+", help="an .efi file, raw disk or CD")


def main(args: argparse.Namespace) -> int:
    """Do the command; the exit status."""
    folder = Path(args.folder)
    if args.command == "new":
        certificates.create(folder)
        made = [f"{role}{ending}" for role in certificates.ROLES for ending in (".key", ".crt")]
        _tell([folder / name for name in made], args)
        return 0
    tools = linuxkit.own_tools(linuxkit.open_store(args.cache or None))
    if args.command == "enroll":
        _tell(_enroll(folder, platforms.arch(args.arch), tools), args)
    else:
        _check(folder, [Path(name) for name in args.file], tools)
        _tell([Path(name) for name in args.file], args)
    return 0


def _tell(paths: list[Path], args: argparse.Namespace) -> None:
    names = [str(path) for path in paths]
    print(json.dumps(names) if args.json else "\n".join(names))


def _enroll(folder: Path, arch: platforms.Arch, tools: Tools) -> list[Path]:
    from linuxkit.disk import efivars, enrolment

    orders = enrolment.updates(folder)
    data = {f"{role}.auth": order for role, order in orders.items()}
    found = certificates.of_folder(folder)
    data |= {f"{role}.cer": each.der for role, each in found.items()}
    template = tools.data("firmware-variables", arch.oci).read_bytes()
    data["variables.fd"] = efivars.enabled(template, found)
    stick = folder / "enroll.img"
    with files.replacing(stick) as out:  # the only part that may fail, so it is first
        enrolment.image(orders, arch.oci, arch.efi, out, tools)
    for name, content in data.items():
        files.write(folder / name, content)
    return [*(folder / name for name in data), stick]


def _check(folder: Path, paths: list[Path], tools: Tools) -> None:
    """Raise what is wrong with every program of the files ``paths``, all at once."""
    signer = certificates.certificate(folder, "db")
    raise_all([error for path in paths for error in _wrong(path, signer, tools)])


def _wrong(path: Path, signer: certificates.Certificate, tools: Tools) -> Iterator[Error]:
    from linuxkit.disk import authenticode, esp

    with _reading(path) as source:
        try:
            found = esp.programs(source, tools)
        except Error as error:
            yield Error(error.code, f"{path}: {error.message}", hint=error.hint)
            return
        for inside in found:
            with tempfile.TemporaryFile() as out:
                esp.program(source, out, tools, inside)
                try:
                    authenticode.verify(out, signer)
                except Error as error:
                    at = f"{path}{printable(inside)}"  # as mtools: FILE::/PATH
                    yield Error(error.code, f"{at}: {error.message}", hint=error.hint)


@contextlib.contextmanager
def program(path: Path, tools: Tools) -> Iterator[BinaryIO]:
    """What firmware would start of the file ``path``.  Raises LK0779, LK0102."""
    from linuxkit.disk import esp

    with tempfile.TemporaryFile() as out, _reading(path) as source:
        esp.program(source, out, tools)
        yield out


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as source:
            yield source
    except OSError as error:
        raise files.os_error(error, "read", path) from error
