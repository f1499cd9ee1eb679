"""A folder that looks like a Debian archive, filled by the host's own apt.

For tests with real packages: apt talks to whatever archive this machine uses, and the tool under
test reads the folder (``LINUXKIT_DEBIAN_MIRROR=file:///FOLDER/debian``).  Signatures and hashes stay
the archive's own.  By hand: ``python tests/support/apt_mirror.py FOLDER [--arch ARCH] [RECIPE…]``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from linuxkit.recipes import recipe as recipes
from linuxkit.recipes.debian import kernel, mirror, solver
from linuxkit.recipes.debian.archive import suites
from linuxkit.recipes.debian.control import Index
from linuxkit.recipes.stock import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from linuxkit.recipes.debian.control import Package

_PATH = "/usr/lib/apt/apt-helper"


class AptMirror:
    """An archive in ``root`` for the Debian architectures ``arches``."""

    def __init__(self, root: Path, arches: Sequence[str]) -> None:
        self.root = root
        self.arches = arches
        self._apt = root / "apt"
        self._indices: dict[str, Index] = {}

    @property
    def url(self) -> str:
        return (self.root / "debian").as_uri()

    def update(self) -> None:
        """Fetch the signed indices."""
        bases = mirror.choose({}, {})
        for folder in ("lists/partial", "archives/partial"):
            (self._apt / folder).mkdir(parents=True, exist_ok=True)
        (self._apt / "status").touch()
        lines = [f"deb [signed-by={_keyring()}] {bases.archives(s)[0]} {s} main" for s in suites()]
        (self._apt / "sources.list").write_text("\n".join(lines) + "\n")
        listed = " ".join(f'"{arch}";' for arch in self.arches)
        (self._apt / "apt.conf").write_text(
            f'Dir::State "{self._apt}"; Dir::State::status "{self._apt}/status";\n'
            f'Dir::Cache "{self._apt}"; Dir::Etc::sourcelist "{self._apt}/sources.list";\n'
            'Dir::Etc::sourceparts "/nonexistent"; Dir::Etc::preferencesparts "/nonexistent";\n'
            f'APT::Architecture "{self.arches[0]}"; APT::Architectures {{ {listed} }};\n'
            'Acquire::Languages "none"; APT::Sandbox::User "root";\n'
        )
        self._run("apt-get", "-q", "update")
        for base, suite in ((bases.archives(s)[0], s) for s in suites()):
            split = urlsplit(base)
            prefix = (split.netloc + split.path).replace("/", "_") + f"_dists_{suite}_"
            dists = self._archive(suite) / "dists" / suite
            (dists / "main").mkdir(parents=True, exist_ok=True)
            shutil.copy(self._apt / "lists" / f"{prefix}InRelease", dists / "InRelease")
            for arch in self.arches:
                found = next((self._apt / "lists").glob(f"{prefix}main_binary-{arch}_Packages*"))
                (dists / "main" / f"binary-{arch}").mkdir(exist_ok=True)
                text = self._run(_PATH, "cat-file", str(found))
                (dists / "main" / f"binary-{arch}" / "Packages").write_bytes(text)
                self._indices.setdefault(arch, Index()).add(suite, text)

    def _archive(self, suite: str) -> Path:
        return self.root / ("debian-security" if suite.endswith("-security") else "debian")

    def place(self, suite: str, pool: str) -> Path:
        """Where a .deb lies."""
        return self._archive(suite) / pool

    def apt(self, *argv: str) -> bytes:
        """Run one of apt's programs on this archive's indices."""
        return self._run(*argv)

    def _run(self, *argv: str, cwd: Path | None = None) -> bytes:
        env = {**os.environ, "APT_CONFIG": str(self._apt / "apt.conf")}
        return subprocess.run(argv, env=env, cwd=cwd, check=True, capture_output=True).stdout

    def index(self, arch: str) -> Index:
        return self._indices[arch]

    def add(self, packages: Iterable[Package], arch: str) -> None:
        """Fetch .debs into the pool."""
        missing = [p for p in packages if not self.place(p.suite, p.pool).exists()]
        if not missing:
            return
        folder = self._apt / "archives"
        words = [f"{p.name}:{arch if p.arch != 'all' else 'all'}={p.version}" for p in missing]
        self._run("apt-get", "-q", "download", *words, cwd=folder)
        for package in missing:
            version = package.version.replace(":", "%3a")
            place = self.place(package.suite, package.pool)
            place.parent.mkdir(parents=True, exist_ok=True)
            (folder / f"{package.name}_{version}_{package.arch}.deb").rename(place)

    def add_recipes(self, names: Iterable[str], arch: str) -> None:
        """Fetch all that locking the stock packages ``names`` looks at."""
        shelf = Shelf()
        for name in names:
            says = recipes.load(shelf.path(name)).says
            if says.debian is not None:
                asked = says.debian
                self.add(
                    solver.closure(
                        self.index(arch), asked.packages.get(arch), arch=arch, exclude=asked.exclude
                    ),
                    arch,
                )
            if says.kernel is not None and arch in says.kernel.packages:
                self.add(kernel.packages(self.index(arch), says.kernel.packages[arch], arch), arch)


def _keyring() -> str:
    return "/usr/share/keyrings/debian-archive-keyring.gpg"


def main(argv: list[str]) -> None:
    root, names, arch = Path(argv[0]).resolve(), argv[1:], "amd64"
    if "--arch" in names:
        at = names.index("--arch")
        arch = names[at + 1]
        del names[at : at + 2]
    made = AptMirror(root, [arch])
    made.update()
    made.add_recipes(names or Shelf().names(), arch)
    sys.stdout.write(f"export LINUXKIT_DEBIAN_MIRROR={made.url}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
