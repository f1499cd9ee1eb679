"""``linuxkit run``: boots a built system on this terminal and says whether it was well."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit import runners
from linuxkit.base import events, files, platform
from linuxkit.base.errors import Error, printable
from linuxkit.cli import build, render
from linuxkit.runners import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from linuxkit.build.artifact import Artifact
    from linuxkit.cli.arguments import Parser


def configure(parser: Parser) -> None:
    """Upstream's flags of `run` and `run qemu`, and our own."""
    parser.description = (
        "Boot what `linuxkit build` wrote, on this terminal.  Ctrl-A x leaves, Ctrl-A h helps.\n"
        "Status 0: the guest was well and ended in order; 4: it was not; 124: --timeout.\n"
        "`linuxkit run uml NAME` boots it on user-mode Linux: quick without KVM, with no QEMU."
    )
    text = "the system's name, or a file of it, with its folder; before it the runner, if not qemu"
    parser.add_argument("words", nargs="+", metavar="NAME", help=text)
    add, switch = parser.add_value, parser.add_switch
    add("--cpus", "N", "processors (1)", convert=int, default=1)
    add("--mem", "MIB", "memory in MiB (1024)", convert=int, default=1024)
    text = "a disk, made when it is missing and has a size (in GiB, or MiB with M); repeat for more"
    words = "[file=]PATH[,size=N[M|G]][,format=F]"
    add("--disk", words, text, convert=options.parse_disk, default=[])
    text = "lead a port of this machine (127.0.0.1 unless ADDR says more) to one of the guest"
    words = "[ADDR:]HOST:GUEST[/tcp|udp]"
    add("--publish", words, text, convert=options.parse_forward, default=[])
    text = "user (the usual one), none, bridge,NAME or tap,NAME"
    usual = options.Network()
    add("--networking", "KIND", text, convert=options.parse_network, default=usual)
    add("--arch", "ARCH", "architecture, of files that do not say it themselves")
    add("--machine", "NAME", "kind of machine: q35, pc, raspi3b … (else what the kernel needs)")
    add("--accel", "NAME", "kvm or tcg (else found by a trial)")
    add("--qemu", "PATH", "the QEMU program to use")
    add("--data", "TEXT", "give the machine a CD with this text in the file `config`", default=None)
    add("--data-file", "FILE", "the same with what FILE says")
    text = "give the machine a secret, for containers with `secrets: [NAME]`; repeat for more"
    add("--secret", "NAME=FILE", text, convert=options.parse_secret, default=[])
    switch("--uefi", "start with UEFI firmware, whatever the image is made for")
    add("--fw", "FILE", "UEFI firmware (else that of `linuxkit tools`)")
    text = "UEFI with Secure Boot: keys of `linuxkit keys`, or a file of firmware's variables"
    add("--secure-boot", "KEYDIR|VARS", text)
    switch("--tpm", "give it a TPM 2.0 (swtpm), which remembers in the folder of --state")
    switch("--iso", "the file is a CD-ROM image, although its name does not say so")
    add("--device", "TEXT", "a device, in QEMU's words", default=[])
    add("--state", "DIR", "folder of disks made here (else NAME-state)")
    switch("--detach", "run it in the background; `linuxkit ps`, `logs`, `exec`, `stop` reach it")
    add("--name", "NAME", "what to call it there (else the system's name)")
    switch("--no-reboot", "end when the guest reboots")
    text = "end the machine after this time (never)"
    add("--timeout", "SECONDS", text, convert=_seconds, default=None)
    add("--report", "FILE", "write what the guest reported, as JSON")


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 1e9:  # noqa: PLR2004 - also refuses "nan"
        raise Error("LK0113", f'--timeout: "{printable(text)}" is not a number of seconds')
    return number


