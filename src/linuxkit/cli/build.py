"""``linuxkit build``: YAML in, files out; decides what is wished and lets the library do it."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import linuxkit
from linuxkit import formats
from linuxkit.base import events, files
from linuxkit.base.errors import Error, printable
from linuxkit.build import needs
from linuxkit.cli import inputs, render
from linuxkit.cli import project as projects
from linuxkit.tree import compress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from linuxkit.build.system import Size, System
    from linuxkit.cli.arguments import Parser
    from linuxkit.disk.tools import Tools
    from linuxkit.oci.store import Store
    from linuxkit.tree.compress import Compression

_REPORT = "report"
_SBOM = "sbom.spdx.json"
_STDIN_NAME = "moby"  # upstream's name for a system that came through a pipe


class Wish(NamedTuple):
    """What the flags ask for, checked."""

    formats: tuple[str, ...]
    name: str
    directory: Path
    stream: str  # "": files; "-": standard output; else the one file to write
    arch: str
    compression: Compression
    report: bool  # print the sizes
    size: int  # of disks in bytes; 0: what is on them
    host_tools: bool
    offline: bool


def configure(parser: Parser) -> None:
    """Upstream's flags, and our own."""
    parser.description = (
        "Build a system from YAML files, which are merged in their order; - is standard input.\n"
        "Writes NAME-kernel, NAME-initrd.img and NAME-cmdline unless told otherwise."
    )
    inputs.add(parser)
    projects.add(parser)
    add, switch = parser.add_value, parser.add_switch
    add("--name", "NAME", "name of the output (else the last file's, without extension)")
    add("--dir", "DIR", "folder of the output (else the current one)")
    add("-o --o", "FILE", "write the one format, tar or docker, to FILE; - is standard output")
    text = f"output formats, separated by commas or repeated (else {formats.DEFAULT})"
    add("-f --format", "LIST", text, default=[])
    text = "compression of the initramfs: zstd (the usual one), gzip, lz4, xz or none"
    add("--compress", "NAME[:LEVEL]", text, default="zstd")
    text = "print the size of every part; with a value: of disks, 512M in MiB, 4G or 4 in GiB"
    parser.add_optional("--size", pattern=r"\d\w*", const=_REPORT, metavar="SIZE", help=text)
    text = "programs that make disk images: own (pinned; the usual ones) or host"
    add("--tools", "WHICH", text, default="own")
    add("--sign", "KEYDIR", "sign what firmware starts, with the keys of `linuxkit keys new`")
    switch("--only-signed", "with --sign: the machine runs programs of its image only (raw-verity)")
    switch("--learn", "count the system calls of strict containers, for `linuxkit learn`")
    switch("--allow-unsafe", "build containers of the profile `none`, too")
    switch("--offline", "fetch nothing; say what is missing")
    switch("--dry-run", "print the merged YAML and stop")
    switch("--no-sbom", "leave the bill of materials out of the system")
    add("--sbom-output", "PATH", f"its path in the system ({_SBOM})", default=_SBOM)
    switch("--sbom-current-time", "let it tell the present time: no two builds are the same then")
    switch("--decompress-kernel", "unpack a compressed kernel")
    switch("--pull", "ask the registries even for images that the store has")
    add("--input-tar", "TAR", "an earlier output (upstream's flag); rebuilds are quick without it")
    switch("--docker", "look for images in this machine's Docker or Podman first")


def main(args: argparse.Namespace) -> int:
    """Build."""
    began = time.monotonic()
    wish = decide(args)
    _warn(args, wish)
    project = projects.open_project(args, offline=args.offline)
    if args.dry_run:
        from linuxkit.spec import metadata

        sys.stdout.buffer.write(metadata.render(project.spec, "json" if args.json else "yaml"))
        return 0
    store = project.store
    plan = linuxkit.resolve(
        project.spec,
        store=store,
        sources=project.sources,
        arch=wish.arch,
        offline=args.offline,
        sbom="" if args.no_sbom else args.sbom_output,
        decompress_kernel=args.decompress_kernel,
        learn=args.learn,
        allow_unsafe=args.allow_unsafe,
        **_sbom_time(args),
    )
    _tell_grants(plan)
    _tell_exposure(plan, project.spec)
    linuxkit.fetch(plan, store=store)
    system = linuxkit.assemble(plan, store=store)
    _tell_gaps(project.spec, system)
    if wish.stream:
        _stream(system, wish)
        inputs.keep_uses(args, store, *wish.formats, args.compress, args.name, args.o)
        return 0
    artifacts = linuxkit.emit(
        system,
        wish.formats,
        directory=wish.directory,
        name=wish.name,
        compression=str(wish.compression),
        tools=_tools(wish, store),
        sign=args.sign or None,
        only_signed=args.only_signed,
        size=wish.size,
    )
    sizes = system.sizes(wish.compression) if wish.report else ()
    inputs.keep_uses(args, store, *wish.formats, args.compress, args.name, args.o)
    took_s = time.monotonic() - began
    if args.json:
        verified = project.guard.verified if project.guard else {}
        print(_result_json(plan, artifacts, sizes, took_s, verified))
    elif not args.quiet:
        print(_summary(artifacts, took_s))
    if sizes and not args.json:
        print("\n" + size_table(sizes))
    return 0


