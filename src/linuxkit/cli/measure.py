"""``linuxkit measure``: what a TPM will hold once an image has started."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import files
from linuxkit.base.errors import Error, raise_all
from linuxkit.cli import keys, render

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from linuxkit.cli.arguments import Parser
    from linuxkit.disk.measure import Register

_LIMIT = 1 << 20


def configure(parser: Parser) -> None:
    """Which image, and what to compare with."""
    parser.description = (
        "Print the SHA-256 registers (PCRs) of a TPM as they will be when this image has started.\n"
        "Others depend on the machine: 0 to 3, 5, 6 and 10 are not predicted."
    )
    text = "a unified kernel image (.efi), a raw disk or CD with one"
    parser.add_argument("file", metavar="FILE", help=text)
    add = parser.add_value
    text = "for machines with Secure Boot that trust just these keys (else: without it)"
    add("--keys", "KEYDIR", text)
    text = "compare with what a guest has told, in the words of tpm2_pcrread; - is standard input"
    add("--check", "VALUES", text)


def main(args: argparse.Namespace) -> int:
    """Print, or compare."""
    from linuxkit.disk import certificates, measure

    trusted = certificates.of_folder(Path(args.keys)) if args.keys else None
    tools = linuxkit.own_tools(linuxkit.open_store(args.cache or None))
    with keys.program(Path(args.file), tools) as found:
        registers = measure.predict(found, trusted)
    if args.check:
        told = measure.reported(_text(Path(args.check)))
        registers = tuple(_compared(registers, told))
    if args.json:
        print(json.dumps({str(each.number): each.value for each in registers}))
    else:
        rows = [(str(each.number), each.value, each.about) for each in registers]
        print(render.columns([("PCR", "SHA-256", "what is in it"), *rows]))
    return 0


def _text(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.read(_LIMIT)
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT).decode(errors="replace")
    except OSError as error:
        raise files.os_error(error, "read", path) from error


def _compared(registers: Sequence[Register], told: Mapping[int, str]) -> list[Register]:
    """The registers that were told and are as predicted.  Raises LK0780, all at once."""
    both = [each for each in registers if each.number in told]
    if not both:
        numbers = ", ".join(str(each.number) for each in registers)
        raise Error("LK0778", f"none of the registers {numbers} is among these measurements")
    raise_all(
        [
            Error(
                "LK0780", f"register {each.number} is {told[each.number]}, not {each.value}",
                hint=f"what differs is {each.about}",
            )
            for each in both
            if told[each.number] != each.value
        ]
    )  # fmt: skip
    return both
