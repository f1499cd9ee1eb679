"""The language: every key of a YAML file, its type and its meaning, as frozen values.

This is the only definition; decoding, the JSON Schema and the reference page come from it.  A key
that was not written is None, an empty one is empty.  Rules over several entries are left to
:mod:`linuxkit.spec.check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

from linuxkit.oci import ref
from linuxkit.oci.ref import Ref  # noqa: TC001 - the decoder reads annotations
from linuxkit.spec import text
from linuxkit.spec.confinement import Machine, Ports, Seccomp  # noqa: TC001 - as above
from linuxkit.spec.decode import Key, Problem
from linuxkit.spec.forwarding import Logs  # noqa: TC001
from linuxkit.spec.network import Networking  # noqa: TC001
from linuxkit.spec.parts import ID_LIMIT, Clocks, Device, IdMapping, Mount, Runtime, Strings
from linuxkit.spec.places import Places
from linuxkit.spec.record import Record
from linuxkit.spec.resources import Resources  # noqa: TC001
from linuxkit.spec.supervision import BackOff, Health, Ready, Stop, Watchdog  # noqa: TC001
from linuxkit.spec.text import Bind, Duration, Mode, Rlimit, Tmpfs  # noqa: TC001

if TYPE_CHECKING:
    from linuxkit.base.where import Where

PROFILES = ("strict", "compat", "none")

Texts = Mapping[str, str]
Ids = tuple[int | str, ...]

# Of an entry that stands for one of an earlier file.  No entry has them once files are merged:
# linuxkit.spec.patches deals with them.
Override = Annotated[
    bool | None, Key("Change the entry of that name in an earlier file, key by key.")
]
Remove = Annotated[bool | None, Key("Take the entry of that name in an earlier file out.")]


class Kernel(Record):
    """The kernel: an image with its file, its modules and its microcode."""

    image: Annotated[
        Ref | None, Key("Image that has the kernel's files at its root.", read=ref.parse)
    ] = None
    cmdline: Annotated[str | None, Key("The kernel's command line.")] = None
    binary: Annotated[str | None, Key("File in the image that is the kernel: `kernel`.")] = None
    tar: Annotated[
        str | None,
        Key("Archive in the image that is unpacked into the root: `kernel.tar`; `none` for none."),
    ] = None
    ucode: Annotated[str | None, Key("Microcode archive in the image, for x86 processors.")] = None


_CAPABILITIES = "exact names such as `CAP_NET_ADMIN`, or only `all` or `none`"


class ImageSettings(Record):
    """How a container runs; all of it may also come from its image's label."""

    capabilities: Annotated[
        Strings | None,
        Key(f"Capabilities of the process: {_CAPABILITIES}.", read=text.capability),
    ] = None
    capabilities_add: Annotated[
        Strings | None,
        Key("Capabilities besides those of the image's label.", name="capabilities.add",
            read=text.capability),
    ] = None  # fmt: skip
    ambient: Annotated[
        Strings | None,
        Key("Capabilities that programs keep when they start others.", read=text.capability),
    ] = None
    mounts: Annotated[tuple[Mount, ...] | None, Key("Mounts in the container.")] = None
    binds: Annotated[
        tuple[Bind, ...] | None,
        Key("Bind mounts `source:destination[:options]`; the source is a path or a volume.",
            read=text.bind),
    ] = None  # fmt: skip
    binds_add: Annotated[
        tuple[Bind, ...] | None,
        Key("Bind mounts besides those of the image's label.", name="binds.add", read=text.bind),
    ] = None
    tmpfs: Annotated[
        tuple[Tmpfs, ...] | None,
        Key("Empty file systems in memory: `destination[:options]`.", read=text.tmpfs),
    ] = None
    devices: Annotated[tuple[Device, ...] | None, Key("Devices it can use.")] = None
    command: Annotated[
        Strings | None, Key("Program and arguments; else those of the image.", argv=True)
    ] = None
    env: Annotated[Strings | None, Key("Environment `NAME=value`; else that of the image.")] = None
    cwd: Annotated[str | None, Key("Working directory; else that of the image, or `/`.")] = None
    net: Annotated[
        str | None,
        Key("Network: `host` (the default), `new`, `none`, or the path of a namespace.",
            read=text.net_namespace),
    ] = None  # fmt: skip
    pid: Annotated[
        str | None,
        Key("Processes: `new` (the default), `host`, or a path.", read=text.namespace),
    ] = None
    ipc: Annotated[
        str | None,
        Key("System V IPC: `host` (the default), `new`, or a path.", read=text.namespace),
    ] = None
    uts: Annotated[
        str | None,
        Key("Host name: `host` (the default), `new`, or a path.", read=text.namespace),
    ] = None
    userns: Annotated[
        str | None,
        Key("Users: `host` (the default), `new`, or a path.", read=text.namespace),
    ] = None
    hostname: Annotated[str | None, Key("Host name; needs `uts: new`.", read=text.hostname)] = None
    clocks: Annotated[
        Clocks | None,
        Key("A time namespace: its clocks that count from boot; needs crun and `userns: host`."),
    ] = None
    readonly: Annotated[bool | None, Key("Whether its root cannot be written to.")] = None
    masked_paths: Annotated[Strings | None, Key("Paths that are hidden.")] = None
    readonly_paths: Annotated[Strings | None, Key("Paths that cannot be written to.")] = None
    uid: Annotated[
        int | str | None,
        Key("User it runs as: a number, or the name of a container.", least=0, most=ID_LIMIT),
    ] = None
    gid: Annotated[
        int | str | None,
        Key("Group it runs as: a number, or the name of a container.", least=0, most=ID_LIMIT),
    ] = None
    additional_gids: Annotated[Ids | None, Key("Further groups.", least=0, most=ID_LIMIT)] = None
    no_new_privileges: Annotated[bool | None, Key("Whether set-user-id programs gain nothing.")] = (
        None
    )
    oom_score_adj: Annotated[
        int | None,
        Key("How soon it is killed when memory is short, -1000 (never) to 1000.",
            least=-1000, most=1000),
    ] = None  # fmt: skip
    rootfs_propagation: Annotated[
        str | None,
        Key("Whether mounts spread out of and into its root.",
            choices=("", "private", "rprivate", "shared", "rshared", "slave", "rslave",
                     "unbindable", "runbindable")),
    ] = None  # fmt: skip
    cgroups_path: Annotated[str | None, Key("Its control group.")] = None
    resources: Annotated[Resources | None, Key("What it may use up.")] = None
    sysctl: Annotated[Texts | None, Key("Kernel parameters of its namespaces.")] = None
    rlimits: Annotated[
        tuple[Rlimit, ...] | None,
        Key("Limits `name,soft,hard`, such as `nofile,1024,unlimited`.", read=text.rlimit),
    ] = None
    uid_mappings: Annotated[
        tuple[IdMapping, ...] | None, Key("User ids of its user namespace.")
    ] = None
    gid_mappings: Annotated[
        tuple[IdMapping, ...] | None, Key("Group ids of its user namespace.")
    ] = None
    annotations: Annotated[Texts | None, Key("Notes for the container runtime.")] = None
    runtime: Annotated[Runtime | None, Key("What is prepared before it starts.")] = None
    seccomp: Annotated[
        Seccomp | None, Key("With `profile: strict`: system calls beyond the usual ones, or fewer.")
    ] = None
    ports: Annotated[
        Ports | None, Key("With `profile: strict`: the TCP ports it may use; else none.")
    ] = None
    jit: Annotated[
        bool | None,
        Key("With `profile: strict`: whether it may make code while it runs."),
    ] = None

    def problems(self) -> Iterator[Problem]:
        """Rules over several keys, or over a whole list."""
        for key, names in (
            ("capabilities", self.capabilities),
            ("capabilities.add", self.capabilities_add),
            ("ambient", self.ambient),
        ):
            word = next((n for n in names or () if n.lower() in {"all", "none"}), None)
            if word and len(names or ()) > 1:
                yield Problem(key, f'names "{word}" besides others', "write it alone")
        for index, mount in enumerate(self.mounts or ()):
            at = ("mounts", index)
            if not mount.kind:
                yield Problem("type", 'has no "type"', "such as bind or tmpfs", "LK0205", at)
            elif not mount.target:
                yield Problem("destination", 'has no "destination"', "", "LK0205", at)