def decide(args: argparse.Namespace) -> Wish:
    """Read the flags, before any work is done.

    Raises LK0101, LK0102 (no such folder), LK0114, LK0613, LK0701, LK0709, LK0770, LK0775 and
    LK0781.
    """
    names = _formats(args)
    folder = Path(args.o).parent if args.o else Path(args.dir or ".")
    files.need_folder(folder)
    if args.sign:
        from linuxkit.disk import certificates

        certificates.signer(Path(args.sign), "db")
    last = args.files[-1]
    name = args.name or (_STDIN_NAME if last == "-" else Path(last).stem)
    if args.input_tar:
        _check_input(args, [Path(args.o)] if args.o else [folder / f"{name}.{n}" for n in names])
    return Wish(
        names,
        name,
        folder,
        args.o,
        inputs.arch(args.arch),
        compress.parse(args.compress),
        args.size == _REPORT,
        _size(args.size),
        host_tools=_host_tools(args.tools),
        offline=args.offline,
    )


def _size(text: str) -> int:
    """``512M``, ``4G`` or a bare number of GiB, in bytes; 0 for none.  Raises LK0113."""
    if text in {"", _REPORT}:
        return 0
    match = re.fullmatch(r"([1-9][0-9]{0,6})([MG]?)B?", text)
    if not match:
        hint = "write 512M, or 4G, or 4 for as much"
        raise Error("LK0113", f'--size: "{printable(text)}" is not the size of a disk', hint=hint)
    return int(match[1]) << (20 if match[2] == "M" else 30)


def _host_tools(which: str) -> bool:
    if which not in {"own", "host"}:
        hint = "own: pinned by a lock and fetched; host: what is installed here"
        raise Error("LK0113", f'--tools: "{which}" is neither own nor host', hint=hint)
    return which == "host"


def _tools(wish: Wish, store: Store) -> Tools:
    from linuxkit.disk.tools import HostTools

    return HostTools() if wish.host_tools else linuxkit.own_tools(store, offline=wish.offline)


def _formats(args: argparse.Namespace) -> tuple[str, ...]:
    names = [name for words in args.format for name in words.split(",") if name]
    signing = bool(args.sign)
    formats.check(names or [formats.DEFAULT], signing=signing, only_signed=args.only_signed)
    if args.sign and args.o:
        raise Error("LK0114", "--o and --sign exclude each other", hint="a stream is not signed")
    if args.pull and args.offline:
        raise Error("LK0114", "--pull and --offline exclude each other")
    if not args.o:
        return tuple(dict.fromkeys(names)) or (formats.DEFAULT,)
    excluded = [f"--{flag}" for flag in ("name", "dir") if getattr(args, flag)]
    excluded += ["several formats"] if len(names) > 1 else []
    if excluded:
        raise Error(
            "LK0114",
            f"--o and {excluded[0]} exclude each other",
            hint="--o writes one single file",
        )
    if args.o == "-" and sys.stdout.isatty():
        raise Error("LK0114", "standard output is a terminal", hint="lead it into a file or a pipe")
    formats.find_streamable(*names[:1] or ("tar",))
    return (*names, "tar")[:1]


def _check_input(args: argparse.Namespace, outputs: Sequence[Path]) -> None:
    """Refuse what upstream refuses beside --input-tar."""
    if args.pull:
        raise Error("LK0114", "--input-tar and --pull exclude each other", hint="leave one out")
    if Path(args.input_tar).resolve() in [path.resolve() for path in outputs]:
        raise Error(
            "LK0114",
            f"{args.input_tar} is both the input and the output",
            hint="give the output another --name, --dir or --o",
        )


