"""``linuxkit sign``: signs images as ``cosign`` does, and makes keys for that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import linuxkit
from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.cli import inputs, results
from linuxkit.oci import ref
from linuxkit.oci.model import Platform

if TYPE_CHECKING:
    import argparse

    from linuxkit.cli.arguments import Parser
    from linuxkit.oci.keys import PrivateKey

PASSWORD = "LINUXKIT_KEY_PASSWORD"  # noqa: S105 - a variable's name


def configure(parser: Parser) -> None:
    """Which images, and with which key."""
    parser.description = (
        "Sign images, in the store or else as their registries have them, so that `cosign verify`\n"
        "and trust policies take them.  What is signed is the digest: all platforms of an index.\n"
        f"The password of a key is read from {PASSWORD}."
    )
    parser.add_argument("name", nargs="*", metavar="NAME", help="name of an image")
    parser.add_value("--key", "FILE", "private key (PEM: PKCS #8, also with a password)")
    parser.add_switch("--push", "send the signature to the registry, beside those that are there")
    parser.add_value("--generate-key", "FILE", "make a key: FILE, and FILE.pub to give away")
    parser.add_value("--arch", "ARCH", "an architecture that the image has (else this machine's)")


def main(args: argparse.Namespace) -> int:
    """Sign, or make a key."""
    if args.generate_key:
        if args.name or args.key:
            raise Error("LK0114", "--generate-key goes with nothing else")
        return _generate(Path(args.generate_key), as_json=args.json)
    if not args.name or not args.key:
        raise Error("LK0113", "write the NAME of an image and --key FILE")
    key = read_key(Path(args.key))
    results.tell((_sign(args, ref.parse(text), key) for text in args.name), as_json=args.json)
    return 0


def _sign(
    args: argparse.Namespace, name: ref.Ref, key: PrivateKey
) -> tuple[dict[str, object], str]:
    """Sign one image; where the signature is."""
    from linuxkit.oci import registry, signatures
    from linuxkit.sources.registry import Registries

    store = linuxkit.open_store(args.cache or None)
    registries = Registries(store, args.mirror, args.cert_file, args.registry_creds)
    root = registries.root(name, Platform("linux", inputs.arch(args.arch)))
    if not args.push:
        signatures.add(store, name, root.digest, key)
    else:
        # A mirror is for reading: what is sent goes to the registry itself.
        options = registry.options((), args.cert_file, args.registry_creds)._replace(mirrors={})
        client = registry.Client(options)
        signatures.fetch(client, name, root.digest, store)
        signatures.add(store, name, root.digest, key)
        signatures.send(client, name, root.digest, store)
    place = f"{name.name}:{signatures.tag(root.digest)}"
    return {"name": str(name), "digest": root.digest, "signature": place}, place


def read_key(path: Path) -> PrivateKey:
    """The private key in ``path``.  Raises LK0102, LK0444."""
    from linuxkit.oci.keys import PrivateKey

    try:
        data = path.read_bytes()
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    return PrivateKey(data, str(path), os.environ.get(PASSWORD, ""))


def _generate(path: Path, *, as_json: bool) -> int:
    from linuxkit.oci import keys

    public = path.with_name(f"{path.name}.pub")
    for each in (path, public):
        if each.exists():
            raise Error("LK0114", f"{each} is there already", hint="choose another name")
    private_pem, public_pem = keys.generate(os.environ.get(PASSWORD, ""))
    files.write(path, private_pem, mode=0o600)
    files.write(public, public_pem)
    results.tell([({"file": str(each)}, str(each)) for each in (path, public)], as_json=as_json)
    return 0
