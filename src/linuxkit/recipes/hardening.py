"""How hard a kernel is to attack: what kernel-hardening-checker finds, and what we accept of it.

The checker is a Debian package (GPL-3) that is pinned by hash and run as a program of its own.
What is accepted stands, with reasons, in ``packages/hardening/exceptions``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files, proc, resources
from linuxkit.base.errors import Error, printable
from linuxkit.recipes.debian import lock as locks
from linuxkit.recipes.debian.unpacked import unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.lock import Deb
    from linuxkit.recipes.debian.pool import Pool

_CHECKER = "kernel-hardening-checker"
_MODULES = "usr/lib/python3/dist-packages/kernel_hardening_checker/"
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "import kernel_hardening_checker as checker; checker.main()"
)
_TIMEOUT_S = 120
_MAX_BYTES = 1 << 20


class Subject(NamedTuple):
    """What is looked at; an empty text is left out."""

    config: str = ""  # of the kernel, as a .config file
    cmdline: str = ""
    sysctl: str = ""  # "key = value" lines


class Finding(NamedTuple):
    """The checker's verdict on one setting."""

    name: str
    kind: str  # "kconfig", "cmdline" or "sysctl"
    wanted: str
    result: str
    ok: bool
    accepted: str  # why we accept it, if it is not ok; empty: nobody has said


class Score(NamedTuple):
    """All verdicts, and whose they are."""

    checker: str  # name and version
    findings: tuple[Finding, ...]

    @property
    def good(self) -> int:
        """How many settings are as they should be."""
        return sum(finding.ok for finding in self.findings)


def folder() -> Path:
    """Where command line, exceptions and scores lie."""
    return resources.packages() / "hardening"


def cmdline() -> str:
    """The hardened command line of our own kernels."""
    return _text(folder() / "cmdline").strip()


def exceptions() -> Mapping[str, str]:
    """The names that are accepted, and why.  Raises LK0573 for one without a reason, LK0102."""
    found: dict[str, str] = {}
    for line in _text(folder() / "exceptions").splitlines():
        name, _, reason = line.partition(" ")
        if not name or name.startswith("#"):
            continue
        if not reason.strip():
            raise Error("LK0573", f'the exception "{printable(name)}" has no reason')
        found[name] = reason.strip()
    return found


def check(subject: Subject, pool: Pool, store: Store) -> Score:
    """Let the checker look at ``subject``; it is fetched where the store lacks it.

    Raises LK0572 (it refused what it was given), LK0573, LK0902, LK0903 and what fetching raises.
    """
    debs = locks.load(folder() / locks.NAME).debs_of(_CHECKER, "all")
    pool.fetch(debs, "the checker of kernels")
    with tempfile.TemporaryDirectory(prefix="linuxkit-") as name:
        scratch = Path(name)
        try:
            _unpack(debs, pool, store, scratch / "kernel_hardening_checker")
            words = _words(subject, scratch)
        except OSError as error:
            raise files.os_error(error, "write", scratch) from error
        argv = (sys.executable, "-I", "-S", "-c", _START, name, *words, "-m", "json")
        said = proc.run(argv, cwd=scratch, timeout_s=_TIMEOUT_S).stdout
    return Score(f"{_CHECKER} {debs[0].version}", _findings(said))


def _unpack(debs: Sequence[Deb], pool: Pool, store: Store, target: Path) -> None:
    """Write the checker's modules, which are all that it needs, into the new folder ``target``."""
    target.mkdir()
    with unpacked(debs, pool, store) as found:
        for path in found.entries:
            name = path.removeprefix(_MODULES)
            entry = found.file(path)
            if name != path and name.endswith(".py") and "/" not in name and entry is not None:
                (target / name).write_bytes(b"".join(entry.content.chunks()))


def _words(subject: Subject, scratch: Path) -> list[str]:
    words: list[str] = []
    for flag, name, text in (
        ("-c", "config", subject.config),
        ("-l", "cmdline", subject.cmdline),
        ("-s", "sysctl", subject.sysctl),
    ):
        if text:
            (scratch / name).write_text(text if text.endswith("\n") else text + "\n", "utf-8")
            words += [flag, name]
    return words


def _findings(said: bytes) -> tuple[Finding, ...]:
    accepted = exceptions()
    try:
        return tuple(
            Finding(
                row["option_name"], row["type"], row["desired_val"], row["check_result"],
                row["check_result_bool"], "" if row["check_result_bool"]
                else accepted.get(row["option_name"], ""),
            )
            for row in json.loads(said)
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise Error(
            "LK0572", "the checker of kernels cannot make anything of this",
            hint="it needs a whole configuration, as `config` in kernel images",
            detail=printable(said.decode(errors="replace")[:400]),
        ) from error  # fmt: skip


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as source:
            return source.read(_MAX_BYTES)
    except OSError as error:
        raise files.os_error(error, "read", path) from error
