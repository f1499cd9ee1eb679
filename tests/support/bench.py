"""A small signed archive, recipes, a lock and a store: all that stock packages are made with."""

from __future__ import annotations

import io
import tarfile

import pytest

from linuxkit.base.errors import Error
from linuxkit.net.http import Transport
from linuxkit.oci import image
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store
from linuxkit.recipes import recipe, relock
from linuxkit.recipes.debian import archive as archives
from linuxkit.recipes.debian import lock as locks
from linuxkit.recipes.debian.mirror import Mirrors
from linuxkit.recipes.debian.pool import Pool
from linuxkit.recipes.debian.release import Keyring
from linuxkit.recipes.stock import Shelf
from linuxkit.tree import compress
from support.debian_archive import NOW, DebianArchive, File, Pkg
from support.elf import module, program

AMD64 = Platform("linux", "amd64")
LIBS = "./usr/lib/x86_64-linux-gnu"
PACKAGES = [
    Pkg("web", "1.2-3", "libx1 (>= 1), tools, docs", (
        File("./usr/"), File("./usr/sbin/"),
        File("./usr/sbin/web", program(["libx.so.1"], "/lib64/ld.so.1"), 0o755),
        File("./usr/sbin/web-again", link="./usr/sbin/web", hard=True),
        File("./usr/share/doc/web/copyright", b"c"), File("./etc/web.conf", b"a=1\n"),
        File("./var/lib/web"),
    )),
    Pkg("libx1", "1:2.0-1", "libc", (
        File(f"{LIBS}/libx.so.1", link="libx.so.1.5"),
        File(f"{LIBS}/libx.so.1.5", program(["libc.so.6"], "")),
        File(f"{LIBS}/libunused.so", program([], "")),
    )),
    Pkg("libc", "2.41-1", "", (
        File(f"{LIBS}/libc.so.6", program([], "")), File("./usr/lib64/ld.so.1", program([], ""), 0o755),
    )),
    Pkg("tools", "1", "", (File("./usr/bin/tool", b"#!"),), arch="all"),
    Pkg("docs", "1", "", (File("./usr/share/doc/docs", b"x"),), arch="all"),
    Pkg("linux-image-test", "6.12-1", "linux-image-6.12-test, initramfs-tools"),
    Pkg("linux-image-6.12-test", "6.12-1", "kmod", (
        File("./boot/vmlinuz-6.12-test", b"MZ kernel"), File("./boot/config-6.12-test", b"CONFIG_A=y\n"),
        File("./boot/System.map-6.12-test", b"map"),
        File("./usr/lib/modules/6.12-test/kernel/fs/a.ko", module({"depends": "b", "alias": "fs-a"})),
        File("./usr/lib/modules/6.12-test/kernel/fs/b.ko", module({"depends": ""})),
        File("./usr/lib/modules/6.12-test/kernel/fs/c.ko", module({"depends": ""})),
        File("./usr/lib/modules/6.12-test/modules.builtin", b"kernel/fs/d.ko\n"),
        File("./usr/lib/modules/6.12-test/modules.order", b"kernel/fs/c.ko\nkernel/fs/b.ko\nkernel/fs/a.ko\n"),
    )),
    Pkg("evil", "1", "", (File("./../../etc/passwd", b"x"),)),
]  # fmt: skip
WEB = """\
image: web
arches: [amd64, arm64]
config: {readonly: true, binds: ["/a:/b"]}
debian:
  packages: [web]
  keep: [usr/sbin/*, etc/web.conf, var/lib/web]
users: [{name: web, uid: 101, gid: 101}]
files:
  - {path: etc/more, source: more.conf}
  - {path: usr/bin/run, source: run.sh}
  - {path: etc/web.conf, contents: "b=2\\n", mode: "0600"}
  - {path: srv, directory: true, uid: 101, gid: 101}
  - {path: etc/joined, concat: "usr/bin/tool"}
entrypoint: ["/usr/sbin/web"]
cmd: ["-x"]
env: [A=b]
workdir: /srv
user: "101:101"
labels: {org.example.x: "1"}
"""


def add_recipe(recipes, name, text, files=()):
    """Write a package folder with its recipe and other files; the folder."""
    folder = recipes / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "build.yml").write_text(text)
    for path, content in dict(files).items():
        (folder / path).write_text(content)
    return folder


class Bench:
    """An archive, recipes, a lock and a store in one folder."""

    def __init__(self, root, signer):
        self.root = root
        self.archive = DebianArchive(root / "debian", signer)
        self.recipes = root / "packages"
        self.store = Store(root / "store", sync=False)
        self.keyring = root / "key.gpg"
        self.keyring.write_bytes(signer.public)
        self.add("web", WEB, {"more.conf": "more\n", "run.sh": "#!/bin/sh\n"})
        (self.recipes / "web" / "run.sh").chmod(0o755)

    def add(self, name, text, files=()):
        add_recipe(self.recipes, name, text, files)

    def shelf(self):
        return Shelf(self.recipes, self.root / "debian.lock")

    def pool(self, store=None, mirrors=None):
        found = mirrors or Mirrors((self.archive.url,), ())
        return Pool(store or self.store, lambda: found, Transport)

    def lock(self, names=("web",), arches=("amd64",)):
        path = self.root / "debian.lock"
        old = locks.load(path) if path.exists() else locks.EMPTY
        mirrors = Mirrors((self.archive.url,), ())
        found = archives.reach(mirrors, Keyring([self.keyring]), Transport(), NOW)
        refreshed = relock.refresh(
            old, [recipe.load(self.recipes / name) for name in names], arches,
            relock.Bench(found, self.pool(), self.store),
        )  # fmt: skip
        path.write_bytes(locks.encode(refreshed.lock))
        return old, refreshed

    def build(self, name="web", arch="amd64", store=None):
        store = store or self.store
        return self.shelf().image(name, arch, store, self.pool(store))

    def tree(self, descriptor, store=None):
        store = store or self.store
        opened = image.open_image(store, descriptor, AMD64)
        (layer,) = opened.manifest.layers
        out = io.BytesIO()
        with store.open(layer.digest, layer.size) as source:
            compress.spool(source, out)
        out.seek(0)
        with tarfile.open(fileobj=out) as archive:
            return opened, {
                m.name: (m, archive.extractfile(m).read() if m.isreg() else b"") for m in archive
            }


def refused(call) -> Error:
    """The error that the call ends with."""
    with pytest.raises(Error) as caught:
        call()
    return caught.value
