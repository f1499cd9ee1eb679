"""The images of a container engine on this machine: Docker's, or Podman's, which speaks the same.

The API is Docker's (``GET /images/NAME/json`` and ``/images/NAME/get``, docs.docker.com/reference/
api/engine); what it sends is what ``docker save`` writes.
"""

from __future__ import annotations

import contextlib
import json
import os
from http.client import HTTPException
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from linuxkit.base import digest as digests
from linuxkit.base import events
from linuxkit.base.errors import Error, printable
from linuxkit.build.source import Look
from linuxkit.net import engine
from linuxkit.oci import archive
from linuxkit.sources import kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from http.client import HTTPResponse

    from linuxkit.net.engine import Address
    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.store import Store

_SOCKETS = (
    "/var/run/docker.sock",
    "{XDG_RUNTIME_DIR}/docker.sock",
    "{XDG_RUNTIME_DIR}/podman/podman.sock",
    "/run/podman/podman.sock",
    "{HOME}/.docker/run/docker.sock",
)
_HUB = "docker.io/"
_ANSWER_LIMIT = 4 << 20
_OK, _NOT_FOUND = 200, 404


class Found(NamedTuple):
    """An image that the engine has, by the name that it knows it under."""

    name: str
    id: str
    os: str
    arch: str
    size: int  # bytes, unpacked


class Engine:
    """Looks for images in the engine, which is found when it is first asked."""

    name = "container engine"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at: Address | None = None

    def find(self, ref: Ref, platform: Platform, /) -> Descriptor | None:
        """The image, brought into the store without a name; None when the engine has it not.

        Raises LK0115 (there is no engine, or it fails), LK0327 (what it sends is no image), LK06xx.
        """
        found = self.inspect(ref, platform)
        if found is None:
            return None
        key = digests.of_value(["engine", found.id])
        images = kept.find(self._store, key)
        if images is None:
            with events.task("copy", found.name, found.size), self._get(found.name) as answer:
                images = archive.bring(answer, self._store)
            kept.keep(self._store, key, images)
        only = len({each.descriptor.digest for each in images}) == 1
        return archive.choose(images, "" if only else found.name, str(self.address)).descriptor

    def missing(self, ref: Ref, platform: Platform, /) -> Sequence[str] | None:
        """Nothing for what the engine has, for that needs no network."""
        return None if self.inspect(ref, platform) is None else ()

    @property
    def address(self) -> Address:
        """Where the engine is.  Raises LK0115."""
        if self._at is None:
            self._at = _reach()
        return self._at

    def look(self, ref: Ref, platform: Platform, /, *, offline: bool) -> Look | None:  # noqa: ARG002 - it is here
        """What the engine says."""
        if ref.is_local:
            return None
        found = self.inspect(ref, platform)
        if found is None:
            return Look(False, str(self.address))
        offers = (f"{found.os}/{found.arch}",)
        note = f"called {found.name}, id {found.id}"
        return Look(True, str(self.address), "", offers, found.size, note)

    def inspect(self, ref: Ref, platform: Platform) -> Found | None:
        """What the engine says of an image, if it is for ``platform``.  Raises LK0115."""
        if ref.is_local:
            return None
        for name in _names(ref):
            path = f"/images/{quote(name)}/json"
            status, data = self._read(path)
            if status == _NOT_FOUND:
                continue
            if status != _OK:
                raise _failed(self.address, f"it answered {status} to {path}")
            found = _decode(name, data, self.address)
            if (found.os, found.arch) == (platform.os, platform.arch):
                return found
        return None

    def _read(self, path: str) -> tuple[int, bytes]:
        with self._asked(path) as answer:
            return answer.status, answer.read(_ANSWER_LIMIT)

    @contextlib.contextmanager
    def _get(self, name: str) -> Iterator[HTTPResponse]:
        path = f"/images/{quote(name)}/get"
        with self._asked(path) as answer:
            if answer.status != _OK:
                raise _failed(self.address, f"it answered {answer.status} to {path}")
            yield answer

    @contextlib.contextmanager
    def _asked(self, path: str) -> Iterator[HTTPResponse]:
        at = self.address
        try:
            connection = engine.ask(at, path)
            with contextlib.closing(connection):
                yield connection.getresponse()
        except (OSError, HTTPException) as error:
            raise _failed(at, str(error) or type(error).__name__) from error


def _reach() -> Address:
    """The first engine that answers.  Raises LK0115."""
    told = os.environ.get("DOCKER_HOST", "")
    tried: list[str] = []
    for at in [engine.address(told)] if told else _usual():
        try:
            with contextlib.closing(engine.ask(at, "/_ping")) as connection:
                if connection.getresponse().status == _OK:
                    return at
        except (OSError, HTTPException) as error:
            tried.append(f"{at}: {printable(str(error))}")
        else:
            tried.append(f"{at}: it is no engine")
    raise Error(
        "LK0115",
        "no container engine answers",
        hint="start Docker or `podman system service`, set DOCKER_HOST, or leave --docker out",
        detail="\n".join(tried),
    )


def _usual() -> Iterator[Address]:
    for pattern in _SOCKETS:
        with contextlib.suppress(KeyError):
            yield engine.Address(pattern.format_map(os.environ))


def _names(ref: Ref) -> tuple[str, ...]:
    """What an engine may know the image as: in full, as on its command line, or made by Podman."""
    full = str(ref if ref.tag or ref.digest else ref._replace(tag="latest"))
    short = full.removeprefix(_HUB).removeprefix("library/")
    return tuple(dict.fromkeys([full, short, f"localhost/{short}"] if short != full else [full]))


def _decode(name: str, data: bytes, at: Address) -> Found:
    try:
        value = json.loads(data)
        return Found(
            name, str(value["Id"]), str(value["Os"]), str(value["Architecture"]), int(value["Size"])
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise _failed(at, f"it says nothing of use about {name}") from None


def _failed(at: Address, why: str) -> Error:
    return Error(
        "LK0115",
        f"the container engine at {at} failed: {printable(why)}",
        hint="look whether it is well, or leave --docker out",
    )
