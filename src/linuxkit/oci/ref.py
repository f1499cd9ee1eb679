"""Image references: the text a user writes, checked and made canonical.

What lies behind a reference, and where it is fetched from, is the business of the sources.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from linuxkit.base import digest as digests
from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from linuxkit.base.where import Where

# The grammar of the OCI distribution specification ("Pulling manifests") for names and tags, and
# of the distribution project for hosts.  Python compiles each when it is first used, not here.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{{1,5}}))?"

_NAME_LIMIT = 255
_TAG_LIMIT = 128
_LAST_PORT = 65535
_HUB = "docker.io"
PACKAGE = "@pkg:"  # begins what stands for a reference in a YAML, and is none itself
_SCHEMES = ("oci:", "tar:")


class Ref(NamedTuple):
    """An image's name, with the tag or the digest asked for; "" where there is none.

    Of a file or folder (``oci:PATH``, ``tar:PATH``) the tag is the name that the image has in it.
    """

    name: str  # canonical, with its host: docker.io/library/alpine
    tag: str = ""
    digest: str = ""
    folder: str = ""  # where the path of a file starts from; not a part of what it is called

    @property
    def is_local(self) -> bool:
        """Whether it names a file or folder of this machine."""
        return self.name.startswith(_SCHEMES)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse(text: str, where: Where | None = None) -> Ref:
    """Read a reference and expand its name as LinuxKit does; ``:latest`` is never added.

    ``alpine`` becomes ``docker.io/library/alpine`` and ``linuxkit/init`` becomes
    ``docker.io/linuxkit/init``; a name that has a host, or three parts and more, stays as it is.
    Raises LK0302, pointing at ``where``.
    """
    try:
        return _parse(text)
    except _RefusalError as refusal:
        raise Error(
            "LK0302",
            f'"{printable(text)}" is not an image reference: {refusal.why}',
            hint=refusal.hint,
            where=where,
        ) from None


class _RefusalError(Exception):
    """What is wrong with the text, and what to do."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


def _parse(text: str) -> Ref:
    if text.startswith(_SCHEMES):
        return _local(text)
    if not text:
        _refuse("it is empty", "write a name such as linuxkit/init:v1.2")
    if text.startswith(PACKAGE):
        _refuse("it names a stock package", "write what it stands for, as `linuxkit pkg ls` tells")
    if any(c.isspace() or not c.isprintable() for c in text):
        _refuse("it holds white space or control characters", "take them out")
    if "://" in text:
        _refuse("it is a URL", f"leave out {text[: text.index('://') + 3]!r}: write HOST/NAME:TAG")
    rest, at, digest = text.partition("@")
    if at:
        _check_digest(digest)
    name, tag = _split_tag(rest)
    return Ref(_expand(name), tag, digest)


def _local(text: str) -> Ref:
    """``oci:PATH`` or ``tar:PATH``, maybe with ``:NAME`` and ``@DIGEST``; no colon in the path."""
    if not text.isprintable():
        _refuse("it holds control characters", "take them out")
    rest, at, digest = text.partition("@sha256:")
    if at:
        _check_digest(f"sha256:{digest}")
    scheme, path, *name = rest.split(":", 2)
    if not path:
        _refuse("it has no path", f"write {scheme}:PATH or {scheme}:PATH:NAME")
    return Ref(f"{scheme}:{path}", "".join(name), f"sha256:{digest}" if at else "")


def _split_tag(text: str) -> tuple[str, str]:
    colon = text.rfind(":")
    if colon <= text.rfind("/"):  # a colon before the last slash belongs to the host's port
        return text, ""
    name, tag = text[:colon], text[colon + 1 :]
    if not tag:
        _refuse("the tag after the colon is empty", "name a tag, or leave out the colon")
    if len(tag) > _TAG_LIMIT:
        _refuse(f"the tag has {len(tag)} characters", f"a tag has at most {_TAG_LIMIT}")
    if not re.fullmatch(_TAG, tag):
        _refuse(
            f'"{printable(tag)}" is not a tag',
            "a tag has letters, digits, '_', '.' and '-', and does not start with '.' or '-'",
        )
    return name, tag


def _check_digest(text: str) -> None:
    if re.fullmatch(r"sha512:[0-9a-f]{128}", text):
        _refuse("it has a sha512 digest", "the store keeps sha256: use that, or a tag")
    try:
        digests.parse(text)
    except Error:
        _refuse(
            f'"{printable(text)}" is not a digest',
            "a digest is sha256: and 64 hexadecimal digits in lower case",
        )


def _expand(name: str) -> str:
    if not name:
        _refuse("it has no name", "write a name such as linuxkit/init:v1.2")
    parts = name.split("/")
    hosted = len(parts) > 1 and _is_host(parts[0])
    if hosted:
        _check_host(parts[0])
    for part in parts[hosted:]:
        _check_component(part)
    if len(parts) == 1:
        name = f"{_HUB}/library/{name}"
    elif len(parts) == 2 and not hosted:  # noqa: PLR2004 - USER/NAME
        name = f"{_HUB}/{name}"
    if len(name) > _NAME_LIMIT:
        _refuse(f"the name has {len(name)} characters", f"a name has at most {_NAME_LIMIT}")
    return name


def _check_host(text: str) -> None:
    import ipaddress

    match = re.fullmatch(_HOST, text)
    good = bool(match)
    if match and match[1]:
        try:
            ipaddress.IPv6Address(match[1])
        except ValueError:
            good = False
    if not good:
        _refuse(f'"{printable(text)}" is not a host', "a host is NAME, NAME:PORT or [IPv6]:PORT")
    if match and match[2] and not 0 < int(match[2]) <= _LAST_PORT:
        _refuse(f'"{printable(text)}" has no proper port', f"a port is 1 to {_LAST_PORT}")


def _is_host(part: str) -> bool:
    return "." in part or ":" in part or part == "localhost"


def _check_component(part: str) -> None:
    if re.fullmatch(_COMPONENT, part):
        return
    if not part:
        _refuse("a part between slashes is empty", "take out the extra '/'")
    if part != part.lower() and re.fullmatch(_COMPONENT, part.lower()):
        _refuse(f'"{printable(part)}" has upper-case letters', f"write {part.lower()}")
    _refuse(
        f'"{printable(part)}" is not a part of a name',
        "a part has lower-case letters and digits, with '.', '_', '__' or '-' only between them",
    )


def _refuse(why: str, hint: str) -> NoReturn:
    raise _RefusalError(why, hint)
