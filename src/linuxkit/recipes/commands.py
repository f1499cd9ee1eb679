"""The driver ``build:``: sources in, commands in a sandbox, chosen files out as one tree.

What the commands see of this machine is decided here; how they are cut off from it in ``sandbox``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest, events, files, platform, proc
from linuxkit.base.errors import Error, printable
from linuxkit.recipes import buildroot, sandbox, tag, unpack
from linuxkit.recipes.outputs import Outputs
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.lock import Deb
    from linuxkit.recipes.debian.pool import Pool
    from linuxkit.recipes.recipe import Commands, Limits, Recipe
    from linuxkit.tree.entry import Content

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OPEN_FILES = 4096


class Made(NamedTuple):
    """What the commands have left, and the time that everything in the sandbox told."""

    entries: Sequence[Entry]
    epoch: int


NOTHING = Made((), 0)


class Needs(NamedTuple):
    """What the lock names for the commands of a recipe."""

    root: Sequence[Deb]  # packages of the build root
    sources: Sequence[Deb]  # archives of source packages


class Bench(NamedTuple):
    """What is worked with."""

    pool: Pool
    store: Store
    out: BinaryIO  # where the contents of what is made lie; must outlive it


def run(recipe: Recipe, needs: Needs, arch: str, bench: Bench) -> Made:
    """Run the commands of ``recipe`` for the OCI architecture ``arch`` and take what they made.

    Raises LK0560 (a command failed; the log stays),
    LK0561, LK0562, LK0563 (an output that is not there), LK0564 (this machine cannot run the
    root's programs), LK0102.
    """
    pool, store, out = bench
    asked = recipe.says.build
    if asked is None:
        raise TypeError(recipe.name)
    _require_machine(recipe, asked.runs_on(arch))
    parts = buildroot.Parts(f"{recipe.name} {arch}", needs.root, asked.links)
    root = buildroot.make(parts, pool, store)
    pool.fetch(needs.sources, f"sources of {recipe.name}")
    with _scratch(store) as folder:
        places = sandbox.Places(
            root.folder, folder / "src", folder / "build", folder / "tmp"
        )
        with contextlib.ExitStack() as stack:
            _fill(_contents(recipe, needs, pool, stack), root.epoch, places)
        job = sandbox.Job(
            places, asked.steps, _environment(asked, arch, root.epoch),
            _limits(asked.limits), asked.limits.timeout,
        )  # fmt: skip
        _log(recipe, arch, store, job)
        _take(recipe, asked, places.build, root.epoch, out)
    return Made(list(tar.read(out.fileno())), root.epoch)


def _require_machine(recipe: Recipe, wanted: str) -> None:
    here = platform.host().oci
    if wanted != here:
        raise Error(
            "LK0564", f'the commands of "{recipe.name}" run on {wanted}; this machine is {here}',
            hint=f"build it on {wanted}, or compile across: build: {{machine: {here}}}",
            where=recipe.where,
        )  # fmt: skip


@contextlib.contextmanager
def _scratch(store: Store) -> Iterator[Path]:
    """A folder of our own on the store's disk, gone after the block."""
    folder = store.root / "linuxkit" / "builds"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder))
    except OSError as error:
        raise files.os_error(error, "make a scratch folder in", folder) from error
    try:
        yield made
    finally:
        remove(made)


