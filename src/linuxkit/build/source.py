"""Where an image reference is looked for: the protocol, and the search in a stated order.

The sources themselves live in ``linuxkit.sources``; the caller chooses and orders them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from linuxkit.base.errors import Error, raise_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from linuxkit.base.where import Where
    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref


class Look(NamedTuple):
    """What a source says of a reference without fetching or making anything."""

    has: bool  # :meth:`Source.find` would give this image
    where: str  # a path, or the URL of a registry or engine
    digest: str = ""  # of its index or manifest, where that is known
    platforms: tuple[str, ...] = ()
    size: int | None = None  # bytes that the platform needs
    note: str = ""


class Source(Protocol):
    """A place that images come from."""

    @property
    def name(self) -> str:
        """What users call it, as in "store" or "stock packages"."""

    def find(self, ref: Ref, platform: Platform, /) -> Descriptor | None:
        """The image or index that ``ref`` names, brought into the store; None when not mine."""

    def missing(self, ref: Ref, platform: Platform, /) -> Sequence[str] | None:
        """What :meth:`find` would have to fetch, a line each; None when ``ref`` is not mine."""

    def look(self, ref: Ref, platform: Platform, /, *, offline: bool) -> Look | None:
        """What is here, asking nobody else if ``offline``; None when ``ref`` is not mine."""


class Wanted(NamedTuple):
    """A reference, and where the user wrote it."""

    ref: Ref
    where: Where | None


def locate(wanted: Wanted, platform: Platform, sources: Sequence[Source]) -> Descriptor:
    """Ask each source in turn.  Raises LK0401 when none knows the reference."""
    for source in sources:
        found = source.find(wanted.ref, platform)
        if found is not None:
            return found
    raise _not_found(wanted, sources)


def require_present(
    wanted: Iterable[Wanted], platform: Platform, sources: Sequence[Source]
) -> None:
    """Raise LK0402 with everything that would have to be fetched, for all references at once."""
    errors: list[Error] = []
    for want in wanted:
        lines = _missing(want, platform, sources)
        if lines is None:
            errors.append(_not_found(want, sources))
        elif lines:
            errors.append(
                Error(
                    "LK0402",
                    f"{want.ref} is not in the store and the build is offline",
                    where=want.where,
                    hint="run the build once without --offline to fetch it",
                    detail="\n".join(f"missing: {line}" for line in lines),
                )
            )
    raise_all(errors)


def _missing(
    want: Wanted, platform: Platform, sources: Sequence[Source]
) -> Sequence[str] | None:
    for source in sources:
        lines = source.missing(want.ref, platform)
        if lines is not None:
            return lines
    return None


def _not_found(want: Wanted, sources: Sequence[Source]) -> Error:
    searched = ", ".join(source.name for source in sources)
    return Error(
        "LK0401",
        f"no source has the image {want.ref}",
        where=want.where,
        hint=f'searched: {searched}; stock packages are named "@pkg:NAME"',
    )
