"""The language of package recipes (``build.yml``): upstream's keys and our drivers, read whole.

Paths of files pass the one escape check here; what packages exist is the archive's to say.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the decoder reads the annotations
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, NamedTuple

from linuxkit.base import digest, files, platform
from linuxkit.base.errors import Error, printable
from linuxkit.recipes import texts
from linuxkit.recipes.debian.lock import ROOT, SOURCE
from linuxkit.recipes.debian.release import MAIN
from linuxkit.spec import text, yaml
from linuxkit.spec.decode import Key, Problem, decode
from linuxkit.spec.node import Mapping as MapNode
from linuxkit.spec.node import Node, Scalar, Sequence, find
from linuxkit.spec.record import Record
from linuxkit.tree import path as paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from linuxkit.base.where import Where

_MAX_BYTES = 1 << 20
_MAX_ID = 2**32 - 2
_KINDS = ("source", "contents", "guest", "concat", "symlink", "directory")
_ARCHES = platform.names()
ALL = "all"
_BY_ARCH = (
    ("debian", "packages"), ("debian", "keep"), ("kernel", "modules"), ("kernel", "device-trees"),
    ("build", "packages"),
)  # fmt: skip


_Texts = tuple[str, ...]


class ByArch(Record):
    """A list for all architectures, and further ones for some."""

    all: Annotated[_Texts, Key("for every architecture")] = ()
    amd64: Annotated[_Texts, Key("for amd64 only")] = ()
    arm64: Annotated[_Texts, Key("for arm64 only")] = ()
    riscv64: Annotated[_Texts, Key("for riscv64 only")] = ()
    s390x: Annotated[_Texts, Key("for s390x only")] = ()

    def get(self, arch: str) -> _Texts:
        """What holds for the OCI architecture ``arch``, in the recipe's order."""
        own: _Texts = getattr(self, platform.arch(arch).oci)
        return (*self.all, *own)


class Debian(Record):
    """The driver ``debian:``."""

    packages: Annotated[ByArch, Key("the Debian packages to take files from")]
    components: Annotated[
        _Texts, Key("the parts of the archive to look in", read=texts.part)
    ] = (MAIN,)
    exclude: Annotated[_Texts, Key("dependencies to go without", read=texts.package)] = ()
    keep: Annotated[ByArch | None, Key("patterns of files to keep")] = None
    drop: Annotated[_Texts, Key("patterns of files to leave out", read=texts.pattern)] = ()
    usr_merge: Annotated[bool, Key("whether /bin, /lib … link to /usr", name="usr-merge")] = True

    def problems(self) -> Iterator[Problem]:
        """Names that no Debian package can have."""
        for name in sorted({name for arch in platform.names() for name in self.packages.get(arch)}):
            if not texts.PACKAGE.fullmatch(name):
                text_ = f'have "{printable(name)}", which cannot be a Debian package'
                yield Problem("packages", text_, code="LK0545")
        wanted = {each for arch in platform.names() for each in self.kept(arch) or ()}
        for pattern in sorted(each for each in wanted if not texts.is_pattern(each)):
            text_ = f'has "{printable(pattern)}": a pattern must have no slash at either end'
            yield Problem("keep", text_, code="LK0545")

    def kept(self, arch: str) -> _Texts | None:
        """The patterns of files to keep for the OCI architecture ``arch``; None keeps all."""
        return None if self.keep is None else self.keep.get(arch)


class KernelDriver(Record):
    """The driver ``kernel:``."""

    packages: Annotated[
        Mapping[str, str], Key("the kernel's package for each architecture", read=texts.package)
    ]
    modules: Annotated[ByArch, Key("the modules to take, with what they need")] = ByArch()
    device_trees: Annotated[
        ByArch, Key("patterns of device trees to take", name="device-trees")
    ] = ByArch()
    suite: Annotated[str, Key("the suite to take it from, if another", read=texts.part)] = ""


