"""``linuxkit audit``: rates how exposed a system's containers are, before or after it is built."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.cli import inputs, project

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from linuxkit.build.audit.report import Audited, Report
    from linuxkit.cli.arguments import Parser

_FAILED = 1
_YAML = (".yml", ".yaml")


def configure(parser: Parser) -> None:
    """What to look at, and when to fail."""
    parser.description = (
        "Rate how exposed the containers of a system are, on the scale of systemd-analyze\n"
        "security (0 is nothing, 10 the whole machine), name every privilege with the line that\n"
        "grants it, and hold the system against the CIS Docker Benchmark and NIST SP 800-190.\n"
        "FILE is YAML (images may have to be fetched), the NAME of a built system, an initramfs\n"
        "or a tar. The status is 1 when a container is more exposed than --threshold."
    )
    inputs.add(parser)
    project.add(parser)
    text = "fail when a container's exposure is above N, 0 to 10 (never)"
    parser.add_value("--threshold", "N", text)
    parser.add_switch("--markdown", "print tables as Markdown")
    parser.add_switch("--all", "show rows that pass, too")
    parser.add_switch("--offline", "fetch nothing; say what is missing")


def main(args: argparse.Namespace) -> int:
    """Rate it.  Raises LK0757 for what is no system, LK0113 for a threshold that is none."""
    threshold = _threshold(args.threshold)
    report = _report(args)
    if args.json:
        print(json.dumps(_value(report), ensure_ascii=False))
    elif not args.quiet:
        print(_text(report, markdown=args.markdown, everything=args.all))
    return _FAILED if report.worst > threshold else 0


def _threshold(text: str) -> float:
    if not text:
        return 10.0
    if not re.fullmatch(r"\d{1,2}(\.\d{1,3})?", text) or float(text) > 10:  # noqa: PLR2004
        raise Error("LK0113", f'--threshold "{text}" is no exposure', hint="from 0 to 10: 2.5")
    return float(text)


def _report(args: argparse.Namespace) -> Report:
    from linuxkit.build.audit import report

    if all(name == "-" or name.startswith("http") or name.endswith(_YAML) for name in args.files):
        opened = project.open_project(args, offline=args.offline)
        plan = linuxkit.resolve(
            opened.spec,
            store=opened.store,
            sources=opened.sources,
            arch=opened.arch,
            offline=args.offline,
            allow_unsafe=True,
        )
        return report.of_plan(plan, opened.spec)
    if len(args.files) > 1:
        raise Error("LK0114", "one built system at a time", hint="several files are YAML only")
    return _of_image(args.files[0], args.arch)


def _of_image(name: str, arch: str) -> Report:
    from linuxkit.build.audit import report
    from linuxkit.tree import compress, cpio, tar

    path, arch = _locate(name, arch)
    with tempfile.TemporaryFile() as whole:
        try:
            with path.open("rb") as source:
                compress.spool(source, whole)
        except OSError as error:
            raise files.os_error(error, "read", path) from error
        whole.flush()
        whole.seek(0)
        read = cpio.read if whole.read(5) == b"07070" else tar.read
        return report.of_image(read(whole.fileno()), arch)


def _locate(name: str, arch: str) -> tuple[Path, str]:
    """The file that holds the tree, and the architecture it is for."""
    from linuxkit.runners import image

    if Path(name).is_file() and Path(name).suffix != ".json":
        return Path(name), inputs.arch(arch)
    artifact = image.locate(name, arch)
    initrd = artifact.path("initrd")
    if initrd is None:
        raise Error("LK0757", f"{name} has no initramfs to look into", hint="name its tar")
    return initrd, artifact.arch


def _value(report: Report) -> dict[str, object]:
    return {
        "worst": report.worst,
        "containers": [_row(each) for each in report.containers],
        "standards": [verdict._asdict() for verdict in report.verdicts],
    }


def _row(each: Audited) -> dict[str, object]:
    return {
        "name": each.posture.name,
        "profile": each.profile,
        "calls": each.posture.calls,
        "exposure": each.exposure.score,
        "findings": [finding._asdict() for finding in each.exposure.findings],
        "privileges": [
            {"privilege": held.privilege, "where": str(held.where or "the image's label")}
            for held in each.held
        ],
    }


def _text(report: Report, *, markdown: bool, everything: bool) -> str:
    from linuxkit.build.audit import exposure

    rows = [("container", "profile", "calls", "exposure", "")]
    rows += [
        (
            each.posture.name,
            each.profile,
            str(each.posture.calls),
            f"{each.exposure.score:.1f}",
            exposure.word(each.exposure.score),
        )
        for each in report.containers
    ]
    parts = [_table(rows, markdown=markdown)]
    held = [
        (each.posture.name, held.privilege, str(held.where or "the image's label"))
        for each in report.containers
        for held in each.held
    ]
    if held:
        head = ("container", "may", "granted by")
        parts.append(_table([head, *held], markdown=markdown))
    shown = [v for v in report.verdicts if everything or v.result == "fail"]
    counts = {
        result: sum(v.result == result for v in report.verdicts)
        for result in ("pass", "fail", "operator")
    }
    if shown:
        head4 = ("standard", "row", "result", "asks that a container…")
        lines = [(v.standard, v.id, v.result, _detail(v.text, v.detail)) for v in shown]
        parts.append(_table([head4, *lines], markdown=markdown))
    parts.append(
        f"CIS and SP 800-190: {counts['pass']} pass, {counts['fail']} fail, "
        f"{counts['operator']} are the operator's"
    )
    return "\n\n".join(parts)


def _detail(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def _table(rows: Sequence[tuple[str, ...]], *, markdown: bool) -> str:
    if not markdown:
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = (zip(row, widths, strict=True) for row in rows)
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in lines
        )
    head, *body = (tuple(cell.replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join([_line(head), _line("---" for _ in head), *map(_line, body)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
