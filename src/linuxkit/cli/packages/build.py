"""Building packages, of stock recipes and of folders, and sending them to registries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import platform
from linuxkit.base.errors import Error, printable
from linuxkit.cli.packages import identity
from linuxkit.cli.packages.stock import add_arches
from linuxkit.oci.store import Store, default_root

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from linuxkit.cli.arguments import Parser
    from linuxkit.oci.registry import Client
    from linuxkit.recipes.making import Bench, Made, Options
    from linuxkit.recipes.package import Package, Wishes
    from linuxkit.sources.registry import Registries

_LINUX = "linux/"


def configure(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands and their flags."""
    text = "build packages into the store, and print their names"
    build = commands.add_parser("build", help=text, description=text)
    build.add_argument(
        "package", nargs="+", metavar="DIR|NAME", help="a package folder, or a stock package"
    )
    build.add_switch("--push", "send them to their registry, as `pkg push` does")
    build.add_switch("--all", "build every package below the folders that are named, in order")
    build.add_value(
        "--jobs", "N", "with --all: packages at a time (default: processors)", convert=int,
        default=0,
    )  # fmt: skip
    build.add_value(
        "--scheduler", "tcp://HOST:PORT",
        "with --all: build on this Dask cluster, and send everything to its registry",
    )  # fmt: skip
    _add_flags(build)
    build.set_defaults(run=_build)
    text = "build what is missing of packages and send it to their registry"
    push = commands.add_parser("push", help=text, description=text)
    push.add_argument("package", nargs="+", metavar="DIR", help="a package folder")
    _add_flags(push)
    push.set_defaults(run=_build, push=True, all=False)


def _add_flags(parser: Parser) -> None:
    add_arches(parser, "build for ARCH; may be repeated (default: see --platforms)")
    parser.add_value(
        "--platforms", "LIST",
        "build for these, such as linux/amd64,linux/arm64 (default: a stock package for this "
        "machine, a folder for all that it is made for, or that its commands can run on here)",
    )  # fmt: skip
    parser.add_value("--skip-platforms", "LIST", "leave these out")
    parser.add_switch("--force", "build even what is there")
    parser.add_switch("--pull", "fetch what the registry has rather than build it")
    parser.add_switch("--nobuild", "build nothing; fail where something is missing")
    parser.add_switch("--ignore-cached", "ask registries first for images to build upon")
    parser.add_switch("--docker", "also load the images into Docker")
    text = "name of the Dockerfile (else what build.yml says, else Dockerfile)"
    parser.add_value("--dockerfile", "FILE", text)
    parser.add_value(
        "--builder-config", "FILE", "a buildkitd.toml: follow what it says of registries"
    )  # fmt: skip
    parser.add_value(
        "--build-arg-file", "FILE", "a file of NAME=VALUE lines; may be repeated", default=[]
    )
    parser.add_switch("--network", "let the commands of a Dockerfile have a network")
    parser.add_switch("--nonetwork", "let them have none")
    parser.add_switch("--disable-cache", "use nothing that earlier builds of a Dockerfile left")
    parser.add_switch("--enable-cache", "use it, whatever build.yml says")
    parser.add_value("--release", "TAG", "with a push: also under this tag, if it is free")
    parser.add_value(
        "--manifest", "true|false", "with a push: send the name for all platforms, too (true)",
        default="true",
    )  # fmt: skip
    parser.add_switch("--no-sbom", "attach no list of parts to the images")
    parser.add_value("--sbom-scanner", "false", "false: as --no-sbom (upstream's spelling)")
    parser.add_switch("--dry-run", "only tell what there is to do")
    identity.add_flags(parser)


class _Desk(NamedTuple):
    """What the command works with."""

    args: argparse.Namespace
    store: Store
    bench: Bench
    registries: Registries


def _build(args: argparse.Namespace) -> int:
    _check(args)
    if args.builder_config:
        _follow(args, Path(args.builder_config))
    if args.all:
        from linuxkit.cli.packages import forest

        return forest.build(args, _wishes(args), lambda found: _arches_of(found, args))
    desk = _desk(args)
    rows = []
    for word in args.package:
        rows += _stock(word, desk) if _is_stock(word, args) else _folder(word, desk)
    desk.store.keep_uses(["pkg build", *args.package])
    if args.json:
        import json

        print(json.dumps(rows, indent=1))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse flags that exclude each other.  Raises LK0114."""
    pairs = (
        ("force", "nobuild"), ("platforms", "skip_platforms"), ("platforms", "arch"),
        ("network", "nonetwork"), ("disable_cache", "enable_cache"),
    )  # fmt: skip
    for one, other in pairs:
        if getattr(args, one) and getattr(args, other):
            first, second = (f"--{name.replace('_', '-')}" for name in (one, other))
            raise Error("LK0114", f"{first} and {second} exclude each other")
    for flag, value, known in (
        ("--manifest", args.manifest, ("true", "false")),
        ("--sbom-scanner", args.sbom_scanner, ("", "false")),
    ):
        if value not in known:
            raise Error("LK0114", f'{flag} takes {" or ".join(filter(None, known))}')


def _follow(args: argparse.Namespace, path: Path) -> None:
    """Take over what a builder's configuration says; the command line has the last word.

    Raises LK0734, and as reading the file does.
    """
    from linuxkit.base import files
    from linuxkit.oci import buildkitd

    try:
        data = path.read_bytes()
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    said = buildkitd.read(data, path)
    args.mirror = (*said.mirrors, *args.mirror)
    args.cert_file = (*args.cert_file, *said.certs)


def _desk(args: argparse.Namespace) -> _Desk:
    import linuxkit
    from linuxkit.sources.folders import bench_of
    from linuxkit.sources.registry import Registries

    store = Store(Path(args.cache) if args.cache else default_root())
    asked = (args.mirror, args.cert_file, args.registry_creds)
    registries = Registries(store, *asked)
    sources = linuxkit.default_sources(
        store, mirrors=asked[0], certs=asked[1], logins=asked[2], pull=args.ignore_cached
    )
    return _Desk(args, store, bench_of(store, registries, sources), registries)


def _is_stock(word: str, args: argparse.Namespace) -> bool:
    """Whether a word means a stock package: there is no such folder, or it is theirs."""
    from linuxkit.base import resources

    found = Path(word)
    if not (found / args.build_yml).is_file():
        return "/" not in word
    return found.resolve().parent == resources.packages().resolve()


def _stock(word: str, desk: _Desk) -> list[dict[str, str]]:
    """Build a stock package; its name is its content's, and it lies in no registry."""
    from linuxkit.recipes import stock

    name = Path(word).name
    if desk.args.push:
        raise Error(
            "LK0114", f'"{printable(name)}" is a stock package, which has no registry of its own',
            hint="send it somewhere: linuxkit cache push --remote-name NAME",
        )  # fmt: skip
    shelf = stock.Shelf()
    rows = []
    for arch in _arches(desk.args) or [platform.host().oci]:
        reference = shelf.reference(name, arch)
        if not desk.args.dry_run:
            shelf.image(name, arch, desk.store, desk.bench.pool)
            desk.store.note_use(deb.sha256 for deb in shelf.debs(name, arch))
        rows.append({"name": reference, "arch": arch})
        _say(reference, desk.args)
    return rows


