"""One container under its profile: from its entry and its image's label to settings that hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, raise_all
from linuxkit.build.sandbox import compat, grants, learned, never, strict
from linuxkit.spec import labels
from linuxkit.spec.model import ImageSettings
from linuxkit.spec.record import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from linuxkit.base.where import Where
    from linuxkit.build.sandbox.compat import Guard
    from linuxkit.build.sandbox.grants import Privilege
    from linuxkit.build.sandbox.learned import Lesson
    from linuxkit.build.sandbox.strict import Sandbox
    from linuxkit.spec.decode import Path
    from linuxkit.spec.model import Container, Spec

STRICT, COMPAT, NONE = "strict", "compat", "none"

_STRICT_KEYS = ("grant", "seccomp", "ports", "jit", "landlock")


def require_any(spec: Spec) -> None:
    """Raise LK0731, all at once, for each container of the profile `none`."""
    raise_all(
        [
            Error(
                "LK0731",
                f"{entry.name}: nothing would confine it under `profile: none`",
                hint="write `profile: compat`, or build with --allow-unsafe",
                where=spec.where((section, index, "profile") if entry.profile else ("profile",)),
            )
            for section in ("onboot", "services", "onshutdown")
            for index, entry in enumerate(getattr(spec, section))
            if of(entry, spec) == NONE
        ]
    )


class Confined(NamedTuple):
    """A container's settings, and what of its confinement they cannot say.

    ``sandbox`` is that of the strict profile, ``guard`` that of compat.
    """

    settings: ImageSettings
    privileges: tuple[Privilege, ...] = ()
    sandbox: Sandbox | None = None
    guard: Guard | None = None


def of(entry: Container, spec: Spec) -> str:
    """The profile of one of the file's containers."""
    return entry.profile or spec.profile or COMPAT


def confine(
    entry: Container,
    profile: str,
    image_labels: Mapping[str, str],
    *,
    arch: str,
    first_id: int,
    where: Callable[[Path], Where | None],
    learns: bool = False,
) -> Confined:
    """The container under ``profile``; ``first_id`` begins the range of ids that is kept for it.

    ``where`` finds the place of a value in the entry; one that ``learns`` has its system calls
    counted, and the file that it has learned is not looked at.  Raises, all at once, LK0208 for
    keys that the profile does not know, LK0750, LK0751, LK0753 for what the label asks for and the
    YAML does not grant, LK0754 for what is never granted, LK0758 and LK0759 for what it has
    learned, and LK02xx for a label that cannot be read.
    """
    image = str(entry.image)
    if profile != STRICT:
        raise_all(_strict_only(entry, where))
        merged = labels.settings(entry, image_labels, image)
        guarded, guard = (merged, None) if profile == NONE else compat.guarded(merged, arch)
        return Confined(guarded, tuple(grants.privileges(merged)), guard=guard)
    text = image_labels.get(labels.LABEL, "")
    label = _spelled_out(labels.decode(text, image)) if text else ImageSettings()
    merged = labels.merge(label, entry)
    if label.seccomp and label.seccomp.learned:
        raise Error("LK0208", f"the label of {image} cannot say what a container has learned",
                    hint="only the YAML names such a file")  # fmt: skip
    own_settings = labels.merge(ImageSettings(), entry)
    errors = []
    if hopeless := never.of_label(merged, own_settings):
        errors.append(_hopeless(entry.name, image, hopeless))
    else:
        lacking = grants.missing(entry, merged)
        errors += [grants.ungranted(entry.name, image, each) for each in lacking]
    for path, error in never.violations(own_settings if hopeless else merged):
        error.where = where(path)
        error.message = f"{entry.name}: {error.message}"
        errors.append(error)
    raise_all(errors)
    own = first_id if (merged.userns or "new") == "new" else 0
    settings = strict.settings(merged, entry.name, own)
    sandbox = strict.sandbox(
        settings, arch, first_id=own, landlock=entry.landlock or "enforce",
        lesson=None if learns else _lesson(entry, arch, where), learns=learns,
    )  # fmt: skip
    held = list(grants.privileges(merged))
    if entry.landlock not in {None, "enforce"}:
        held.append(grants.Privilege(("landlock",), str(entry.landlock)))
    return Confined(settings, tuple(held), sandbox=sandbox)


def _hopeless(who: str, image: str, rows: Sequence[tuple[Path, str, str]]) -> Error:
    """One error for a label with wishes that no YAML can grant a strict container."""
    refusals = dict.fromkeys(f"`{grants.refusal(path)}`" for path, _, _ in rows)
    return Error(
        "LK0754",
        f"{who}: the label of {image} asks for what a strict container cannot have",
        hint="write `profile: compat` at this container, or refuse it with "
        + ", ".join(refusals),
        detail="\n".join(f"{what}: {reason}" for _, what, reason in rows),
    )


def _lesson(entry: Container, arch: str, where: Callable[[Path], Where | None]) -> Lesson | None:
    """What the YAML says that it has learned; a label does not choose files of this machine."""
    text = entry.seccomp.learned if entry.seccomp else None
    if not text:
        return None
    place = where(("seccomp", "learned"))
    try:
        return learned.lesson(text, place, arch)
    except Error as error:
        error.where = error.where or place
        error.message = f"{entry.name}: {error.message}"
        raise


def _strict_only(entry: Container, where: Callable[[Path], Where | None]) -> list[Error]:
    return [
        Error(
            "LK0208",
            f'{entry.name}: "{key}" has no effect without the strict profile',
            hint="add `profile: strict`, or leave it out",
            where=where((key,)),
        )
        for key in _STRICT_KEYS
        if getattr(entry, key) is not None
    ]


def _spelled_out(label: ImageSettings) -> ImageSettings:
    """A label's binds with the option that upstream has by default: they can be written to."""
    changes = {
        name: tuple(
            bind if "ro" in (bind.options or ()) else bind._replace(options=_writable(bind.options))
            for bind in binds
        )
        for name in ("binds", "binds_add")
        if (binds := getattr(label, name)) is not None
    }
    return replace(label, **changes)


def _writable(options: tuple[str, ...] | None) -> tuple[str, ...]:
    return ("rw", *(option for option in options or () if option != "rw"))
