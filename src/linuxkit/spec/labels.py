"""What an image's own label says about running it, and how that gives way to the YAML.

The label ``org.mobyproject.config`` holds settings as JSON or YAML text.  Turning the settings
into a container is left to :mod:`linuxkit.build.runtime`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from linuxkit.base.errors import Error, raise_all
from linuxkit.spec import yaml
from linuxkit.spec.decode import collect
from linuxkit.spec.model import Container, ImageSettings
from linuxkit.spec.node import Mapping as MapNode
from linuxkit.spec.parts import Namespaces, Runtime
from linuxkit.spec.record import Record, names, replace

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "org.mobyproject.config"

T = TypeVar("T")
R = TypeVar("R", bound=Record)


def settings(entry: Container, labels: Mapping[str, str], image: str) -> ImageSettings:
    """The settings of the label among ``labels``, with those that the YAML makes in their place.

    ``image`` is the name for messages.  What neither of them says comes from the image's
    configuration, later.  Raises LK02xx for a label that cannot be read.
    """
    text = labels.get(LABEL, "")
    return merge(decode(text, image) if text else ImageSettings(), entry)


def decode(text: str, image: str) -> ImageSettings:
    """The settings in a label's text; every fault names ``image``.  Raises LK02xx."""
    root = f"the label {LABEL} of {image}"
    node = yaml.parse(text, root)
    errors: list[Error] = []
    if isinstance(node, MapNode):
        for key in ("name", "image"):
            entry = node.items.pop(key, None)
            if entry:
                message = f'{root} must not set "{key}"'
                hint = "only the YAML names a container and its image"
                errors.append(Error("LK0213", message, hint=hint, where=entry[0].where))
    value = collect(node, ImageSettings, errors, root)
    raise_all(errors)
    return value or ImageSettings()


# An empty text counts as none here, as upstream has it: there is a word for each default.
_EMPTY_IS_UNSET = frozenset({"net", "pid", "ipc", "uts", "userns", "hostname", "cwd"})


def merge(label: ImageSettings, entry: ImageSettings) -> ImageSettings:
    """The label's settings with those that ``entry`` makes in their place."""
    values: dict[str, object] = {}
    for name in names(ImageSettings):
        first, second = getattr(label, name), getattr(entry, name)
        if second is None or (second == "" and name in _EMPTY_IS_UNSET):
            second = first
        values[name] = second
    values["runtime"] = _runtime(label.runtime, entry.runtime)
    values["capabilities"] = _joined(
        entry.capabilities, label.capabilities, label.capabilities_add, entry.capabilities_add
    )
    values["binds"] = _joined(entry.binds, label.binds, label.binds_add, entry.binds_add)
    values["capabilities_add"] = values["binds_add"] = None
    return ImageSettings(**values)  # type: ignore[arg-type]  # the types are those of the fields


def _joined(own: tuple[T, ...] | None, *added: tuple[T, ...] | None) -> tuple[T, ...] | None:
    """The entry's own list when it has one, else the others joined, each item once."""
    if own is not None:
        return own
    if all(items is None for items in added):
        return None
    return tuple(dict.fromkeys(item for items in added for item in items or ()))


def _runtime(label: Runtime | None, entry: Runtime | None) -> Runtime | None:
    if label is None or entry is None:
        return entry or label
    bind_ns = _over(label.bind_ns or Namespaces(), entry.bind_ns or Namespaces())
    return replace(_over(label, entry), bind_ns=bind_ns)


def _over(first: R, second: R) -> R:
    """``first`` with every field that ``second`` sets replaced."""
    changes = {name: getattr(second, name) for name in names(type(first))}
    return replace(first, **{n: v for n, v in changes.items() if v is not None})
