"""The store on the command line: what is in it, and how images get in and out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import linuxkit
from linuxkit.base import files, platform
from linuxkit.base.errors import Error, printable
from linuxkit.cli import housekeeping, render, results
from linuxkit.oci import ref
from linuxkit.oci.model import Platform

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

    from linuxkit.cli.arguments import Parser
    from linuxkit.oci.archive import Imported
    from linuxkit.oci.model import Descriptor
    from linuxkit.oci.store import Store

    _Result = tuple[Mapping[str, object], str]

_NAME = "name of an image, or @pkg:NAME"
_FORMATS = ("oci", "oci-dir", "docker", "filesystem")


def configure(parser: Parser) -> None:
    """Add the commands and their flags."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "list the images in the store"
    commands.add_parser("ls", help=text, description=text)
    text = "forget images; `cache gc` frees the space that no other takes"
    rm = commands.add_parser("rm", help=text, description=text)
    rm.add_argument("name", nargs="+", metavar="NAME", help=_NAME)
    rm.add_argument(
        "--published-only", action="store_true", help="only those that their registry has too"
    )
    text = "fetch images from their registries; a name without tag means latest"
    pull = commands.add_parser("pull", help=text, description=text)
    pull.add_argument("name", nargs="+", metavar="NAME", help="name of an image")
    pull.add_argument(
        "--arch", metavar="ARCH", action="append", default=[],
        help="fetch what ARCH needs; may be repeated (default: this machine's)",
    )  # fmt: skip
    pull.add_argument(
        "--artifacts", action="store_true",
        help="fetch what the registry has about them too: lists of parts, signatures",
    )  # fmt: skip
    text = "send an image to its registry, with all platforms that it has and artifacts about it"
    push = commands.add_parser("push", help=text, description=text)
    push.add_argument("name", nargs="+", metavar="NAME", help=_NAME)
    push.add_argument(
        "--remote-name", metavar="NAME", default="", help="send it under this name instead"
    )
    push.add_argument(
        "--override", action="store_true", help="replace another image that has the tag"
    )
    text = "bring in the images of an OCI layout (a folder or tar) or of docker save"
    load = commands.add_parser("import", help=text, description=text)
    load.add_argument("file", metavar="FILE", help="the archive or folder; - is standard input")
    load.add_argument("--name", metavar="NAME", default="", help="name for its only image")
    text = "write an image to an archive"
    save = commands.add_parser("export", help=text, description=text)
    save.add_argument("name", metavar="NAME", help=_NAME)
    save.add_argument(
        "--format", metavar="FORMAT", choices=_FORMATS, default="oci",
        help="oci (the usual one), oci-dir (the same as a folder), docker (for docker load) or "
        "filesystem (the files, merged)",
    )  # fmt: skip
    save.add_argument(
        "--platform", metavar="OS/ARCH", default="",
        help="only for this platform (else: oci has all that are there, others this machine's)",
    )  # fmt: skip
    save.add_argument("--outfile", metavar="FILE", required=True, help="- is standard output")
    housekeeping.configure(
        commands.add_parser("gc", help="remove what nothing names any more"),
        commands.add_parser("fsck", help="check everything in the store, and repair it"),
        commands.add_parser("du", help="show what takes the space"),
        commands.add_parser("clean", help="empty the store"),
    )


def main(args: argparse.Namespace) -> int:
    """Do the command; the exit status."""
    store = linuxkit.open_store(args.cache or None)
    if args.command == "ls":
        _ls(store, as_json=args.json)
    elif args.command == "rm":
        return housekeeping.remove(store, [_known(store, n)[0] for n in args.name], args)
    elif args.command == "gc":
        return housekeeping.collect(store, args)
    elif args.command == "fsck":
        return housekeeping.check(store, args)
    elif args.command == "du":
        return housekeeping.measure(store, as_json=args.json)
    elif args.command == "clean":
        return housekeeping.clean(store, args)
    elif args.command == "pull":
        results.tell(_pull(store, args), as_json=args.json)
    elif args.command == "push":
        results.tell(_push(store, args), as_json=args.json)
    elif args.command == "import":
        results.tell(_import(store, args.file, args.name), as_json=args.json)
    else:
        _export(store, args)
    return 0


def _ls(store: Store, *, as_json: bool) -> None:
    found = sorted(store.names())
    rows = [_row(store, name, each) for name, each in found]
    if as_json:
        import json

        print(json.dumps(rows, indent=1))
        return
    if rows:
        heads = ("name", "digest", "platforms", "size", "age")
        print(render.columns([heads, *map(_cells, rows)], right=(3, 4)))


def _row(store: Store, name: str, root: Descriptor) -> dict[str, object]:
    """What the store knows of an image; ``size`` is what lies here of it, in bytes."""
    from linuxkit.oci.gc import reach

    blobs = [store.path(digest) for digest in reach(store, [root.digest])]
    there = [path.stat() for path in blobs if path.exists()]
    try:
        platforms = [str(each) for each in _present(store, root)]
        since_s = time.time() - store.path(root.digest).stat().st_mtime
    except (Error, OSError):
        platforms, since_s = [], 0.0
    return {
        "name": name,
        "digest": root.digest,
        "platforms": platforms,
        "size": sum(each.st_size for each in there),
        "age": max(0, int(since_s)),
    }


def _cells(row: dict[str, object]) -> tuple[str, ...]:
    platforms = ",".join(map(str, cast("list[str]", row["platforms"]))) or "-"
    size, age = render.size(cast("int", row["size"])), housekeeping.age(cast("int", row["age"]))
    return printable(str(row["name"])), str(row["digest"]), platforms, size, age


