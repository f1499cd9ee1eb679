"""An emulated TPM 2.0: swtpm, a process of its own beside the machine's."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from linuxkit.base import files, proc
from linuxkit.base.errors import Error

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

DEVICES = {"amd64": "tpm-crb", "arm64": "tpm-tis-device"}
"""QEMU's device by the OCI architecture."""


def check(arch: str, machine: str) -> None:
    """Whether such a machine can have one.  Raises LK0871."""
    if arch not in DEVICES or machine == "microvm":
        raise Error(
            "LK0871", f'the machine "{machine}" for {arch} has no place for a TPM',
            hint="leave --tpm out, or take the usual machine of amd64 or arm64",
        )  # fmt: skip


def start(state: Path) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start one that keeps what it knows in ``state``; the process, and QEMU's end of the wire.

    It ends when QEMU does; the caller must wait for it.  Raises LK0901 (no swtpm), LK0902, LK0102.
    """
    program = proc.find("swtpm", package="swtpm")
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise files.os_error(error, "make", state) from error
    qemu, ours = socket.socketpair()
    with ours:
        try:
            # QEMU itself starts the TPM up, so it must not be told to start at once.
            process = proc.start(
                (
                    program, "socket", "--tpm2", "--tpmstate", f"dir={state}",
                    "--ctrl", f"type=unixio,clientfd={ours.fileno()}", "--terminate",
                ),
                stdin=proc.DEVNULL, stdout=proc.DEVNULL, stderr=proc.DEVNULL,
                pass_fds=(ours.fileno(),),
            )  # fmt: skip
        except BaseException:
            qemu.close()
            raise
    return process, qemu


def words(arch: str, handle: int) -> Iterator[str]:
    """The arguments of QEMU for it; ``handle`` is its end of the wire."""
    yield from ("-chardev", f"socket,id=tpm,fd={handle}")
    yield from ("-tpmdev", "emulator,id=tpm0,chardev=tpm")
    yield from ("-device", f"{DEVICES[arch]},tpmdev=tpm0")
