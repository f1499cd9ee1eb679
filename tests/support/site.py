"""A small world to build from: a Debian archive with one package, its recipe, and the settings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from support.debian_archive import DebianArchive, File, Pkg, key

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RECIPE = "image: web\ndebian: {packages: [web]}\n"


class Site:
    """``linuxkit`` finds its stock package, archive, cache and home below ``root``."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        signer = key()
        self.archive = DebianArchive(root / "debian", signer)
        self.publish("1.0-1")
        self.recipe = root / "packages" / "web" / "build.yml"
        self.recipe.parent.mkdir(parents=True)
        self.recipe.write_text(RECIPE)
        (root / "key.gpg").write_bytes(signer.public)
        for name, value in {
            "HOME": root, "DOCKER_CONFIG": root, "LINUXKIT_DEBIAN_MIRROR": self.archive.url,
            "LINUXKIT_DEBIAN_KEYRING": root / "key.gpg", "LINUXKIT_CACHE": root / "cache",
            "LINUXKIT_PACKAGES_LOCK": root / "debian.lock", "LINUXKIT_DEBUG": "1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, str(value))
        monkeypatch.delenv("LINUXKIT_MIRROR", raising=False)
        monkeypatch.setattr("linuxkit.base.resources.packages", lambda: root / "packages")

    def publish(self, version: str) -> None:
        """Let the archive have this version of the package, and no other."""
        for old in self.archive.root.glob("pool/**/*.deb"):
            old.unlink()
        files = (File("./usr/bin/web", version.encode(), 0o755),)
        now = datetime.now(UTC) - timedelta(hours=1)
        self.archive.publish("trixie", [Pkg("web", version, files=files)], date=now)
