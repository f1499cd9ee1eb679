"""Makes the image of a Dockerfile with Debian's buildah, which needs no daemon.

What is done is decided by :func:`command`, which is pure.  Images to build upon are given to it
from our store, so that it never asks a registry.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.base import events, files, proc
from linuxkit.base.errors import Error, printable
from linuxkit.oci import archive, export, ref
from linuxkit.oci.model import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.store import Store

_POLICY = b'{"default": [{"type": "insecureAcceptAnything"}]}\n'
_REGISTRIES = b'unqualified-search-registries = ["docker.io"]\n'
_TIMEOUT_S = 4 * 3600.0


class Request(NamedTuple):
    """What to make of a Dockerfile."""

    what: str  # for messages
    context: Path
    dockerfile: Path
    arch: str
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    bases: Mapping[str, Descriptor]  # by reference; all of them are in the store
    network: bool
    fresh: bool  # without what earlier builds have left
    epoch: int  # Unix seconds, of everything that is made


class Places(NamedTuple):
    """Where buildah keeps things, all below ``folder``."""

    folder: Path

    @property
    def options(self) -> tuple[str, ...]:
        """The flags that every call has."""
        return (
            "--root", str(self.folder / "root"), "--runroot", str(self.folder / "run"),
            "--storage-driver", "vfs",
        )  # fmt: skip

    @property
    def policy(self) -> str:
        """The file that says what signatures are wanted."""
        return str(self.folder / "policy.json")


def command(request: Request, places: Places, identity: Path) -> list[str]:
    """The words after ``buildah``; it writes the image's number to the file ``identity``."""
    words = [
        *places.options, "build", "--isolation", "chroot", "--signature-policy", places.policy,
        "--pull-never", "--format", "oci", "--layers", "--timestamp", str(request.epoch),
        "--platform", f"linux/{request.arch}", "--iidfile", str(identity),
        "--file", str(request.dockerfile),
    ]  # fmt: skip
    if request.fresh:
        words.append("--no-cache")
    for name, value in sorted(request.arguments.items()):
        words += ["--build-arg", f"{name}={value}"]
    for name, value in sorted(request.labels.items()):
        words += ["--label", f"{name}={value}"]
    for name, found in sorted(request.bases.items()):
        words += ["--build-context", f"{name}=docker-image://{alias(found)}"]
    return [*words, str(request.context)]


def folder(store: Store) -> Path:
    """Where buildah's images and layers are kept."""
    return store.root / "linuxkit" / "buildah"


def build(request: Request, store: Store, name: str) -> Descriptor:
    """Make the image and store it as ``name``.

    Raises LK0901 (no buildah), LK0902 (it failed), LK0569 (not root), LK0102.
    """
    program = proc.find("buildah", package="buildah")
    if os.geteuid() != 0:
        raise Error(
            "LK0569", f"{request.what}: buildah is only used as root",
            hint="build Dockerfiles as root, or make the package with `debian:` or `build:`",
        )  # fmt: skip
    places = Places(folder(store))
    try:
        places.folder.mkdir(parents=True, exist_ok=True)
        places.folder.chmod(0o700)
        files.write(places.folder / "policy.json", _POLICY)
        files.write(places.folder / "registries.conf", _REGISTRIES)
    except OSError as error:
        raise files.os_error(error, "write", places.folder) from error
    env = {"CONTAINERS_REGISTRIES_CONF": str(places.folder / "registries.conf"), "HOME": "/root"}

    def call(verb: str, *words: str) -> str:
        policy = () if verb == "tag" else ("--signature-policy", places.policy)
        argv = [program, *places.options, verb, *policy, *words]
        return proc.run(argv, env=env, timeout_s=_TIMEOUT_S).stdout.decode().strip()

    with files.locked(places.folder / "lock"), contextlib.ExitStack() as stack:
        stack.enter_context(events.task("run", f"{request.what} {request.arch}", unit=""))
        scratch, identity = places.folder / "exchange.tar", places.folder / "image"
        stack.callback(scratch.unlink, missing_ok=True)
        for text, base in request.bases.items():
            _give(call, store, (text, base), request.arch, scratch)
        # Its chroot shares our network; without one there is none to share.
        alone = [] if request.network else [proc.find("unshare", package="util-linux"), "--net"]
        argv = [*alone, program, *command(request, places, identity)]
        done = proc.run(argv, env=env, timeout_s=_TIMEOUT_S)
        for line in done.stdout.decode(errors="replace").splitlines():
            events.note(printable(line), level="debug")
        scratch.unlink(missing_ok=True)
        call("push", identity.read_text().strip(), f"oci-archive:{scratch}")
        with scratch.open("rb") as source:
            return archive.read(source, store, name)[0].descriptor


def alias(base: Descriptor) -> str:
    """The name that an image to build upon has in buildah's storage."""
    return f"localhost/linuxkit/base:{digests.hex_of(base.digest)}"


def _give(
    call: Callable[..., str], store: Store, base: tuple[str, Descriptor], arch: str, scratch: Path
) -> None:
    """Let buildah have an image of ours.

    By its own name too: names that come out of an ARG are not looked for among the contexts.
    """
    text, found = base
    with files.replacing(scratch, sync=False) as out:
        export.write_layout(store, found, alias(found), [Platform("linux", arch)], out)
    pulled = call("pull", "--quiet", "--arch", arch, f"oci-archive:{scratch}")
    name = ref.parse(text)
    names = [f"{name.name}:{name.tag or 'latest'}"] if not name.digest else []
    call("tag", pulled.split()[-1], alias(found), *names)