class Container(ImageSettings):
    """A container: an image, and how it runs."""

    name: Annotated[str, Key("Its name, which is also a name for its user id.", read=text.name)]
    image: Annotated[Ref, Key("The image it runs.", read=ref.parse)]
    stop: Annotated[Stop | None, Key("How it is asked to end.")] = None
    profile: Annotated[
        str | None,
        Key("How it is confined; else as the whole file says.  `none` needs `--allow-unsafe`.",
            choices=PROFILES),
    ] = None
    grant: Annotated[
        str | None,
        Key("With `profile: strict`: `label` grants all that the image's label asks for.",
            choices=("label",)),
    ] = None  # fmt: skip
    landlock: Annotated[
        str | None,
        Key("With `profile: strict`: `enforce` (the default), `best-effort` where the kernel has "
            "less of it, or `off`.", choices=("enforce", "best-effort", "off")),
    ] = None  # fmt: skip
    secrets: Annotated[
        Strings | None,
        Key("Names of secrets: files in `/run/secrets` for this container alone, which the "
            "machine is given at boot.", read=text.secret),
    ] = None  # fmt: skip
    override: Override = None
    remove: Remove = None


class Service(Container):
    """A container that stays, beside others."""

    restart: Annotated[
        str | None,
        Key("When it is started again: `on-failure` (the default), `always` or `no`.",
            choices=("on-failure", "always", "no")),
    ] = None  # fmt: skip
    backoff: Annotated[BackOff | None, Key("How long it rests before that, and how often.")] = None
    critical: Annotated[
        bool | str | None,
        Key("What follows when it is given up: `true` or `reboot` reboots the machine.",
            choices=("reboot", "halt", "poweroff")),
    ] = None  # fmt: skip
    after: Annotated[
        Strings | None,
        Key("Services and onboot containers that are ready, or given up, before it starts; it "
            "ends before they do."),
    ] = None  # fmt: skip
    requires: Annotated[
        Strings | None,
        Key("As `after`, but it is not started when one of them is not there."),
    ] = None
    ready: Annotated[Ready | None, Key("When it counts as ready; else as soon as it runs.")] = None
    health: Annotated[Health | None, Key("How to see that it has to be started anew.")] = None
    isolation: Annotated[
        str | None,
        Key("With `profile: strict`: `container` (the default), or `vm`: a container in a virtual "
            "machine of its own.", choices=("container", "vm")),
    ] = None  # fmt: skip
    machine: Annotated[Machine | None, Key("With `isolation: vm`: what that is made of.")] = None
    inner: Spec | None = None  # the system in that machine; this service is then what runs it