def main(args: argparse.Namespace) -> int:
    """Run it; the status is the guest's judgement."""
    runner, name = _target(args.words)
    arch = platform.arch(args.arch).oci if args.arch else ""
    artifact = runners.locate(name, arch, cd=args.iso)
    machine = runners.Options(
        cpus=args.cpus,
        memory_mib=args.mem,
        disks=tuple(args.disk),
        forwards=tuple(args.publish),
        network=args.networking,
        machine=args.machine,
        accel=args.accel,
        program=args.qemu,
        devices=tuple(args.device),
        state=Path(args.state) if args.state else None,
        cache=Path(args.cache) if args.cache else None,
        reboot=not args.no_reboot,
        timeout_s=args.timeout,
        data=_data(args),
        secrets=tuple(args.secret),
        firmware="uefi" if args.uefi else "",
        firmware_file=args.fw,
        secure_boot=Path(args.secure_boot) if args.secure_boot else None,
        tpm=args.tpm,
        tools=linuxkit.own_tools(linuxkit.open_store(args.cache or None)),
    )
    for forward in machine.forwards:
        events.note(
            f"{forward.address}:{forward.host}/{forward.protocol} leads to the guest's port "
            f"{forward.guest}"
        )
    if args.detach:
        return _detach(args, artifact, machine, runner)
    result = runners.run(artifact, machine, runner=runner)
    if args.report:
        files.write(Path(args.report), _report(result), sync=False)
    _tell(result, args)
    return result.status


def _detach(
    args: argparse.Namespace, artifact: Artifact, machine: runners.Options, runner: str
) -> int:
    if args.timeout or args.report:
        flag = "--timeout" if args.timeout else "--report"
        raise Error("LK0113", f"{flag} cannot be had with --detach")
    started = runners.detach(args.name or artifact.name, artifact, machine, runner=runner)
    if args.json:
        print(json.dumps({"name": started.name, "pid": started.pid}))
    else:
        print(started.name)
    return 0


def _data(args: argparse.Namespace) -> bytes | None:
    """What the machine is told.  Raises LK0102, LK0114."""
    if not args.data_file:
        return None if args.data is None else str(args.data).encode()
    if args.data is not None:
        raise Error("LK0114", "--data and --data-file exclude each other")
    path = Path(args.data_file)
    try:
        return path.read_bytes()
    except OSError as error:
        raise files.os_error(error, "read", path) from error


def _target(words: Sequence[str]) -> tuple[str, str]:
    """``NAME``, or the runner and NAME, which is how upstream chooses one."""
    if len(words) == 1:
        return runners.DEFAULT, words[0]
    if len(words) > 2:  # noqa: PLR2004 - runner and name
        raise Error("LK0113", f'unexpected argument "{words[2]}"', hint="run takes one system")
    runners.find(words[0])
    return words[0], words[1]


def _tell(result: runners.Result, args: argparse.Namespace) -> None:
    if args.json:
        print(_report(result).decode().rstrip())
        return
    if args.verbose > 1 and result.records:
        rows = [
            (f"{r.name} {r.state}".strip(), f"{r.t_ms / 1000:.3f} s", f"{r.host_ms / 1000:.3f} s")
            for r in result.records
        ]
        sys.stderr.write(build.table([("boot", "guest", "host"), *rows]) + "\n")
    for line in _verdict(result):
        events.note(line, level="warning" if result.status else "info")


def _verdict(result: runners.Result) -> list[str]:
    if result.timed_out:
        return [f"the machine was ended after {result.elapsed_s:.0f} s"]
    if not result.reported:
        return [f"the guest reported nothing; {result.reason or 'QEMU ended'}"]
    if result.status == 0:
        return ["the guest was well" + _readiness(result)]
    why = [f"{name} failed" for name in result.failed]
    if not result.ready:
        why.append("the guest never became ready")
    if not result.power and not result.reason.startswith("host-"):
        why.append(f"it ended without saying so ({result.reason or 'unknown reason'})")
    return why or ["the guest was not well"]


def _readiness(result: runners.Result) -> str:
    """When it was ready, and how much memory it used then."""
    ready = next((r for r in result.records if r.state == "ready"), None)
    if ready is None:
        return ""
    text = f", ready after {ready.t_ms / 1000:.2f} s"
    if ready.mem_total_kib is None or ready.mem_available_kib is None:
        return text
    used = max(0, ready.mem_total_kib - ready.mem_available_kib)
    return f"{text} with {render.size(used << 10)} of memory in use"


def _report(result: runners.Result) -> bytes:
    value = {
        **result._asdict(),
        "elapsed_s": round(result.elapsed_s, 3),
        "records": [record._asdict() for record in result.records],
    }
    return (json.dumps(value, indent=2) + "\n").encode()
