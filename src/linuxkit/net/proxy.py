"""Proxies: which one the environment names for a URL.

The variables are curl's: ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, also in
capitals.  Talking to proxies is left to :mod:`linuxkit.net.http`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.net import url as urls

if TYPE_CHECKING:
    from urllib.parse import SplitResult


def for_url(split: SplitResult) -> str:
    """The URL of the proxy for an http or https URL, or "".

    No proxy could reach what this machine calls localhost.
    """
    from urllib import request

    host = split.hostname or ""
    if urls.loopback(host):
        return ""
    proxies = request.getproxies_environment()
    if excepted(host, split.port, proxies.get("no", "")):
        return ""
    found = proxies.get(split.scheme, proxies.get("all", ""))
    return found if not found or "://" in found else f"http://{found}"


def excepted(host: str, port: int | None, rules: str) -> bool:
    """Whether ``no_proxy`` names a host: itself, a domain above it, or a network it lies in.

    Entries are separated by commas or blanks; a dot in front has no meaning, ``*`` is every host,
    and an entry with a port counts for that port alone.
    """
    name = host.rstrip(".").lower()
    named = not _is_address(name)
    for rule in rules.replace(",", " ").lower().split():
        if rule == "*":
            return True
        wanted, colon, number = rule.rpartition(":")
        if colon and number.isdecimal() and (":" not in wanted or wanted.endswith("]")):
            if number != str(port or ""):
                continue
        else:
            wanted = rule
        wanted = wanted.strip("[]").lstrip(".").rstrip(".")
        if wanted and (f".{name}".endswith(f".{wanted}") if named else _lies_in(name, wanted)):
            return True
    return False


def _is_address(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _lies_in(address: str, network: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:  # the rule is for a name
        return False