class Limits(Record):
    """How much the commands of ``build:`` may take."""

    timeout: Annotated[int, Key("seconds for all commands", least=1, most=7 * 86400)] = 3600
    processes: Annotated[int, Key("processes and threads", least=1, most=1 << 22)] = 4096
    memory: Annotated[int, Key("MiB of address space of a process", least=16, most=1 << 24)] = (
        16 << 10
    )
    file: Annotated[int, Key("MiB of a file that is written", least=1, most=1 << 24)] = 16 << 10


class Output(Record):
    """One of ``outputs:``; a folder is taken with all below it."""

    source: Annotated[str, Key("what is taken, below /build", read=texts.output)]
    path: Annotated[str, Key("where it lies in the image; / is the root", read=texts.place)]
    mode: Annotated[text.Mode | None, Key("permission bits of a file", read=text.mode)] = None
    uid: Annotated[int, Key("the owner's number", least=0, most=_MAX_ID)] = 0
    gid: Annotated[int, Key("the group's number", least=0, most=_MAX_ID)] = 0


class Commands(Record):
    """The driver ``build:``."""

    packages: Annotated[ByArch, Key("the Debian packages to build with")] = ByArch()
    exclude: Annotated[_Texts, Key("dependencies to go without", read=texts.package)] = ()
    sources: Annotated[_Texts, Key("Debian source packages to build", read=texts.package)] = ()
    machine: Annotated[str, Key("what the commands run on", read=texts.arch)] = ""
    links: Annotated[Mapping[str, str], Key("links to add to the build root")] = (
        MappingProxyType({})
    )
    env: Annotated[_Texts, Key("NAME=VALUE", read=texts.variable)] = ()
    steps: Annotated[_Texts, Key("shell scripts, one after the other")] = ()
    outputs: Annotated[tuple[Output, ...], Key("what becomes part of the image")] = ()
    limits: Annotated[Limits, Key("how much the commands may take")] = Limits()

    def problems(self) -> Iterator[Problem]:
        """Names and paths that cannot be; nothing to do, or nothing done."""
        for name in sorted({name for arch in platform.names() for name in self.packages.get(arch)}):
            if not texts.PACKAGE.fullmatch(name):
                text_ = f'have "{printable(name)}", which cannot be a Debian package'
                yield Problem("packages", text_, code="LK0545")
        for path, target in self.links.items():
            try:
                texts.path(path)
                paths.target(target)
            except Error as error:
                yield Problem("links", f"hold what cannot be: {error.message}", code="LK0545")
        for key in ("steps", "outputs"):
            if not getattr(self, key):
                yield Problem(key, "must not be empty", code="LK0545")

    def runs_on(self, arch: str) -> str:
        """The OCI architecture of the machine that builds for ``arch``."""
        return platform.arch(self.machine or arch).oci


class OwnFile(Record):
    """One of ``files:``."""

    path: Annotated[str, Key("where it lies in the image", read=texts.path)]
    source: Annotated[str | None, Key("a file of the package folder")] = None
    contents: Annotated[str | None, Key("its text")] = None
    guest: Annotated[str | None, Key("a guest program, built for the target")] = None
    concat: Annotated[str | None, Key("pattern of .deb files to join", read=texts.pattern)] = None
    symlink: Annotated[str | None, Key("the target of a symbolic link")] = None
    directory: Annotated[bool, Key("whether it is a folder")] = False
    mode: Annotated[text.Mode | None, Key("permission bits, octal", read=text.mode)] = None
    uid: Annotated[int, Key("the owner's number", least=0, most=_MAX_ID)] = 0
    gid: Annotated[int, Key("the group's number", least=0, most=_MAX_ID)] = 0

    def problems(self) -> Iterator[Problem]:
        """A file is of one kind."""
        kinds = [kind for kind in _KINDS if getattr(self, kind) not in (None, False)]
        if len(kinds) != 1:
            yield Problem("path", f"must have exactly one of {', '.join(_KINDS)}", code="LK0545")


