"""Building a whole tree of package folders, several at a time."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import events, proc
from linuxkit.base.errors import Error
from linuxkit.recipes import forest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from linuxkit.recipes.forest import Done
    from linuxkit.recipes.package import Package, Wishes

_PROGRAM = "from linuxkit.cli.main import entry; entry()"
_SWITCHES = (
    "push", "force", "pull", "nobuild", "ignore_cached", "docker", "network", "nonetwork",
    "disable_cache", "enable_cache", "no_sbom", "dry_run", "force_dirty", "dev",
)  # fmt: skip
_VALUES = (
    "platforms", "skip_platforms", "dockerfile", "release", "manifest", "sbom_scanner", "org",
    "tag", "hash", "hash_commit", "hash_path", "build_yml", "cache",
)  # fmt: skip
_LISTS = ("arch", "build_arg_file", "mirror", "cert_file")
_CREDENTIALS = "LINUXKIT_REGISTRY_CREDS"


def build(
    args: argparse.Namespace, wishes: Wishes, arches: Callable[[Package], Sequence[str]]
) -> int:
    """Build every package below the trees that are named, each for its ``arches``.

    Each is built by a process of its own, or on a cluster.  Raises LK0585, LK0586 (not all were
    built) and as forest.load.
    """
    folders = [one for tree in args.package for one in forest.find(Path(tree), args.build_yml)]
    packages = forest.load(folders, wishes)
    needs = forest.graph(packages)
    if args.scheduler:
        return _on_farm(args, packages, needs, arches)
    words = command(args)
    env = dict(os.environ)
    if args.registry_creds:  # other users see a command's words, but not its environment
        env[_CREDENTIALS] = " ".join(args.registry_creds)

    def one(folder: Path) -> tuple[str, ...]:
        done = proc.run([sys.executable, "-c", _PROGRAM, *words, folder], env=env)
        return tuple(done.stdout.decode(errors="replace").splitlines())

    with ThreadPoolExecutor(args.jobs or len(os.sched_getaffinity(0))) as workers:
        return _work(needs, lambda folder: workers.submit(one, folder), as_json=args.json)


def _on_farm(
    args: argparse.Namespace,
    packages: Mapping[Path, Package],
    needs: Mapping[Path, frozenset[Path]],
    arches: Callable[[Package], Sequence[str]],
) -> int:
    """Build on a Dask cluster.  Raises LK0583, LK0588, LK0589."""
    from linuxkit.recipes.publish import require_clean
    from linuxkit.sources.farm import Farm

    for one in packages.values():
        require_clean(one)
    farm = Farm(args.scheduler)
    try:
        return _work(
            needs,
            lambda folder: farm.begin(
                packages[folder], arches(packages[folder]), sbom=not args.no_sbom
            ),
            as_json=args.json,
        )
    finally:
        farm.close()


def _work(
    needs: Mapping[Path, frozenset[Path]],
    begin: Callable[[Path], Future[tuple[str, ...]]],
    *,
    as_json: bool,
) -> int:
    found = []
    for done in forest.work(needs, begin):
        found.append(done)
        _tell(done)
    return _summary(found, as_json=as_json)


def command(args: argparse.Namespace) -> list[str]:
    """The words that build one folder as this command builds all."""
    words = ["pkg", "build", "-q", *(_flag(name) for name in _SWITCHES if getattr(args, name))]
    for name in _VALUES:
        if getattr(args, name):
            words += [_flag(name), getattr(args, name)]
    for name in _LISTS:
        for value in getattr(args, name):
            words += [_flag(name), value]
    return words


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _tell(done: Done) -> None:
    """Tell how it went with one, while others go on."""
    if done.error is not None:
        last = done.error.detail.splitlines()[1:]
        events.note("\n".join([f"{done.folder.name}: failed", *last]), level="warning")
    elif done.blocked_by is not None:
        events.note(f"{done.folder.name}: not begun, for {done.blocked_by.name} failed")
    else:
        events.note(f"{done.folder.name}: done")


def _state(done: Done) -> str:
    if done.error is not None:
        return "failed"
    return "not begun" if done.blocked_by else "done"


def _summary(found: Sequence[Done], *, as_json: bool) -> int:
    rows = [
        {"package": str(done.folder), "state": _state(done), "images": list(done.lines)}
        for done in sorted(found)
    ]
    if as_json:
        import json

        print(json.dumps(rows, indent=1))
    else:
        width = max(len(done.folder.name) for done in found)
        for done in sorted(found):
            lines = done.lines or (_state(done),)
            for line in lines:
                print(f"{done.folder.name:{width}}  {line}")
    bad = sum(_state(done) != "done" for done in found)
    if bad:
        raise Error(
            "LK0586", f"{bad} of {len(found)} packages were not built",
            hint="what went wrong is told above; what is done is not done again",
        )  # fmt: skip
    return 0
