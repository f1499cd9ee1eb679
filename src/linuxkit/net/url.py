"""URLs: which can be used, what they lead to, what of them may be shown.

Asking them is left to :mod:`linuxkit.net.http`.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from linuxkit.base.errors import Error, printable

_LINK_LIMIT = 8 << 10  # characters of a Link header


def loopback(host: str) -> bool:
    """Whether ``host``, a name or an address without port, is this very machine."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """``url`` as messages may show it: without what may be secret, safe for a terminal.

    That is the password, and the query, in which storage services carry their signatures.
    """
    split = parts(url)
    if not any(split):
        return printable(url.rpartition("@")[2], 300)
    if split.query:
        split = split._replace(query="…")
        url = urlunsplit(split)
    if split.username is not None or split.password is not None:
        url = urlunsplit(split._replace(netloc="***@" + split.netloc.rpartition("@")[2]))
    return printable(url, 300)


def checked(url: str) -> SplitResult:
    """The parts of an http or https URL with a host.  Raises LK0417 for all else."""
    split = parts(url)
    if split.scheme not in ("http", "https") or not split.hostname:
        raise Error(
            "LK0417", f'"{shown(url)}" is not a usable URL', hint="use https, http or file URLs"
        )
    return split


def parts(url: str) -> SplitResult:
    """The parts of a URL; of what cannot be split, no part at all."""
    try:
        split = urlsplit(url)
        _ = split.port  # a bad one is noticed only when it is looked at
    except ValueError:
        return urlsplit("")
    return split


def without_user(split: SplitResult) -> str:
    """The URL without login and fragment, which are not for the server's request line."""
    return urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2], fragment=""))


def origin(split: SplitResult) -> tuple[str, str | None, int | None]:
    """What a login is good for: scheme, host and port."""
    port = split.port or {"http": 80, "https": 443}.get(split.scheme)
    return split.scheme, split.hostname, port


def redirected(url: str, location: str) -> str:
    """Where ``url`` redirects to.  Raises LK0415 when TLS would be left, or it is no URL."""
    try:
        target = urljoin(without_user(urlsplit(url)), location)
    except ValueError:
        target = ""
    split = parts(target)
    safe = split.scheme == "https" or (split.scheme == "http" and urlsplit(url).scheme == "http")
    if not location or not safe:
        raise Error("LK0415", f'{shown(url)} redirects to "{shown(location)}", which is refused')
    return target


def next_page(url: str, header: str) -> str:
    """Where the list at ``url`` goes on, by its ``Link`` header (RFC 8288); "" at its end.

    Raises LK0415 as :func:`redirected`.
    """
    for target, rest in re.findall(r"<([^<>]*)>([^<]*)", header[:_LINK_LIMIT]):
        if re.search(r';\s*rel\s*=\s*"?next"?\s*(?:[;,]|$)', rest, re.IGNORECASE):
            return redirected(url, target)
    return ""
