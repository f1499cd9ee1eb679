"""Short keys written out: ``hostname``, ``network`` and ``logs`` become files and containers.

A service with ``isolation: vm`` becomes what runs its machine (:mod:`linuxkit.spec.isolation`).

The containers are of stock packages, with no more privileges than each needs: one sets up
interfaces, addresses and routes, one asks for leases, one is given the keys of tunnels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from linuxkit.base.errors import Error
from linuxkit.oci import ref
from linuxkit.spec import forwarding, isolation, netfiles, text
from linuxkit.spec.confinement import Ports
from linuxkit.spec.model import File, Service, Step
from linuxkit.spec.netfiles import RESOLVER
from linuxkit.spec.parts import Runtime
from linuxkit.spec.places import Made
from linuxkit.spec.record import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.base.where import Where
    from linuxkit.oci.ref import Ref
    from linuxkit.spec.forwarding import Logs
    from linuxkit.spec.model import Spec
    from linuxkit.spec.network import Networking

_RECEIVERS = "etc/linuxkit/logs/receivers"
_POSITIONS = "/run/log-forward"
_READ = f"/{netfiles.FOLDER}:{netfiles.PLACE}:ro"
_WRITE = f"{RESOLVER}:{RESOLVER}:rw"
_RESOLV = "/etc/resolv.conf:/etc/resolv.conf:ro"


class PackageResolver(Protocol):
    """Who knows the packages that ``@pkg:`` names."""

    def reference(self, text: str, *, base: Path, where: Where) -> str:
        """The image reference for what stands behind ``@pkg:``.

        ``base`` is the folder of the file it stands in.  Raises an Error at ``where``.
        """


def no_packages(where: Where | None) -> Error:
    """LK0214: nobody here knows packages."""
    return Error("LK0214", "packages cannot be named here", where=where)


def expanded(spec: Spec, packages: PackageResolver | None) -> Spec:
    """A checked ``spec`` without ``hostname``, ``network`` and ``logs``: with what they stand for.

    Raises LK0214 without ``packages``, and what they raise.
    """
    written = _with_logs(_with_network(spec, packages), packages)

    def find(name: str, where: Where | None) -> Ref:
        if packages is None:
            raise no_packages(where)
        return _find(packages, name, where)

    return isolation.isolated(written, find)


def _with_logs(spec: Spec, packages: PackageResolver | None) -> Spec:
    """The numbers of other containers are known by now."""
    if spec.logs is None:
        return spec
    where = spec.where(("logs",))
    if packages is None:
        raise no_packages(where)
    receivers = forwarding.compiled(spec.logs, spec)
    image = _find(packages, "log-forward", where)
    service = _forwarder(spec.logs, image, strict=spec.profile == "strict")
    return replace(
        spec,
        logs=None,
        files=(*spec.files, _file(_RECEIVERS, receivers)),
        services=(*spec.services, service),
        places=spec.places.with_made(
            Made("files", len(spec.files), 1, ("logs",)),
            Made("services", len(spec.services), 1, ("logs",)),
        ),
    )


def _forwarder(logs: Logs, image: Ref, *, strict: bool) -> Service:
    servers = [server.to for server in logs.syslog if server.to.how != "unix"]
    ports = tuple(sorted({int(to.port) for to in servers if to.how == "tcp"}))
    folders = forwarding.folders(logs)
    binds = [f"/{_RECEIVERS}:/{_RECEIVERS}:ro", "/run/log:/run/log:ro", "/var/log:/var/log:ro"]
    binds += [f"{_POSITIONS}:{_POSITIONS}:rw"]
    binds += [f"{RESOLVER}:{RESOLVER}:ro"] if servers else []
    binds += [f"{folder}:{folder}:rw" for folder in folders]
    made = ("/run/log", _POSITIONS, *((RESOLVER,) if servers else ()), *folders)
    return Service(
        name="log-forward",
        image=image,
        command=("/usr/bin/log-forward", f"/{_RECEIVERS}", _POSITIONS),
        binds=tuple(map(text.bind, binds)),
        runtime=Runtime(mkdir=made),
        ports=Ports(connect=ports) if ports and strict else None,
        net="host" if servers else "new",
        userns="host",  # logs are root's
        # folders are mounted where the image has none; in a strict container the build makes them
        readonly=strict or not folders,
    )


def _with_network(spec: Spec, packages: PackageResolver | None) -> Spec:
    files: list[File] = []
    made: list[Made] = []
    if spec.hostname is not None:
        files.append(_file("etc/hostname", f"{spec.hostname}\n"))
        made.append(Made("files", len(spec.files), 1, ("hostname",)))
    if spec.network is None:
        return replace(
            spec, hostname=None, files=(*spec.files, *files), places=spec.places.with_made(*made)
        ) if files else spec  # fmt: skip
    where = spec.where(("network",))
    if packages is None:
        raise no_packages(where)
    network = _find(packages, "network", where)
    compiled = netfiles.compiled(spec.network)
    made.append(Made("files", len(spec.files) + len(files), len(compiled), ("network",)))
    files += [_file(f"{netfiles.FOLDER}/{name}", data) for name, data in compiled.items()]
    steps = list(_steps(spec.network, network, packages, where))
    turn = _turn(spec)
    made.append(Made("onboot", turn, len(steps), ("network",)))
    services = list(_services(spec.network, packages, where))
    made.append(Made("services", len(spec.services), len(services), ("network",)))
    return replace(
        spec,
        hostname=None,
        network=None,
        files=(*spec.files, *files),
        onboot=(*spec.onboot[:turn], *steps, *spec.onboot[turn:]),
        services=(*spec.services, *services),
        places=spec.places.with_made(*made),
    )


def _turn(spec: Spec) -> int:
    after = spec.network.after if spec.network else None
    names = [step.name for step in spec.onboot]
    return names.index(after) + 1 if after is not None else 0


def _file(path: str, contents: str) -> File:
    return File(path=path, contents=contents, mode=text.mode("0644"))


def _find(packages: PackageResolver, name: str, where: Where | None) -> Ref:
    from linuxkit.base.where import Where as Place

    at = where or Place("network", 1, 1)
    return ref.parse(packages.reference(name, base=Path(), where=at))


class _Needs(NamedTuple):
    """What a container is given."""

    capabilities: tuple[str, ...]
    binds: tuple[text.Bind, ...]
    tmpfs: tuple[text.Tmpfs, ...] = ()
    made: tuple[str, ...] = ()  # folders that the binds need


def _step(
    network: Networking, name: str, image: Ref, needs: _Needs, command: tuple[str, ...]
) -> Step:
    return Step(
        name=name,
        image=image,
        command=command,
        capabilities=needs.capabilities,
        binds=needs.binds,
        tmpfs=needs.tmpfs or None,
        runtime=Runtime(mkdir=needs.made) if needs.made else None,
        net="host",
        userns="host",  # the kernel asks who owns the network's namespace
        readonly=True,
        on_failure=network.on_failure,
    )


def _steps(
    network: Networking, image: Ref, packages: PackageResolver, where: Where | None
) -> Iterator[Step]:
    """First what is made, then who asks over it, then what may need a name server."""
    admin = ("CAP_NET_ADMIN",)
    binds = tuple(map(text.bind, (_READ, _WRITE) if network.dns else (_READ,)))
    yield _step(network, "network", image, _Needs(admin, binds), ("/usr/bin/network", "links"))
    leased = tuple(link.name for link in network.interfaces if link.dhcp)
    if leased:
        client = _find(packages, "udhcpc", where)
        command = ("/usr/bin/udhcpc.sh", "-1", *leased)
        yield _step(network, "network-dhcp", client, _dhcp(network), command)
    folders = netfiles.key_folders(network)
    if folders:
        keys = [f"{folder}:{netfiles.KEYS}/{n}:rw" for n, folder in enumerate(folders)]
        binds = tuple(map(text.bind, (_READ, _RESOLV, *keys)))
        needs = _Needs(admin, binds, (text.tmpfs(netfiles.KEYS),), folders)
        command = ("/usr/bin/network", "wireguard")
        yield _step(network, "network-wireguard", image, needs, command)


def _dhcp(network: Networking) -> _Needs:
    """What the client is given; with name servers of our own those of leases go nowhere."""
    needed = ("CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW")
    scratch = text.tmpfs("/tmp")  # noqa: S108 - in the container
    if network.dns:
        return _Needs(needed, (), (scratch, text.tmpfs(RESOLVER)))
    return _Needs(needed, (text.bind(_WRITE),), (scratch,))


def _services(
    network: Networking, packages: PackageResolver, where: Where | None
) -> Iterator[Service]:
    kept = tuple(link.name for link in network.interfaces if link.dhcp == "keep")
    if kept:
        needs = _dhcp(network)
        yield Service(
            name="network-dhcp",
            image=_find(packages, "udhcpc", where),
            command=("/usr/bin/udhcpc.sh", *kept),
            capabilities=needs.capabilities,
            binds=needs.binds,
            tmpfs=needs.tmpfs,
            net="host",
            userns="host",
            readonly=True,
        )
