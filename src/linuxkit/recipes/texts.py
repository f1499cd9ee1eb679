"""Texts that a recipe may have at certain places; each reader answers what stands there, checked.

Raise LK0545, and those of paths as :func:`linuxkit.tree.path.clean`.
"""

from __future__ import annotations

import re

from linuxkit.base import platform
from linuxkit.base.errors import Error, printable, suggestion
from linuxkit.tree import path as paths

PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{0,99}")
"""The name of a Debian package (policy 5.6.1)."""

_PART = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def _refuse(message: str, hint: str = "") -> Error:
    return Error("LK0545", message, hint=hint)


def path(value: str) -> str:
    """A file of the image."""
    return paths.clean(value.removeprefix("/"), what="`path`")


def package(value: str) -> str:
    """The name of a package."""
    if not PACKAGE.fullmatch(value):
        raise _refuse(f'"{printable(value)}" is not the name of a Debian package')
    return value


def part(value: str) -> str:
    """The name of a suite or a component."""
    if not _PART.fullmatch(value):
        raise _refuse(f'"{printable(value)}" is not the name of a part of a Debian archive')
    return value


def is_pattern(value: str) -> bool:
    """Whether it is a pattern of files: with no slash at either end."""
    return bool(value) and not value.startswith("/") and not value.endswith("/")


def pattern(value: str) -> str:
    """A pattern of files."""
    if not is_pattern(value):
        raise _refuse(f'the pattern "{printable(value)}" must have no slash at either end')
    return value


def user(value: str) -> str:
    """A user of the image."""
    if not _USER.fullmatch(value) or value == "root":
        raise _refuse(f'"{printable(value)}" cannot be the name of a user of the image')
    return value


def passwd(value: str) -> str:
    """A field of etc/passwd."""
    if ":" in value or not value.isprintable():
        raise _refuse(f'"{printable(value)}" cannot stand in etc/passwd')
    return value


def arch(value: str) -> str:
    """An architecture by its OCI name."""
    if value not in platform.names():
        hint = suggestion(value, platform.names()) or f"known: {', '.join(platform.names())}"
        raise _refuse(f'unknown architecture "{printable(value)}"', hint)
    return value


def output(value: str) -> str:
    """A file that was built, below ``/build``."""
    inside = value.removeprefix("/build/")
    if inside.startswith("/"):
        raise _refuse(f'"{printable(value)}" is not below /build, where outputs are taken from')
    return paths.clean(inside, what="`source`")


def place(value: str) -> str:
    """A place in the image; ``/`` is its root."""
    return paths.clean_or_root(value.removeprefix("/") or "/", what="`path`")


def variable(value: str) -> str:
    """NAME=VALUE."""
    name, equals, _ = value.partition("=")
    if not equals or not _VARIABLE.fullmatch(name):
        raise _refuse(f'"{printable(value)}" is not NAME=VALUE')
    return value
