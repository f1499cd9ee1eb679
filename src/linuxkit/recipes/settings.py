"""The user's settings for Debian packages: the section ``debian:`` of the configuration file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from linuxkit.base import files
from linuxkit.base.errors import Error, printable
from linuxkit.spec import yaml
from linuxkit.spec.node import Mapping as Keys
from linuxkit.spec.node import Scalar, find

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_BYTES = 1 << 20


def path(environ: Mapping[str, str]) -> Path:
    """The configuration file, ``~/.linuxkit/config.yml``."""
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - HOME may be unset
    return Path(home) / ".linuxkit" / "config.yml"


def load(environ: Mapping[str, str]) -> dict[str, str]:
    """The keys ``mirror`` and ``snapshot``; empty when there is no file or no section.

    Raises LK0201 and its kin for a file that is no YAML, LK0542 for anything else it says of
    Debian, LK0102.
    """
    place = path(environ)
    try:
        with place.open("rb") as source:
            data = source.read(_MAX_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise files.os_error(error, "read", place) from error
    text = yaml.decode_text(data, str(place))
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return {}
    section = find(yaml.parse(text, str(place)), ("debian",))
    if section is None or (isinstance(section, Scalar) and section.is_null):
        return {}
    hint = "write `debian: {mirror: URL}`, or `snapshot:` for a service with dated archives"
    if not isinstance(section, Keys):
        raise Error("LK0542", "`debian:` must be a map of keys", where=section.where, hint=hint)
    found: dict[str, str] = {}
    for name, (key, value) in section.items.items():
        if name not in ("mirror", "snapshot") or not isinstance(value, Scalar):
            text = f'"{printable(name)}" is not a setting of `debian:`'
            raise Error("LK0542", text, where=key.where, hint=hint)
        found[name] = value.value
    return found
