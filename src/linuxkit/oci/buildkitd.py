"""What a ``buildkitd.toml`` says of registries, as our own flags say it.

The Go tool hands such a file to its builder.  There is none here: what the file says of registries
is followed, what it says of the builder itself (workers, sockets, its cache) has no object.  Pure.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base.errors import Error, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import PurePath

_KNOWN = frozenset({"ca", "http", "insecure", "mirrors"})


class Said(NamedTuple):
    """``mirrors`` as ``--mirror`` takes them, ``certs`` as ``--cert-file`` does."""

    mirrors: tuple[str, ...]
    certs: tuple[str, ...]


def read(data: bytes, path: PurePath) -> Said:
    """What the file ``path`` says; files that it names are beside it unless they are absolute.

    Raises LK0734 for what is no such file, or what cannot be followed.
    """
    try:
        found = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        what = printable(str(error))
        raise Error("LK0734", f"{path}: {what}", hint="it has to be TOML") from error
    registries = _table(found.get("registry", {}), f"{path}: [registry]")
    tables = {name: _table(t, _place(path, name)) for name, t in registries.items()}
    plain = {name for name, table in tables.items() if table.get("http") is True}
    mirrors, certs = [], []
    for name, table in tables.items():
        where = _place(path, name)
        _refuse(table, where)
        mirrors += [f"{name}={url}" for url in _urls(name, table, plain, where)]
        certs += [str(path.parent / each) for each in _texts(table, "ca", where)]
    return Said(tuple(mirrors), tuple(dict.fromkeys(certs)))


def _place(path: PurePath, name: str) -> str:
    return f'{path}: [registry."{printable(name)}"]'


def _refuse(table: Mapping[str, object], where: str) -> None:
    for key in table:
        if key not in _KNOWN:
            raise Error(
                "LK0734",
                f"{where} has `{printable(key)}`, which cannot be followed",
                hint="ca, http and mirrors are; see docs/howto/registries.md",
            )
    for key in ("http", "insecure"):
        if not isinstance(table.get(key, False), bool):
            raise Error("LK0734", f"{where} {key} is neither true nor false")
    if table.get("insecure"):
        raise Error(
            "LK0734",
            f"{where} wants certificates to be trusted whoever made them",
            hint='name the one to trust: ca = ["FILE"], or say http = true',
        )


def _urls(
    name: str, table: Mapping[str, object], plain: set[str], where: str
) -> Iterator[str]:
    """The registry's mirror, or itself where it is asked without TLS."""
    hosts = _texts(table, "mirrors", where)
    if len(hosts) > 1:
        raise Error(
            "LK0734",
            f"{where} has {len(hosts)} mirrors",
            hint="a mirror takes the registry's place, so there can be one: leave the first",
        )
    if name in plain and not hosts:
        hosts = [name]
    for host in hosts:
        yield host if "://" in host else f"{'http' if host in plain else 'https'}://{host}"


def _texts(table: Mapping[str, object], key: str, where: str) -> list[str]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Error("LK0734", f"{where} {key} is no list of texts")
    return found


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Error("LK0734", f"{where} is no table")
    return value
