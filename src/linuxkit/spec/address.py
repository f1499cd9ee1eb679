"""Addresses, networks, interfaces and keys as the YAML writes them.

Readers as those of :mod:`linuxkit.spec.text`: they raise LK0208 without a place, and return the
canonical spelling.
"""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import ip_address, ip_interface, ip_network

from linuxkit.base.errors import Error, printable

DEFAULTS = {"default": "0.0.0.0/0", "default6": "::/0"}
_NAME_LIMIT = 15  # IFNAMSIZ of linux/if.h, less the NUL
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_RESERVED = frozenset({".", "..", "all", "default"})  # /proc/sys/net has folders of these names
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PATH = re.compile(r"(/[A-Za-z0-9_+-][A-Za-z0-9_.+-]*)+")
_KEY_BYTES = 32


def _bad(text: str, what: str, hint: str) -> Error:
    return Error("LK0208", f'"{printable(text)}" is not {what}', hint=hint)


def version(text: str) -> int:
    """4 or 6, of anything here that was read."""
    return ip_interface(DEFAULTS.get(text, text)).version


def address(text: str) -> str:
    """An address without a prefix."""
    try:
        found = ip_address(text)
    except ValueError:
        raise _bad(text, "an address", "write 192.0.2.1 or 2001:db8::1") from None
    if found.is_multicast or found.is_unspecified or "%" in text:
        raise _bad(text, "the address of a machine", "write 192.0.2.1 or 2001:db8::1")
    return str(found)


def ipv4(text: str) -> str:
    """An IPv4 address."""
    found = address(text)
    if version(found) != 4:  # noqa: PLR2004
        raise _bad(text, "an IPv4 address", "the key for IPv6 is gateway6")
    return found


def ipv6(text: str) -> str:
    """An IPv6 address."""
    found = address(text)
    if version(found) != 6:  # noqa: PLR2004
        raise _bad(text, "an IPv6 address", "the key for IPv4 is gateway")
    return found


def with_prefix(text: str) -> str:
    """The address of an interface, with the length of its network's prefix."""
    head, slash, _ = text.partition("/")
    address(head)
    try:
        found = ip_interface(text) if slash else None
    except ValueError:
        found = None
    if found is None:
        raise _bad(
            text, "an address with a prefix", f"write {printable(head)}/24, or what fits there"
        )
    network = found.network
    if network.version == 4 and network.prefixlen < 31 and found.ip in {  # noqa: PLR2004
        network.network_address, network.broadcast_address
    }:  # fmt: skip
        raise _bad(text, "the address of a machine", f"it stands for all of {network}")
    return str(found)


def network(text: str) -> str:
    """A network: an address and a prefix, and nothing behind the prefix."""
    try:
        return str(ip_network(text))
    except ValueError:
        pass
    try:
        hint = f"write {ip_network(text, strict=False)}"
    except ValueError:
        hint = "write 10.0.0.0/8 or 2001:db8::/32"
    raise _bad(text, "a network", hint)


def destination(text: str) -> str:
    """A network, or the word for all of IPv4 or IPv6."""
    return text if text in DEFAULTS else network(text)


def interface(text: str) -> str:
    """The name of an interface, as the kernel takes it."""
    if not _NAME.fullmatch(text) or len(text) > _NAME_LIMIT or text in _RESERVED:
        raise _bad(
            text, "a name for an interface",
            f'it has up to {_NAME_LIMIT} letters, digits, "_", "." and "-"',
        )  # fmt: skip
    return text


def mac(text: str) -> str:
    """The address of a network card."""
    found = text.lower().replace("-", ":")
    if not _MAC.fullmatch(found) or int(found[:2], 16) & 1:
        raise _bad(text, "the address of a network card", 'write "52:54:00:12:34:56"')
    return found


def domain(text: str) -> str:
    """A DNS domain."""
    parts = text.rstrip(".").split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(part) for part in parts):  # noqa: PLR2004
        raise _bad(text, "a domain", "write example.com")
    return text


def public_key(text: str) -> str:
    """A key of WireGuard: 32 bytes in base64."""
    try:
        known = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        known = b""
    if len(known) != _KEY_BYTES:
        raise _bad(text, "a key of WireGuard", "it is what `wg pubkey` prints: 44 characters")
    return text


def endpoint(text: str) -> str:
    """``HOST:PORT`` of a peer; IPv6 addresses stand in brackets."""
    host, colon, port = text.rpartition(":")
    wanted = "write vpn.example.com:51820, 192.0.2.1:51820 or [2001:db8::1]:51820"
    if not colon or not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= 65535:  # noqa: PLR2004
        raise _bad(text, "a host with a port", wanted)
    try:
        if host.startswith("[") and host.endswith("]"):
            return f"[{ipv6(host[1:-1])}]:{int(port)}"
        if re.fullmatch("[0-9.]+", host):
            return f"{ipv4(host)}:{int(port)}"
        return f"{domain(host)}:{int(port)}"
    except Error:
        raise _bad(text, "a host with a port", wanted) from None


def key_file(text: str) -> str:
    """The path of a file with a key: it is in a folder that a container can be given."""
    folder, _, name = text.rpartition("/")
    if not text.startswith("/") or not folder.strip("/") or not name or not _PATH.fullmatch(text):
        raise _bad(text, "a place for a key", "write /var/lib/wireguard/wg0.key")
    return text