class Step(Container):
    """A container that runs once, before the services."""

    on_failure: Annotated[
        str | None,
        Key("What a failure leads to: `stop` (the default) halts the boot with a message.",
            choices=("stop", "continue", "reboot", "poweroff")),
    ] = None  # fmt: skip
    timeout: Annotated[
        Duration | None,
        Key("It has failed when it takes longer: any time onboot, `1m` onshutdown.",
            read=text.duration),
    ] = None  # fmt: skip


class LastStep(Step):
    """A container that runs once, at an orderly end."""

    requires: Annotated[
        Strings | None, Key("Services that stay up until it is through; the others end before.")
    ] = None


class Volume(Record):
    """Named storage that containers share."""

    name: Annotated[str, Key("What binds and mounts call it.", read=text.volume)]
    image: Annotated[Ref | None, Key("Image that it holds; else it is empty.", read=ref.parse)] = (
        None
    )
    readonly: Annotated[bool | None, Key("Whether it cannot be written to.")] = None
    format: Annotated[
        str | None,
        Key("`filesystem` (the default) holds the image's files, `oci` an OCI image layout.",
            choices=("filesystem", "oci")),
    ] = None  # fmt: skip
    platforms: Annotated[
        Strings | None,
        Key("With `oci`: which platforms, such as `linux/amd64`; else all.", read=text.platform),
    ] = None
    override: Override = None
    remove: Remove = None

    def problems(self) -> Iterator[Problem]:
        """An OCI layout needs an image to hold."""
        if self.format == "oci" and self.image is None:
            yield Problem("format", 'has no "image"', 'format "oci" needs one', "LK0205")
        if self.platforms and self.format != "oci":
            yield Problem("platforms", 'has "platforms"', 'they need format "oci"')


