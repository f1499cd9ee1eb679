"""Which acceleration really works here, found by booting a guest of a few bytes under it.

That /dev/kvm can be opened proves little: under nested virtualisation guests may hang or QEMU may
abort.  So a guest that does nothing but end itself gets three seconds, once per boot of the host
and version of QEMU; the verdict is kept in the cache.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from linuxkit.base import digest, events, files, proc
from linuxkit.base.errors import Error
from linuxkit.base.platform import arch as find_arch
from linuxkit.base.platform import host as host_arch

_KVM = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LIMIT_S = 3.0


class Trial(NamedTuple):
    """A guest that ends itself: its bytes, how it is loaded, and QEMU's exit status then."""

    guest: bytes
    argv: tuple[str, ...]  # "GUEST" stands for the file with the bytes
    status: int


# A boot sector, through the firmware on purpose: it sets up protected mode, timers and interrupts.
#   mov al,0x10; out 0xf4,al; hlt; jmp -3      isa-debug-exit makes that the status 2*0x10+1
_X86 = bytes.fromhex("b010 e6f4 f4 ebfd").ljust(510, b"\0") + b"\x55\xaa"
# PSCI SYSTEM_OFF (Arm DEN0022): movz w0,#8; movk w0,#0x8400,lsl 16; hvc #0; b .
_ARM64 = bytes.fromhex("00018052 0080b072 020000d4 00000014")
# SBI system reset, shutdown (RISC-V SBI 2.0, chapter 10): li a0,0; li a1,0; li a6,0;
# lui a7,0x53525; addi a7,a7,0x354; ecall; j .
_RISCV64 = bytes.fromhex("13050000 93050000 13080000 b7585253 93884835 73000000 6f000000")

TRIALS = {
    "amd64": Trial(
        _X86,
        (
            "-machine", "pc", "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
            "-drive", "file=GUEST,format=raw,if=floppy,readonly=on",
        ),
        33,
    ),
    "arm64": Trial(_ARM64, ("-machine", "virt", "-kernel", "GUEST"), 0),
    "riscv64": Trial(_RISCV64, ("-machine", "virt", "-kernel", "GUEST"), 0),
}  # fmt: skip


def choose(program: Path, arch: str, wanted: str, cache: Path) -> str:
    """The acceleration for a guest of the OCI architecture ``arch``: "kvm" or "tcg".

    What the user ``wanted``, else what LINUXKIT_QEMU_ACCEL says, is taken as it is; otherwise KVM
    is used when a trial under it ends well, and a note says so when it does not.
    """
    chosen = wanted or os.environ.get("LINUXKIT_QEMU_ACCEL", "")
    if chosen:
        return chosen
    if find_arch(arch) != host_arch() or not os.access(_KVM, os.R_OK | os.W_OK):
        return "tcg"
    if arch not in TRIALS:
        return "kvm:tcg"  # QEMU itself falls back where KVM refuses to start
    key = _key(program)
    kept = _recall(cache, key)
    if kept is None:
        kept = works(program, arch, "kvm")
        _remember(cache, key, works=kept)
        if not kept:
            events.note("KVM is there but a trial guest did not run under it; emulating instead")
    return "kvm" if kept else "tcg"


def works(program: Path, arch: str, accel: str) -> bool:
    """Boot the trial guest; true when it ends itself in time."""
    with tempfile.NamedTemporaryFile(prefix="linuxkit-trial-") as file:
        file.write(TRIALS[arch].guest)
        file.flush()
        argv = trial_argv(program, arch, accel, file.name)
        return proc.attempt(argv, timeout_s=_LIMIT_S) == TRIALS[arch].status


def trial_argv(program: Path, arch: str, accel: str, guest: str) -> tuple[str, ...]:
    """The command of a trial whose bytes are in the file ``guest``."""
    words = (word.replace("GUEST", guest) for word in TRIALS[arch].argv)
    cpu = cpu_model(arch, accel)
    return (
        str(program), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-m", "64", "-accel", accel, *(("-cpu", cpu) if cpu else ()), *words,
    )  # fmt: skip


def cpu_model(arch: str, accel: str) -> str:
    """The processor a guest sees; "" leaves it to QEMU."""
    if accel == "kvm":
        return "host"
    # aarch64's "max" has features whose emulation slows the boot, such as pointer authentication.
    return {"amd64": "max", "arm64": "cortex-a57", "s390x": "max"}.get(arch, "")


def _key(program: Path) -> str:
    """Changes when the host reboots, and when QEMU is another one."""
    try:
        facts = program.stat()
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError as error:
        raise files.os_error(error, "read", program) from error
    return digest.of_value([boot, str(program), facts.st_size, facts.st_mtime_ns])


def _file(cache: Path) -> Path:
    return cache / "linuxkit" / "acceleration.json"


def _recall(cache: Path, key: str) -> bool | None:
    try:
        kept = json.loads(_file(cache).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # not tried yet, or not to be trusted: the trial is cheap
    works = kept.get("kvm") if isinstance(kept, dict) and kept.get("key") == key else None
    return works if isinstance(works, bool) else None


def _remember(cache: Path, key: str, *, works: bool) -> None:
    path = _file(cache)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, digest.canonical_json({"key": key, "kvm": works}), sync=False)
    except (OSError, Error) as error:
        events.note(f"the acceleration trial's result is not kept: {error}", level="debug")