def _say(line: str, args: argparse.Namespace) -> None:
    if not args.json:
        print(line)


def _folder(word: str, desk: _Desk) -> list[dict[str, str]]:
    from linuxkit.recipes import making, package

    args = desk.args
    found = package.load(identity.folder(word, args.build_yml), _wishes(args))
    arches = _arches_of(found, args)
    if args.dry_run:
        return _plan(found, arches, desk)
    if not arches:
        _say(f"{found.reference}: nothing to build", args)
        return []
    made = making.make(found, arches, _options(args), desk.bench)
    for one in made:
        _say(f"{found.name_for(one.arch)}  {one.choice}", args)
    if args.docker:
        _load(found, made, desk.store)
    if args.push:
        _push(found, made, desk)
    return [
        {
            "name": found.name_for(one.arch), "arch": one.arch, "done": str(one.choice),
            "digest": one.descriptor.digest if one.descriptor else "",
        }
        for one in made
    ]  # fmt: skip


def _plan(found: Package, arches: Sequence[str], desk: _Desk) -> list[dict[str, str]]:
    """Tell what there is to do, and do nothing."""
    for arch in arches:
        there = desk.store.find(str(_ref(found.name_for(arch)))) is not None
        said = "is in the store" if there and not desk.args.force else "would be fetched or built"
        _say(f"{found.name_for(arch)}  {said}", desk.args)
    return [{"name": found.name_for(arch), "arch": arch} for arch in arches]


def _ref(name: str) -> object:
    from linuxkit.oci import ref

    return ref.parse(name)


def _wishes(args: argparse.Namespace) -> Wishes:
    from linuxkit.recipes.package import Wishes

    network = True if args.network else False if args.nonetwork else None
    cache = True if args.disable_cache else False if args.enable_cache else None
    files = tuple(Path(name) for name in args.build_arg_file)
    return Wishes(identity.asked(args), args.dockerfile, files, network, cache)


def _arches_of(found: Package, args: argparse.Namespace) -> tuple[str, ...]:
    """What to build a package for.  Raises LK0114, LK0103, LK0538."""
    return found.arches(_arches(args), _platforms(args.skip_platforms))


def _options(args: argparse.Namespace) -> Options:
    from linuxkit.recipes.making import Options

    sbom = not args.no_sbom and args.sbom_scanner != "false"
    return Options(args.force, args.pull, args.nobuild, sbom)


def _arches(args: argparse.Namespace) -> list[str]:
    named = [platform.arch(name).oci for name in args.arch]
    return named or _platforms(args.platforms)


def _platforms(text: str) -> list[str]:
    """The architectures of ``linux/amd64,linux/arm64``.  Raises LK0114, LK0103."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if not word.startswith(_LINUX):
            raise Error("LK0114", f'"{printable(word)}" is not a platform: write linux/ARCH')
    return [platform.arch(word.removeprefix(_LINUX)).oci for word in words]


def _load(found: Package, made: Sequence[Made], store: Store) -> None:
    """Hand the images to Docker.  Raises LK0901 where there is none, LK0902."""
    import tempfile

    from linuxkit.base import proc
    from linuxkit.oci import export
    from linuxkit.oci.model import Platform

    program = proc.find("docker", package="docker.io")
    for one in made:
        if one.descriptor is not None:
            with tempfile.NamedTemporaryFile(suffix=".tar") as file:
                target = Platform("linux", one.arch)
                saved = [(found.name_for(one.arch), one.descriptor)]
                export.write_saved(store, saved, target, file)
                file.flush()
                proc.run([program, "load", "--input", file.name])


def client(args: argparse.Namespace) -> Client:
    """Who sends: a mirror is for reading, so what is sent goes to the registry itself."""
    from linuxkit.oci import registry

    options = registry.options((), args.cert_file, args.registry_creds)
    return registry.Client(options._replace(mirrors={}))


def _push(found: Package, made: Sequence[Made], desk: _Desk) -> None:
    from linuxkit.recipes import publish

    args = desk.args
    sent = publish.publish(
        found, made, client(args), desk.store,
        release=args.release, with_index=args.manifest == "true",
    )  # fmt: skip
    for name in sent:
        _say(f"{name}  sent", args)