class User(Record):
    """One of ``users:``."""

    name: Annotated[str, Key("the user's name", read=texts.user)]
    uid: Annotated[int, Key("the user's number", least=1, most=_MAX_ID)]
    gid: Annotated[int, Key("the number of the user's group", least=0, most=_MAX_ID)]
    home: Annotated[str, Key("the home folder", read=texts.passwd)] = "/"
    shell: Annotated[str, Key("the shell", read=texts.passwd)] = "/sbin/nologin"


class DockerImages(Record):
    """Images that a Dockerfile wants beside it (upstream)."""

    list: Annotated[_Texts, Key("references with digests")] = ()
    from_file: Annotated[str, Key("a file that lists them", name="from-file")] = ""
    target: Annotated[str, Key("the archive to write")] = ""
    target_dir: Annotated[str, Key("the folder to write them to", name="target-dir")] = ""


class Depends(Record):
    """What a Dockerfile needs beforehand (upstream)."""

    docker_images: Annotated[DockerImages, Key("images", name="docker-images")] = DockerImages()


class Document(Record):
    """The keys of ``build.yml``; ``config:`` is taken out before, for it holds anything."""

    image: Annotated[str, Key("the name of the image")]
    org: Annotated[str, Key("upstream: the organisation")] = "linuxkit"
    tag: Annotated[str, Key("upstream: template of the tag")] = ""
    dockerfile: Annotated[str, Key("upstream: the Dockerfile")] = ""
    arches: Annotated[_Texts, Key("what it is made for", read=texts.arch)] = _ARCHES
    extra_sources: Annotated[_Texts, Key("upstream: more folders", name="extra-sources")] = ()
    gitrepo: Annotated[str, Key("upstream: where the sources are")] = ""
    network: Annotated[bool, Key("upstream: whether building needs a network")] = False
    disable_cache: Annotated[bool, Key("upstream: build anew", name="disable-cache")] = False
    build_args: Annotated[_Texts, Key("upstream: arguments of the Dockerfile")] = ()
    depends: Annotated[Depends | None, Key("upstream: images it needs")] = None
    debian: Annotated[Debian | None, Key("make it of Debian packages")] = None
    kernel: Annotated[KernelDriver | None, Key("make it of a Debian kernel")] = None
    build: Annotated[Commands | None, Key("make it with commands in a sandbox")] = None
    files: Annotated[tuple[OwnFile, ...], Key("the package's own files")] = ()
    users: Annotated[tuple[User, ...], Key("users besides root")] = ()
    entrypoint: Annotated[_Texts, Key("the program")] = ()
    cmd: Annotated[_Texts, Key("its arguments, which a YAML's command replaces")] = ()
    env: Annotated[_Texts, Key("NAME=VALUE")] = ()
    workdir: Annotated[str, Key("the folder it starts in")] = ""
    user: Annotated[str, Key("whom it runs as, UID:GID")] = ""
    labels: Annotated[Mapping[str, str], Key("further labels of the image")] = MappingProxyType({})

    def problems(self) -> Iterator[Problem]:
        """What holds between keys."""
        for other in ("debian", "build"):
            if getattr(self, other) and self.kernel:
                text_ = f"cannot have both `{other}:` and `kernel:`"
                yield Problem("kernel", text_, code="LK0545")
        if not self.debian and any(file.concat for file in self.files):
            yield Problem("files", "has a `concat`, which needs `debian:`", code="LK0545")
        for arch in self.kernel.packages if self.kernel else ():
            if arch not in platform.names():
                yield Problem(
                    "kernel", f'names the architecture "{printable(arch)}"', code="LK0545"
                )


