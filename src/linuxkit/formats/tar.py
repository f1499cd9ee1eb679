"""The root file system as a tar, and as a Docker build context; a concatenation of segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.build.plan import EPOCH
from linuxkit.formats.output import Blobs, copy_blob
from linuxkit.tree import tar
from linuxkit.tree.entry import Bytes, Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from linuxkit.build.system import System
    from linuxkit.formats import Options
    from linuxkit.formats.output import Output


class Tar:
    """``NAME.tar``: what upstream calls the filesystem."""

    def emit(self, system: System, out: Output, _options: Options) -> None:
        """Write the one file."""
        self.write(system, out.file("tar", ".tar"))

    def write(self, system: System, out: BinaryIO) -> None:
        """Write the archive to ``out``."""
        _write(system, out, ())


class Docker:
    """``NAME.docker``: the same with a Dockerfile, for ``docker build -``."""

    def emit(self, system: System, out: Output, _options: Options) -> None:
        """Write the one file."""
        self.write(system, out.file("docker", ".docker"))

    def write(self, system: System, out: BinaryIO) -> None:
        """Write the archive to ``out``."""
        start = system.plan.init or "/bin/rc.init"
        text = f'FROM scratch\nCOPY . ./\nENTRYPOINT ["{start}"]\n'.encode()
        entry = Entry("Dockerfile", Kind.FILE, 0o644, mtime=EPOCH, content=Bytes(text))
        _write(system, out, (entry,))


def _write(system: System, out: BinaryIO, extra: tuple[Entry, ...]) -> None:
    writer = tar.Writer(out)
    if system.plan.kernel:
        origin = system.plan.kernel.origin
        pax = {"LINUXKIT.location": origin.location, "LINUXKIT.source": origin.source}
        for entry in _boot(system):
            writer.add(entry, pax)
    for segment in system.segments:
        copy_blob(system.store, segment.tar, out)
    for entry in extra:
        writer.add(entry)
    writer.close()


def _boot(system: System) -> Iterator[Entry]:
    parts = system.kernel
    if parts is None:
        return
    yield Entry("boot", Kind.DIR, 0o755, mtime=EPOCH)
    cmdline = Bytes(parts.cmdline.encode())
    yield Entry("boot/cmdline", Kind.FILE, 0o644, mtime=EPOCH, content=cmdline)
    for name, part in (("kernel", parts.binary), ("ucode.cpio", parts.ucode)):
        if part:
            content = Blobs(system.store, (part.blob,))
            yield Entry(f"boot/{name}", Kind.FILE, part.mode, mtime=EPOCH, content=content)