def _warn(args: argparse.Namespace, wish: Wish) -> None:
    """Say which of upstream's flags change nothing."""
    idle = {
        "--input-tar": args.input_tar,
        f"--size {args.size}": wish.size and not set(wish.formats) & set(formats.DISKS),
    }
    why = {
        "--input-tar": "what did not change is taken from the cache",
    }
    if args.learn:
        events.note("this system is for learning: its strict containers are slow", level="warning")
    for flag, given in idle.items():
        if given:
            reason = why.get(flag, "none of the formats is a disk")
            events.note(f"{flag} has no effect: {reason}", level="warning", code="LK0116")


def _sbom_time(args: argparse.Namespace) -> dict[str, str]:
    """The present as SPDX has it, where it is wished for."""
    if not args.sbom_current_time:
        return {}
    return {"sbom_created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def _tell_grants(plan: linuxkit.Plan) -> None:
    """What images' labels let containers do that the YAML does not, for those who want details."""
    for grant in plan.grants:
        lines = ", ".join(grant.privileges)
        events.note(f"{grant.container}: the label of {grant.image} grants {lines}", level="debug")


def _tell_gaps(spec: linuxkit.Spec, system: System) -> None:
    """What containers want of the kernel and will not get."""
    for gap in needs.gaps(spec, system):
        events.note(
            f"{gap.need.container} needs {gap.need.what}, which the kernel lacks: {gap.why}",
            level="warning",
            code="LK0761",
        )


def _tell_exposure(plan: linuxkit.Plan, spec: linuxkit.Spec) -> None:
    """What nothing confines; and what upstream's way leaves open, for a file without a profile."""
    from linuxkit.build.audit import report

    bare = [each.container for each in plan.confinement if each.profile == "none"]
    if bare:
        events.note(f"nothing confines {', '.join(bare)}: profile: none", level="warning")
    if spec.profile is None and any(each.profile == "compat" for each in plan.confinement):
        worst = report.of_plan(plan, spec).worst
        events.note(
            f"profile: compat, for none is named; exposure up to {worst:.1f} of 10 "
            "(linuxkit audit tells more)"
        )


def _stream(system: System, wish: Wish) -> None:
    writer = formats.find_streamable(wish.formats[0])
    if wish.stream == "-":
        writer.write(system, sys.stdout.buffer)
        return
    with files.replacing(Path(wish.stream), sync=False) as out:
        writer.write(system, out)


def _summary(artifacts: Sequence[linuxkit.Artifact], took_s: float) -> str:
    rows = [
        (str(each.directory / file.name), render.size(file.size))
        for each in artifacts
        for file in each.files
    ]
    bootable = [each for each in artifacts if each.boot]
    hint = f"; boot it with: linuxkit run {_runnable(bootable)}" if bootable else ""
    return table(rows) + f"\nbuilt in {took_s:.1f} s{hint}"


def _runnable(bootable: Sequence[linuxkit.Artifact]) -> Path:
    """What `run` is given: the system's name where that is enough, else a file."""
    first = bootable[0]
    if first.boot and first.boot.firmware == "direct":
        return first.directory / first.name
    return first.directory / first.files[0].name


def size_table(sizes: Sequence[Size]) -> str:
    """The parts of a system, what each adds, and their sum."""
    rows = [(s.part, render.size(s.tree), render.size(s.packed)) for s in sizes]
    total = (sum(s.tree for s in sizes), sum(s.packed for s in sizes))
    rows.append(("total", render.size(total[0]), render.size(total[1])))
    return table([("part", "unpacked", "packed"), *rows])


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns: the first to the left, numbers to the right."""
    return render.columns(rows, right=range(1, len(rows[0])))


def _result_json(
    plan: linuxkit.Plan,
    artifacts: Sequence[linuxkit.Artifact],
    sizes: Sequence[Size],
    took_s: float,
    verified: Mapping[str, str],
) -> str:
    value: dict[str, object] = {
        "artifacts": [{**each.to_json(), "directory": str(each.directory)} for each in artifacts],
        "grants": [grant.to_json() for grant in plan.grants],
        "verified": dict(verified),
        "confinement": [each.to_json() for each in plan.confinement],
        "seconds": round(took_s, 3),
    }
    if sizes:
        value["sizes"] = [{"part": s.part, "unpacked": s.tree, "packed": s.packed} for s in sizes]
    return json.dumps(value)
