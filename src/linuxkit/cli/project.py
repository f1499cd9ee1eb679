"""A system as the command line names it: its YAML, its lock, and where images come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import linuxkit
from linuxkit.base import events
from linuxkit.base.errors import Error, raise_all
from linuxkit.cli import inputs
from linuxkit.oci.model import Platform

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from linuxkit.base.digest import Digest
    from linuxkit.build.source import Source
    from linuxkit.cli.arguments import Parser
    from linuxkit.oci.ref import Ref
    from linuxkit.sources.includes import Includes
    from linuxkit.sources.lock import Lock
    from linuxkit.sources.trusted import Guard
    from linuxkit.spec.model import Spec

_SHOWN = 3  # names in a line


class Project(NamedTuple):
    """What a build works with."""

    store: linuxkit.Store
    spec: Spec
    lock: Lock | None
    sources: Sequence[Source]
    arch: str  # as OCI has it
    includes: Mapping[str, Digest]  # URL → the text that was read there
    guard: Guard | None  # of the trust policies


def add(parser: Parser) -> None:
    """The flags about the lock."""
    parser.add_switch("--locked", "fail where linuxkit.lock does not settle what a name stands for")
    parser.add_switch("--no-lock", "do not look at linuxkit.lock")
    add_trust(parser)
    parser.add_argument(
        "--ignore-trust", "--disable-content-trust", action="store_true",
        help="go on where the YAML's trust: wants signatures that no policy has keys for",
    )


def add_trust(parser: Parser) -> None:
    """The flag about signatures."""
    text = "who must have signed images (else $LINUXKIT_TRUST_POLICY, else ~/.linuxkit/trust.yml)"
    parser.add_value("--trust-policy", "FILE", text)


def open_project(
    args: argparse.Namespace, *, offline: bool = False, architecture: str = ""
) -> Project:
    """Read the lock and the YAML, for ``architecture`` or that of ``--arch``.

    Raises LK0114, LK0435 for everything that is not pinned where ``--locked`` asks for that, and
    as open_lock and linuxkit.load.
    """
    from linuxkit.sources.includes import Includes

    if args.locked and args.no_lock:
        raise Error("LK0114", "--locked and --no-lock exclude each other")
    lock = _lock(args)
    store = linuxkit.open_store(args.cache or None)
    arch = architecture or inputs.arch(args.arch)
    includes = Includes(store, lock.includes if lock else {}, offline=offline)
    folders: dict[str, Path] = {}
    spec = inputs.load(
        args, architecture=arch, lock=lock, remote=includes, folders=folders
    )
    if args.locked or lock is not None:
        _compare(lock, spec, arch, includes, strict=args.locked)

    def pinned(ref: Ref) -> bool:
        return bool(ref.digest) or (lock is not None and lock.pin(ref) is not None)

    guard = guard_of(args, store, offline=offline, pinned=pinned)
    if not getattr(args, "dry_run", False):
        _require_trust(args, spec, guard)
    sources = linuxkit.default_sources(
        store,
        mirrors=args.mirror,
        certs=args.cert_file,
        logins=args.registry_creds,
        pull=getattr(args, "pull", False),
        lock=lock,
        engine=getattr(args, "docker", False),
        guard=guard,
        folders=folders,
    )
    return Project(store, spec, lock, sources, arch, includes.seen, guard)


def guard_of(
    args: argparse.Namespace,
    store: linuxkit.Store,
    *,
    offline: bool = False,
    pinned: Callable[[Ref], bool],
) -> Guard | None:
    """Who keeps to the trust policies; None where there are none.  Raises LK0443 and LK0444."""
    from linuxkit.sources import policy
    from linuxkit.sources.registry import Registries

    found = policy.find_all(args.files, args.trust_policy, os.environ)
    if not found:
        return None
    from linuxkit.sources.trusted import Guard

    registries = Registries(store, args.mirror, args.cert_file, args.registry_creds)
    return Guard(found, store, None if offline else lambda: registries.client, pinned)


def _require_trust(args: argparse.Namespace, spec: Spec, guard: Guard | None) -> None:
    """Raise LK0445 where the YAML asks for signatures that nobody can check."""
    if spec.trust is None:
        return
    from linuxkit.sources import policy

    broken = list(policy.broken_trust(spec, guard.policies if guard else ()))
    if not args.ignore_trust:
        raise_all(broken)
    elif broken:
        names = ", ".join(error.message.split()[2] for error in broken[:_SHOWN])
        events.note(f"trust: is ignored for {names}", level="warning", code="LK0446")


def _lock(args: argparse.Namespace) -> Lock | None:
    if not args.no_lock:
        return linuxkit.open_lock(args.files)
    from linuxkit.sources import lock

    path = lock.place(args.files)
    if path.exists():
        events.note(f"{path} is not looked at", level="warning", code="LK0436")
    return None


def _compare(
    lock: Lock | None, spec: Spec, arch: str, includes: Includes, *, strict: bool
) -> None:
    """Raise LK0435 for everything that the lock does not settle, or only tell of it."""
    from linuxkit.sources.lock import EMPTY

    errors = list(_unpinned(lock or EMPTY, spec, arch, includes))
    if strict:
        raise_all(errors)
    elif errors:
        names = [error.message.partition(" ")[0] for error in errors]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        events.note(
            f"not in linuxkit.lock: {', '.join(names[:_SHOWN])}{more}; linuxkit lock adds them",
            level="warning",
            code="LK0436",
        )


def _unpinned(lock: Lock, spec: Spec, arch: str, includes: Includes) -> Iterator[Error]:
    from linuxkit.sources.locked import unpinned

    hint = "write it down: linuxkit lock FILE..."
    for url, where in includes.unpinned():
        yield Error("LK0435", f"{url} is not in linuxkit.lock", hint=hint, where=where)
    for want in unpinned(lock, spec, Platform("linux", arch)):
        yield Error(
            "LK0435", f"{want.ref} is not in linuxkit.lock", hint=hint, where=want.where
        )