class File(Record):
    """A file, directory or symbolic link in the system's root."""

    path: Annotated[str, Key("Where it is in the root.", read=text.file_path)]
    directory: Annotated[bool | None, Key("Make a directory.")] = None
    symlink: Annotated[str | None, Key("Make a symbolic link to this.")] = None
    contents: Annotated[str | None, Key("What the file holds.")] = None
    source: Annotated[str | None, Key("File of the machine that builds; may begin with `~/`.")] = (
        None
    )
    metadata: Annotated[
        str | None, Key("The whole configuration, in this format.", choices=("yaml", "json"))
    ] = None
    optional: Annotated[bool | None, Key("Leave it out when its source is not there.")] = None
    mode: Annotated[
        Mode | None,
        Key("Permissions in octal: `0600`, for directories `0700`.", read=text.mode),
    ] = None
    uid: Annotated[
        int | str | None,
        Key("Owner: a number, or the name of a container.", least=0, most=ID_LIMIT),
    ] = None
    gid: Annotated[
        int | str | None,
        Key("Group: a number, or the name of a container.", least=0, most=ID_LIMIT),
    ] = None
    override: Override = None
    remove: Remove = None

    def problems(self) -> Iterator[Problem]:
        """It has one content."""
        forms = [
            name
            for name, value in (
                ("directory", self.directory or None),
                ("symlink", self.symlink),
                ("contents", self.contents),
                ("source", self.source),
                ("metadata", self.metadata),
            )
            if value is not None
        ]
        known = "contents, source, metadata, directory or symlink"
        if not forms:
            yield Problem("path", "has no content", f"give it one of {known}", "LK0205")
        if len(forms) > 1:
            both = " and ".join(f'"{form}"' for form in forms[:2])
            yield Problem(forms[1], f"has both {both}", f"give it one of {known}", "LK0212")
        for key, value in (("symlink", self.symlink), ("source", self.source)):
            if value == "":
                yield Problem(key, f'has an empty "{key}"')


class Trust(Record):
    """Whose images must be signed.  A trust policy has to have the keys, else nothing is built."""

    image: Annotated[Strings | None, Key("References of images.")] = None
    org: Annotated[Strings | None, Key("Organisations of Docker Hub.")] = None


class Spec(Record):
    """What the user wrote, of one file or of several merged.

    Merged, it has none of ``include``, ``variables``, ``hostname``, ``network`` and ``logs``: all
    have been dealt with.
    """

    kernel: Annotated[Kernel | None, Key("The kernel; leave it out for a container image.")] = None
    init: Annotated[
        tuple[Ref, ...], Key("Images unpacked into the root, in order.", read=ref.parse)
    ] = ()
    volumes: Annotated[tuple[Volume, ...], Key("Storage that containers share.")] = ()
    onboot: Annotated[tuple[Step, ...], Key("Containers that run first, one after the other.")] = ()
    onshutdown: Annotated[
        tuple[LastStep, ...], Key("Containers that run at an orderly end, one after the other.")
    ] = ()
    services: Annotated[tuple[Service, ...], Key("Containers that run side by side.")] = ()
    hostname: Annotated[str | None, Key("The machine's name.", read=text.hostname)] = None
    network: Annotated[Networking | None, Key("How the machine's network is set up.")] = None
    logs: Annotated[Logs | None, Key("Where output goes besides the machine's own files.")] = None
    watchdog: Annotated[Watchdog | None, Key("A hardware watchdog that PID 1 feeds.")] = None
    files: Annotated[tuple[File, ...], Key("Files added to the root.")] = ()
    include: Annotated[
        Strings | None,
        Key("Files and URLs that come before this one; paths start from its folder."),
    ] = None
    variables: Annotated[
        Mapping[str, str | None] | None,
        Key("What `${NAME}` stands for in this file unless `--set` says otherwise."),
    ] = None
    profile: Annotated[
        str | None,
        Key(
            "How containers are confined: `strict`, or `compat`, upstream's way and the default; "
            "`none` is that without what `compat` adds, and needs `--allow-unsafe`.",
            choices=PROFILES,
        ),
    ] = None
    trust: Annotated[Trust | None, Key("Images that must be signed.")] = None
    places: Places = Places()

    def where(self, path: tuple[str | int, ...]) -> Where | None:
        """Where the value at ``path``, such as ``("services", 0, "image")``, was written."""
        return self.places.where(path)
