"""Between user-mode Linux and a network card: vhost-user (QEMU's docs/interop/vhost-user.rst).

Messages pass through, with their descriptors; the frames themselves go through shared memory and
are not seen here.  Two things are added that user-mode Linux needs and passt lacks: the channel for
requests of the card, without which Linux has no interrupt for it, and the card's address.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = struct.Struct("=III")  # request, flags, size of the payload
_NUMBER = struct.Struct("=Q")
_CONFIG = struct.Struct("=III")  # offset, size, flags; the bytes follow
_VERSION, _REPLY, _NEEDS_REPLY = 0x1, 0x4, 0x8
_MAX_PAYLOAD = 4096
_MAX_FILES = 8

_GET_FEATURES, _SET_FEATURES = 1, 2
_GET_PROTOCOL_FEATURES, _SET_PROTOCOL_FEATURES = 15, 16
_SET_BACKEND_REQUEST_FILE, _GET_CONFIG = 21, 24

_MAC = 1 << 5  # VIRTIO_NET_F_MAC
_BACKEND_REQUESTS, _HAS_CONFIG = 1 << 5, 1 << 9
_ADDED = {_GET_FEATURES: _MAC, _GET_PROTOCOL_FEATURES: _BACKEND_REQUESTS | _HAS_CONFIG}
_TAKEN = {_SET_FEATURES: _MAC, _SET_PROTOCOL_FEATURES: _BACKEND_REQUESTS | _HAS_CONFIG}


class Message(NamedTuple):
    """One message; ``files`` are descriptors that the receiver must close."""

    request: int
    flags: int
    payload: bytes = b""
    files: tuple[int, ...] = ()


def receive(wire: socket.socket) -> Message | None:
    """The next message; None at the end, or when it is none.  Raises OSError."""
    head, found, _, _ = socket.recv_fds(wire, _HEAD.size, _MAX_FILES)
    files = tuple(found)
    rest = _exactly(wire, _HEAD.size - len(head)) if head else b""
    whole = head + rest
    size = _HEAD.unpack(whole)[2] if len(whole) == _HEAD.size else _MAX_PAYLOAD + 1
    payload = _exactly(wire, size) if size <= _MAX_PAYLOAD else b""
    if len(payload) != size:
        _close(files)
        return None
    request, flags, _ = _HEAD.unpack(whole)
    return Message(request, flags, payload, files)


def send(wire: socket.socket, message: Message) -> None:
    """Send a message whole.  Raises OSError."""
    data = _HEAD.pack(message.request, message.flags, len(message.payload)) + message.payload
    done = socket.send_fds(wire, [data], message.files)
    wire.sendall(data[done:])


def is_up(card: socket.socket) -> bool:
    """Whether a card answers at all; waits as long as the socket's time-out says."""
    try:
        send(card, Message(_GET_FEATURES, _VERSION))
        answer = receive(card)
    except OSError:
        return False
    return answer is not None and answer.request == _GET_FEATURES


def relay(guest: socket.socket, card: socket.socket, mac: str) -> None:
    """Pass messages on until either side is gone.  ``mac`` is the card's address."""
    address = bytes.fromhex(mac.replace(":", ""))
    with contextlib.ExitStack() as kept, selectors.DefaultSelector() as waiting:
        waiting.register(guest, selectors.EVENT_READ, card)
        waiting.register(card, selectors.EVENT_READ, guest)
        with contextlib.suppress(OSError):  # it is gone
            while True:
                for key, _ in waiting.select():
                    message = receive(guest if key.data is card else card)
                    if message is None:
                        return
                    if key.data is guest:
                        _pass_on(guest, from_card(message))
                    elif message.request == _SET_BACKEND_REQUEST_FILE:
                        kept.callback(_close, message.files)  # closed, Linux would see a failure
                        _answer(guest, message, _NUMBER.pack(0), always=False)
                    elif message.request == _GET_CONFIG:
                        _close(message.files)
                        _answer(guest, message, configuration(message.payload, address))
                    else:
                        _pass_on(card, from_guest(message))


def from_card(message: Message) -> Message:
    """An answer of the card with what we offer in addition."""
    number = _number(message, _ADDED)
    return message if number is None else _numbered(message, number | _ADDED[message.request])


def from_guest(message: Message) -> Message:
    """A request without what the card has never offered."""
    number = _number(message, _TAKEN)
    return message if number is None else _numbered(message, number & ~_TAKEN[message.request])


def configuration(payload: bytes, address: bytes) -> bytes:
    """The part of the card's configuration (struct virtio_net_config) that is asked for."""
    if len(payload) < _CONFIG.size:
        return b""
    offset, size, flags = _CONFIG.unpack_from(payload)
    size = min(size, _MAX_PAYLOAD - _CONFIG.size)
    found = address[offset:][:size]
    return _CONFIG.pack(offset, size, flags) + found.ljust(size, b"\0")


def _number(message: Message, table: Mapping[int, int]) -> int | None:
    if message.request not in table or len(message.payload) != _NUMBER.size:
        return None
    return int(_NUMBER.unpack(message.payload)[0])


def _numbered(message: Message, number: int) -> Message:
    return message._replace(payload=_NUMBER.pack(number))


def _pass_on(wire: socket.socket, message: Message) -> None:
    try:
        send(wire, message)
    finally:
        _close(message.files)


def _answer(wire: socket.socket, to: Message, payload: bytes, *, always: bool = True) -> None:
    if always or to.flags & _NEEDS_REPLY:
        send(wire, Message(to.request, _VERSION | _REPLY, payload))


def _exactly(wire: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = wire.recv(size - len(data))
        if not more:
            break
        data += more
    return data


def _close(files: tuple[int, ...]) -> None:
    for file in files:
        os.close(file)
