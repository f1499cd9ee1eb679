"""A git repository with package folders, and the commands that build them."""

from __future__ import annotations

import json
import subprocess

from linuxkit.cli.main import main
from linuxkit.oci import image, model
from linuxkit.oci.flatten import flatten
from linuxkit.oci.model import Platform
from linuxkit.oci.store import Store

AMD64 = Platform("linux", "amd64")
TOOL = "image: tool\ndebian: {packages: [web]}\nconfig: {readonly: true}\n"


def git(folder, *words):
    argv = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


class Tree:
    """A git repository with package folders, and a store."""

    def __init__(self, root, site):
        self.root = root
        self.site = site
        root.mkdir()
        git(root, "init", "-q")

    def add(self, name, files):
        folder = self.root / name
        for path, text in files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return folder

    def commit(self):
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", "more")

    def tag(self, name):
        return git(self.root, "rev-parse", f"HEAD:{name}")

    @property
    def store(self):
        return Store(self.site.root / "cache")

    def image(self, name):
        found = self.store.find(name)
        return image.open_image(self.store, found, AMD64)

    def files(self, name):
        found = self.image(name)
        with flatten(self.store, found.manifest.layers, found.config.diff_ids) as tree:
            return {e.path: b"".join(e.content.chunks()) for e in tree.entries()}


def pkg(*words):
    return main(["pkg", *map(str, words), "-q"])


def lock(tree):
    assert pkg("lock", "--arch", "amd64", "tool") == 0
    tree.commit()


def document(tree, found, kind):
    (entry,) = [e for e in found if e.artifact_type == kind]
    manifest = model.decode_manifest(tree.store.read(entry.digest, 1 << 20), entry)
    return json.loads(tree.store.read(manifest.layers[0].digest, 1 << 20))