def remove(folder: Path) -> None:
    """Remove a folder with whatever commands have left in it, closed folders too."""
    for path, names, _files, handle in os.fwalk(folder, follow_symlinks=False):
        del path
        for name in names:
            with contextlib.suppress(OSError):
                if stat.S_ISDIR(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
                    os.chmod(name, 0o700, dir_fd=handle)
    shutil.rmtree(folder, ignore_errors=True)


def _contents(
    recipe: Recipe, needs: Needs, pool: Pool, stack: contextlib.ExitStack
) -> Iterator[tuple[str, int, Content]]:
    """What lies in /src: the files that the tag is made of, and archives of source packages."""
    for path, mode, data in tag.contents(recipe.folder):
        yield path, mode, Bytes(data)
    for deb in needs.sources:
        handle = stack.enter_context(pool.open(deb))
        yield f"sources/{deb.package}", 0o644, Slice(handle.fileno(), 0, deb.size)


def _fill(
    contents: Iterable[tuple[str, int, Content]], epoch: int, places: sandbox.Places
) -> None:
    """Make the folders and the sources, with fixed facts."""
    folders: dict[str, Entry] = {}
    entries: list[Entry] = []
    for path, mode, content in contents:
        above = path
        while above := above.rpartition("/")[0]:
            folders[above] = Entry(above, Kind.DIR, 0o755)
        entries.append(Entry(path, Kind.FILE, mode, mtime=epoch, content=content))
    try:
        owner = sandbox.owner()
        for place in (places.src, places.build, places.tmp):
            place.mkdir(mode=0o755)
            place.chmod(0o755)
            if owner is not None:
                os.chown(place, owner, owner)
        tree = [*(folders[path] for path in sorted(folders)), *entries]
        unpack.write(tree, places.src, owner)
        for path in sorted(folders, reverse=True):
            os.utime(places.src / path, (epoch, epoch))
        os.utime(places.src, (epoch, epoch))
    except OSError as error:
        raise files.os_error(error, "write", places.src) from error


def _environment(asked: Commands, arch: str, epoch: int) -> dict[str, str]:
    """All that the commands know of the world around them."""
    target, machine = platform.arch(arch), platform.arch(asked.runs_on(arch))
    fixed = {
        "PATH": _PATH, "HOME": "/build", "USER": "build", "LOGNAME": "build", "SHELL": "/bin/bash",
        "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(epoch),
        "SRC": "/src", "TARGET_ARCH": target.oci, "TARGET_KERNEL_ARCH": target.kernel,
        "TARGET_MULTIARCH": target.multiarch, "MACHINE_ARCH": machine.oci,
        "JOBS": str(len(os.sched_getaffinity(0))),
    }  # fmt: skip
    return {**fixed, **dict(text.split("=", 1) for text in asked.env)}


def _limits(asked: Limits) -> dict[str, int]:
    return {
        "RLIMIT_NPROC": asked.processes,
        "RLIMIT_AS": asked.memory << 20,
        "RLIMIT_FSIZE": asked.file << 20,
        "RLIMIT_NOFILE": _OPEN_FILES,
        "RLIMIT_CORE": 0,
    }


def _log(recipe: Recipe, arch: str, store: Store, job: sandbox.Job) -> None:
    """Run the job; its log stays when it fails.  Raises LK0560 and as sandbox.run."""
    folder = store.root / "linuxkit" / "logs"
    place = folder / f"{recipe.name}-{arch}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with events.task("run", f"{recipe.name} {arch}", unit=""), place.open("wb") as log:
            failed = sandbox.run(job, log)
    except OSError as error:
        raise files.os_error(error, "write", place) from error
    if failed is None:
        place.unlink(missing_ok=True)
        return
    script = recipe.says.build.steps[failed.step] if recipe.says.build else ""
    first = printable(script.strip().split("\n")[0], 80)
    how = proc.status(failed.status)
    raise Error(
        "LK0560", f'step {failed.step + 1} of "{recipe.name}" {how}: {first}',
        where=recipe.steps[failed.step] if failed.step < len(recipe.steps) else recipe.where,
        hint=f"all that it said is in {place}", detail=failed.tail,
    )  # fmt: skip


def _take(recipe: Recipe, asked: Commands, build: Path, epoch: int, out: BinaryIO) -> None:
    """Write the outputs to ``out`` as a tar archive."""
    found = Outputs(build, epoch)
    try:
        for output in asked.outputs:
            found.add(output)
        writer = tar.Writer(digest.HashingWriter(out))
        for entry in found.entries():
            writer.add(entry)
        writer.close()
        out.flush()
    except Error as error:
        error.where = error.where or recipe.where
        raise
    except OSError as error:
        raise files.os_error(error, f"take the outputs of {recipe.name}") from error
    finally:
        found.close()
