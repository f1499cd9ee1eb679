"""Compiles the guest's programs for every architecture into ``src/linuxkit/data/guest/ARCH``.

By hand: ``python scripts/build_guest.py [amd64 arm64 ...]``.  The wheel's build calls it as a hatch
build hook.  The compiler is the one in the ``ziglang`` wheel, so no cross toolchain is needed; the
bytes depend on the sources, the flags and its version only.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    Hook = BuildHookInterface[Any]
else:
    try:
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface as Hook
    except ImportError:  # called by hand, outside of a build
        Hook = object

ROOT = Path(__file__).resolve().parent.parent
GUEST = ROOT / "guest"
DATA = ROOT / "src" / "linuxkit" / "data" / "guest"
TARGETS = {
    "amd64": "x86_64-linux-musl",
    "arm64": "aarch64-linux-musl",
    "riscv64": "riscv64-linux-musl",
    "s390x": "s390x-linux-musl",
}
FLAGS = (
    "-std=c17", "-D_GNU_SOURCE", "-Os", "-g0", "-static", "-fPIE", "-pie", "-s",
    "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
    "-fstack-protector-strong", "-ffunction-sections", "-fdata-sections",
    "-Wl,--gc-sections,-z,relro,-z,now",
)  # fmt: skip
UEFI_TARGETS = {"amd64": "x86_64-uefi", "arm64": "aarch64-uefi"}
UEFI_FLAGS = (
    "-std=c17", "-Os", "-g0", "-ffreestanding", "-nostdlib", "-fno-stack-protector",
    "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
)  # fmt: skip
UEFI = ("chainload",)
"""Programs that firmware runs, not Linux."""
PROGRAMS = {
    "init": 150 * 1024, "service": 150 * 1024, "confine": 64 * 1024, "learn": 64 * 1024,
    "secrets": 64 * 1024, "stage": 64 * 1024, "metadata": 96 * 1024, "ctr-runtime": 64 * 1024,
    "logs": 128 * 1024, "vsudd": 64 * 1024, "vmm": 64 * 1024, "chainload": 4 * 1024,
}  # fmt: skip
"""Name → how many bytes it may have; its files are below ``guest`` and ``include``."""


def sources(program: str) -> list[Path]:
    """Everything that goes into the program, in a fixed order."""
    return sorted([*GUEST.glob("include/*.h"), *GUEST.glob(f"{program}/*.[ch]")])


def programs(arch: str) -> list[str]:
    """Those that there are for ``arch``."""
    return [name for name in PROGRAMS if name not in UEFI or arch in UEFI_TARGETS]


def options(arch: str, program: str) -> tuple[str, ...]:
    """The target and the flags that the compiler gets."""
    if program in UEFI:
        return UEFI_TARGETS[arch], *UEFI_FLAGS
    return TARGETS[arch], *FLAGS


def stamp(arch: str, program: str) -> str:
    """What the program for ``arch`` depends on, as one hash."""
    seen = hashlib.sha256()
    version = importlib.metadata.version("ziglang")
    for word in (version, *options(arch, program)):
        seen.update(word.encode() + b"\0")
    for path in sources(program):
        data = path.read_bytes()
        seen.update(f"{path.relative_to(GUEST)} {len(data)}\n".encode() + data)
    return seen.hexdigest()


def build(arch: str) -> bool:
    """Compile what has changed for ``arch``; returns whether anything had."""
    done = [_build(arch, name) for name in programs(arch)]
    return any(done)


def _build(arch: str, name: str) -> bool:
    program = DATA / arch / name
    mark = GUEST / "build" / f"{arch}-{name}.stamp"
    wanted = stamp(arch, name)
    if program.is_file() and mark.is_file():
        done = hashlib.sha256(program.read_bytes()).hexdigest()
        if mark.read_text() == f"{wanted} {done}\n":
            return False
    program.parent.mkdir(parents=True, exist_ok=True)
    mark.parent.mkdir(parents=True, exist_ok=True)
    # A name of our own: several builds may run in one checkout.
    fresh = program.with_name(f".{name}.{os.getpid()}")
    try:
        compile_for(arch, fresh, name)
        data = fresh.read_bytes()
        if len(data) > PROGRAMS[name]:
            sys.exit(f"{name} for {arch} has {len(data)} bytes; {PROGRAMS[name]} are allowed")
        fresh.chmod(0o755)
        fresh.replace(program)
    finally:
        fresh.unlink(missing_ok=True)
    mark.write_text(f"{wanted} {hashlib.sha256(data).hexdigest()}\n")
    return True


def compile_for(arch: str, out: Path, program: str = "init") -> None:
    """Run the compiler; paths are relative to ``guest`` so that none gets into the bytes."""
    files = [str(path.relative_to(GUEST)) for path in sources(program) if path.suffix == ".c"]
    argv = [sys.executable, "-m", "ziglang", "cc", "-target", *options(arch, program)]
    done = subprocess.run([*argv, *files, "-o", str(out)], cwd=GUEST, check=False)
    if done.returncode:
        sys.exit(f"compiling {program} for {arch} failed")


def build_all(arches: Iterable[str]) -> None:
    """Compile for each of ``arches`` and say so."""
    for arch in arches:
        if arch not in TARGETS:
            sys.exit(f'unknown architecture "{arch}"; known: {", ".join(TARGETS)}')
        what = "built" if build(arch) else "up to date"
        sizes = ", ".join(
            f"{name} {(DATA / arch / name).stat().st_size}" for name in programs(arch)
        )
        print(f"{arch}: {what}; bytes: {sizes}")


def chosen(words: Sequence[str]) -> Sequence[str]:
    """The architectures named in ``words``, else in LINUXKIT_GUEST_ARCHES, else all."""
    named = os.environ.get("LINUXKIT_GUEST_ARCHES", "").replace(",", " ").split()
    return words or named or tuple(TARGETS)


def host() -> Sequence[str]:
    """The architecture of this machine, if it is one of ours."""
    machine = os.uname().machine
    return [arch for arch, target in TARGETS.items() if target.startswith(machine + "-")]


class CustomBuildHook(Hook):
    """Adds the programs to the wheel; they are ignored by git and so by hatch."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatch before it collects files; ``version`` is "standard" or "editable"."""
        if self.target_name != "wheel":
            return
        if version == "editable":
            # The others by hand: the first build of each takes a minute.
            build_all(chosen(()) if "LINUXKIT_GUEST_ARCHES" in os.environ else host())
            return
        arches = chosen(())
        build_all(arches)
        for arch in arches:  # and nothing that an earlier build has left there
            build_data["force_include"][str(DATA / arch)] = f"linuxkit/data/guest/{arch}"


if __name__ == "__main__":
    build_all(chosen(sys.argv[1:]))
