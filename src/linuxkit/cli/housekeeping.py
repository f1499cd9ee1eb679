"""Keeping house in the store, on the command line: ``cache gc``, ``fsck``, ``du`` and ``clean``."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, printable
from linuxkit.cli import results
from linuxkit.cli.render import columns
from linuxkit.cli.render import size as shown
from linuxkit.recipes.tag import REGISTRY

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from linuxkit.cli.arguments import Parser
    from linuxkit.oci.fsck import Checked, Finding
    from linuxkit.oci.gc import Collected
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store

_MADE = f"{REGISTRY}/"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_FAILED = 1


def configure(gc: Parser, fsck: Parser, du: Parser, clean: Parser) -> None:
    """The flags of each."""
    gc.description = (
        "Remove what nothing names any more.  What the index names stays, and what the builds of\n"
        "the last 30 days have used: images, .debs, segments, compressed pieces.  Other processes\n"
        "may go on building and pulling: what they may still want is deleted after they end."
    )
    gc.add_value(
        "--keep", "TIME", "keep what builds of the last TIME used, as in 12h or 0 (30d)",
        convert=seconds, default=30 * 86400,
    )  # fmt: skip
    gc.add_value(
        "--grace", "TIME", "spare what is younger than TIME: others may be about to name it (1h)",
        convert=seconds, default=3600,
    )  # fmt: skip
    gc.add_switch("--dry-run", "only say what would be removed")
    fsck.description = (
        "Read everything in the store and check it: digests, the index, that images are whole.\n"
        "Status 1 when something is wrong and was not repaired."
    )
    fsck.add_switch("--repair", "put damaged blobs aside, fetch them again, drop what is of no use")
    fsck.add_switch("--offline", "ask no registry while repairing")
    du.description = "Show what takes the space of the store."
    clean.description = "Empty the store."
    clean.add_switch("--published-only", "forget only images that their registry has too")
    clean.add_switch("--yes", "do not ask")


def seconds(text: str) -> float:
    """A time such as 30d, 12h, 90 (seconds).  Raises LK0113."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text)
    if not match:
        raise Error("LK0113", f'"{printable(text)}" is not a time', hint="write 30d, 12h, 45m or 0")
    return float(int(match[1]) * _UNITS[match[2]])


def age(seconds: int) -> str:
    """A time for people: 40 s, 12 m, 3 h, 20 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def collect(store: Store, args: argparse.Namespace) -> int:
    """``cache gc``."""
    from linuxkit.oci import gc

    rules = gc.Rules(args.keep, args.grace, _MADE)
    found = gc.collect(store, rules, dry_run=args.dry_run)
    if args.json:
        print(json.dumps(found._asdict()))
    else:
        print(_summary(found, "would be removed" if args.dry_run else "removed"))
    return 0


def _summary(found: Collected, done: str) -> str:
    counts = [
        (found.blobs, "blobs"),
        (found.records, "derived forms"),
        (found.uses, "records of builds"),
        (len(found.names), "names"),
        (found.left, "leftovers"),
    ]
    what = ", ".join(f"{count} {kind}" for count, kind in counts if count) or "nothing"
    text = f"{done}: {what}; {shown(found.size)} freed"
    if found.waiting:
        text += f", {shown(found.waiting)} more once the processes that use the store have ended"
    return text


def check(store: Store, args: argparse.Namespace) -> int:
    """``cache fsck``."""
    from linuxkit.oci import fsck, mend

    checked = fsck.check(store)
    if args.repair and checked.findings:
        client = None if args.offline else _client(args)
        mended = mend.mend(store, checked.findings, client, made=_MADE)
        checked = checked._replace(findings=mended)
    if args.json:
        rows = [_finding_json(finding) for finding in checked.findings]
        print(json.dumps({**checked._asdict(), "findings": rows}, indent=1))
    else:
        print("\n".join(_report(checked)))
    return _FAILED if any(not finding.repaired for finding in checked.findings) else 0


def _client(args: argparse.Namespace) -> Client:
    from linuxkit.oci import registry

    return registry.Client(registry.options(args.mirror, args.cert_file, args.registry_creds))


def _finding_json(finding: Finding) -> dict[str, object]:
    return {**finding._asdict(), "path": str(finding.path) if finding.path else ""}


def _report(checked: Checked) -> Iterable[str]:
    for finding in checked.findings:
        yield f"{finding.code} {finding.message}"
        yield f"  repaired: {finding.repaired}" if finding.repaired else f"  hint: {finding.hint}"
    wrong = sum(not finding.repaired for finding in checked.findings)
    mended = len(checked.findings) - wrong
    what = f"{wrong} wrong" + (f", {mended} repaired" if mended else "") if wrong + mended else "ok"
    yield f"{checked.blobs} blobs, {shown(checked.size)}: {what}"


def measure(store: Store, *, as_json: bool) -> int:
    """``cache du``."""
    from linuxkit.oci import usage

    found = usage.measure(store)
    if as_json:
        images = [image._asdict() for image in found.images]
        parts = [part._asdict() for part in found.parts]
        print(json.dumps({"images": images, "parts": parts, "total": found.total}, indent=1))
        return 0
    if found.images:
        rows = [(printable(i.name), shown(i.own), shown(i.shared)) for i in found.images]
        print(columns([("image", "own", "shared"), *rows], right=(1, 2)) + "\n")
    rows = [(part.kind, str(part.files), shown(part.size)) for part in found.parts if part.files]
    rows.append(("total", "", shown(found.total)))
    print(columns([("what", "files", "size"), *rows], right=(1, 2)))
    return 0


def clean(store: Store, args: argparse.Namespace) -> int:
    """``cache clean``."""
    from linuxkit.oci import gc

    if args.published_only:
        return remove(store, [name for name, _ in store.names()], args)
    if not args.yes and sys.stdin is not None and sys.stdin.isatty():
        print(f"empty {store.root}? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            return _FAILED
    found = gc.clean(store)
    print(json.dumps(found._asdict()) if args.json else _summary(found, "removed"))
    return 0


def remove(store: Store, names: Iterable[str], args: argparse.Namespace) -> int:
    """Forget names; with ``--published-only`` those whose registry has the same image."""
    forgotten = _forgotten(store, names, args)
    if args.json or args.published_only:
        found = (({"name": name}, printable(name)) for name in forgotten)
        results.tell(found, as_json=args.json)
    else:
        list(forgotten)
    return 0


def _forgotten(
    store: Store, names: Iterable[str], args: argparse.Namespace
) -> Iterator[str]:
    from linuxkit.oci import origin, referrers

    client = _client(args) if args.published_only else None
    for name in names:
        root = store.find(name) if client and not name.startswith(_MADE) else None
        if client is None or (root is not None and origin.has(client, name, root)):
            referrers.forget(store, name)
            yield name