class Recipe(NamedTuple):
    """A package folder and what its ``build.yml`` says; it goes by the folder's name."""

    folder: Path
    where: Where
    says: Document
    config: object  # None when there is no `config:`
    steps: tuple[Where, ...] = ()  # where each of `build: steps:` stands

    @property
    def name(self) -> str:
        """The name of the package."""
        return self.folder.name

    @property
    def is_ours(self) -> bool:
        """Whether a driver of ours makes it; else there has to be a Dockerfile."""
        says = self.says
        return bool(says.debian or says.kernel or says.build or says.files)

    @property
    def runs_programs(self) -> bool:
        """Whether making it takes a machine of a certain architecture."""
        return self.says.build is not None or not self.is_ours

    @property
    def concats(self) -> tuple[str, ...]:
        """Patterns of .deb files that own files are made of."""
        return tuple(file.concat for file in self.says.files if file.concat)

    def inputs(self, arch: str) -> str:
        """A short digest of all that decides which .debs are needed on ``arch``."""
        value: object = None
        if self.says.debian is not None:
            asked = self.says.debian
            packages, keep = asked.packages.get(arch), asked.kept(arch)
            value = [packages, asked.exclude, keep, asked.drop, self.concats]
            if asked.components != (MAIN,):
                value = [*value, asked.components]
        if self.says.kernel is not None:
            value = self.says.kernel.packages.get(arch)
            if self.says.kernel.suite:
                value = [value, self.says.kernel.suite]
        return digest.hex_of(digest.of_value(value))[:16]

    @property
    def root_name(self) -> str:
        """What the lock calls the packages that ``build:`` runs its commands with."""
        return self.name + ROOT

    @property
    def source_name(self) -> str:
        """What the lock calls the source packages that ``build:`` names."""
        return self.name + SOURCE

    def source_inputs(self) -> str:
        """As :meth:`inputs`, for source packages."""
        return digest.hex_of(digest.of_value(self.says.build and self.says.build.sources))[:16]

    def root_inputs(self, arch: str) -> str:
        """As :meth:`inputs`, for the build root; ``arch`` is what the image is made for."""
        asked = self.says.build
        value = asked and [asked.packages.get(arch), asked.exclude, asked.runs_on(arch)]
        return digest.hex_of(digest.of_value(value))[:16]

    def main_package(self, arch: str) -> str:
        """The package whose version the image goes by, empty when there is none."""
        if self.says.debian is not None:
            return next(iter(self.says.debian.packages.get(arch)), "")
        return self.says.kernel.packages.get(arch, "") if self.says.kernel is not None else ""


def load(folder: Path, name: str = "build.yml") -> Recipe:
    """Read the file ``name`` in ``folder``.

    Raises everything that is wrong at once: LK02xx (YAML, keys, types), LK0545 (values), LK0601
    (paths).
    """
    path = folder / name
    try:
        with path.open("rb") as source:
            data = source.read(_MAX_BYTES + 1)
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    if len(data) > _MAX_BYTES:
        raise Error("LK0202", f"{path} has more than {_MAX_BYTES >> 20} MiB")
    return parse(yaml.parse(yaml.decode_text(data, str(path)), str(path)), folder)


def parse(document: Node, folder: Path) -> Recipe:
    """Make a recipe of a YAML document.  Raises as :func:`load`."""
    config = None
    if isinstance(document, MapNode):
        if "config" in document.items:
            config = _plain(document.items.pop("config")[1])
        for outer, inner in _BY_ARCH:
            driver = document.items.get(outer, (None, None))[1]
            if isinstance(driver, MapNode):
                _widen(driver, inner)
    steps = find(document, ("build", "steps"))
    places = [item.where for item in steps.items] if isinstance(steps, Sequence) else []
    says = decode(document, Document, "the recipe")
    return Recipe(folder, document.where, says, config, tuple(places))


def _widen(mapping: MapNode, name: str) -> None:
    """Where a plain list stands, put the map that it is short for."""
    found = mapping.items.get(name)
    if found is not None and isinstance(found[1], Sequence):
        key, value = found
        wide = MapNode(value.source, value.line, value.column)
        wide.items[ALL] = (key, value)
        mapping.items[name] = (key, wide)


def _plain(node: Node) -> object:
    """The value of ``node`` as JSON has it."""
    if isinstance(node, MapNode):
        return {name: _plain(value) for name, (_key, value) in node.items.items()}
    if isinstance(node, Sequence):
        return [_plain(item) for item in node.items]
    if not isinstance(node, Scalar):
        raise TypeError(node.kind)
    if node.is_null:
        return None
    if node.boolean is not None:
        return node.boolean
    return node.value if node.integer is None else node.integer