def _pull(store: Store, args: argparse.Namespace) -> Iterator[_Result]:
    from linuxkit.sources.registry import Registries

    registries = Registries(
        store, args.mirror, args.cert_file, args.registry_creds, fresh=True,
        artifacts=args.artifacts,
    )
    arches = [platform.arch(name).oci for name in args.arch] or [platform.host().oci]
    for text in args.name:
        asked = _parse(text)
        if not asked.tag and not asked.digest:
            asked = asked._replace(tag="latest")
        digest = ""  # of all platforms, if it is an index
        for arch in arches:
            found = registries.find(asked, Platform("linux", arch))
            if found is None:
                raise Error("LK0401", f"{asked} is a stock package, which lies in no registry")
            _name_arch(store, asked, found, Platform("linux", arch))
            digest = found.digest
        yield {"name": str(asked), "digest": digest}, str(asked)


def _name_arch(store: Store, asked: ref.Ref, root: Descriptor, wanted: Platform) -> None:
    """Name the image of one platform ``NAME-ARCH``, as the Go tool does beside an index."""
    from linuxkit.oci import image, model

    if asked.tag and not asked.digest and root.media_type in model.INDEXES:
        name = str(asked._replace(tag=f"{asked.tag}-{wanted.arch}"))
        store.set_name(name, image.open_image(store, root, wanted).descriptor)


def _push(store: Store, args: argparse.Namespace) -> Iterator[_Result]:
    from linuxkit.oci import push, registry

    if args.remote_name and len(args.name) > 1:
        raise Error("LK0114", f"--remote-name is for one image, not for {len(args.name)}")
    # A mirror is for reading: what is sent goes to the registry itself.
    options = registry.options((), args.cert_file, args.registry_creds)._replace(mirrors={})
    client = registry.Client(options)
    for text in args.name:
        name, root = _known(store, text)
        target = _parse(args.remote_name or name)
        source = ref.parse(name).name
        sent = push.push(client, root, target, store, override=args.override, source=source)
        line = f"{target}  {root.digest}" + ("" if sent else "  (was there)")
        yield {"name": str(target), "digest": root.digest, "sent": sent}, line


def _import(store: Store, file: str, name: str) -> Iterator[_Result]:
    from linuxkit.oci import archive

    if name:
        ref.parse(name)  # before much is read
    folder = Path(file)
    for each in (
        archive.read_folder(folder, store, name) if folder.is_dir() else _read(store, file, name)
    ):
        yield {"name": each.name, "digest": each.descriptor.digest}, each.name


def _read(store: Store, file: str, name: str) -> Sequence[Imported]:
    from linuxkit.oci import archive

    try:
        source: BinaryIO = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115
        with source, archive.naming(file):
            return archive.read(source, store, name)
    except OSError as error:
        raise files.os_error(error, "read", file) from error


def _export(store: Store, args: argparse.Namespace) -> None:
    wanted = Platform("linux", platform.host().oci)
    if args.platform:
        os_, _, arch = args.platform.partition("/")
        wanted = Platform(os_, *arch.partition("/")[::2])
    image = _known(store, args.name, wanted.arch)
    if args.format == "oci-dir":
        from linuxkit.oci import export

        name, root = image
        platforms = [wanted] if args.platform else _present(store, root)
        export.write_folder(store, root, name, platforms, Path(args.outfile))
        return
    if args.outfile == "-":
        if sys.stdout.isatty():
            raise Error("LK0114", "standard output is a terminal", hint="lead it into a file")
        _write(store, image, wanted, args, sys.stdout.buffer)
        return
    with files.replacing(Path(args.outfile), sync=False) as out:
        _write(store, image, wanted, args, out)


def _write(
    store: Store,
    image: tuple[str, Descriptor],
    wanted: Platform,
    args: argparse.Namespace,
    out: BinaryIO,
) -> None:
    from linuxkit.oci import export

    name, root = image
    if args.format == "docker":
        export.write_saved(store, [(name, root)], wanted, out)
    elif args.format == "filesystem":
        export.write_tree(store, root, wanted, out)
    else:
        platforms = [wanted] if args.platform else _present(store, root)
        export.write_layout(store, root, name, platforms, out)


def _present(store: Store, root: Descriptor) -> Sequence[Platform]:
    """The platforms that the store has whole; all when it has none, so that the error says why."""
    from linuxkit.oci import image

    offered = image.offered(store, root)
    return [each for each in offered if image.is_whole(store, root, each)] or offered


def _parse(text: str, arch: str = "") -> ref.Ref:
    """The reference of an image in the store or a registry, or of the stock package ``@pkg:NAME``
    for ``arch`` (else this machine's).  Raises LK0302, LK0113, LK0501.
    """  # noqa: D205
    from linuxkit.recipes.stock import Shelf

    asked = ref.parse(Shelf().named(text, arch or platform.host().oci))
    if asked.is_local:
        raise Error(
            "LK0113",
            f"{printable(text)} names a file, and not an image of the store or a registry",
            hint="bring it in with: linuxkit cache import FILE",
        )
    return asked


def _known(store: Store, text: str, arch: str = "") -> tuple[str, Descriptor]:
    """The stored name that the user means, with ``latest`` if that is the one there."""
    asked = _parse(text, arch)
    names = [str(asked)]
    if not asked.tag and not asked.digest:
        names.append(str(asked._replace(tag="latest")))
    for name in names:
        found = store.find(name)
        if found is not None:
            return name, found
    hint = "linuxkit cache ls lists what it has"
    if text.startswith(ref.PACKAGE):
        hint = f"`linuxkit pkg build {text.removeprefix(ref.PACKAGE)}` makes it; {hint}"
    raise Error("LK0401", f"the store has no {asked}", hint=hint)
