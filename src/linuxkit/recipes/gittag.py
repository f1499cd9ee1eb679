"""The reference of a package folder by upstream's rule: a tag made of the folder's git tree.

What ``@pkg:PATH`` stands for in a YAML, the same as the Go tool's ``pkg show-tag``.  Building
such a folder is not done here.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from linuxkit.base import proc
from linuxkit.base.errors import Error, printable
from linuxkit.spec import yaml
from linuxkit.spec.node import Scalar, Sequence, find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from linuxkit.spec.node import Node

_MAX_BYTES = 1 << 20
_DIRTY_DIGITS = 7
_GIT_S = 60
_TEMPLATE = "{{.Hash}}"


def reference(folder: Path) -> str:
    """``ORG/IMAGE:TAG`` for the package in ``folder``.

    The tag is the hash of the folder's git tree in HEAD, of several with ``extra-sources``; with
    uncommitted changes ``-dirty-`` and a hash of the contents follow; outside git it is "latest".
    Raises LK02xx and LK0545 for its ``build.yml``, LK0548 when git cannot tell, LK0901 without git.
    """
    path = folder / "build.yml"
    document = yaml.parse(yaml.decode_text(path.read_bytes()[:_MAX_BYTES], str(path)), str(path))
    image = _text(document, "image")
    if not image:
        raise Error("LK0545", 'the recipe has no "image"', where=document.where)
    found = tree_hash(folder, _list(document, "extra-sources"))
    template = _text(document, "tag") or _TEMPLATE
    tag = template.replace(_TEMPLATE, found).replace("{{ .Hash }}", found) if found else "latest"
    return f"{_text(document, 'org') or 'linuxkit'}/{image}:{tag}"


def tree_hash(folder: Path, extra: tuple[str, ...] = ()) -> str:
    """The folder's hash as above; "" outside a git work tree.

    ``extra`` are ``SOURCE:DESTINATION`` texts, sources relative to ``folder``.
    """
    program = proc.find("git", package="git")
    if proc.attempt([program, "-C", folder, "rev-parse", "--git-dir"], timeout_s=_GIT_S) != 0:
        return ""
    own = _tree_of(folder)
    if extra:
        sources = [folder / text.split(":")[0] for text in extra]
        texts = "".join([own, *map(_tree_of, sources)])
        own = hashlib.sha1(texts.encode()).hexdigest()  # noqa: S324 - upstream's rule
    if _git(folder, "status", "--porcelain", "--untracked-files=all", "--", ".").strip():
        own += f"-dirty-{_contents_hash(folder)}"
    return own


def _tree_of(folder: Path) -> str:
    """The hash of the folder's tree in HEAD; that of the commit's tree at the top."""
    path = _git(folder, "rev-parse", "--show-prefix").strip().rstrip("/")
    if not path:
        return _git(folder, "rev-parse", "HEAD^{tree}").strip()
    row = _git(folder, "ls-tree", "--full-tree", "HEAD", "--", path).split()
    if len(row) < 3:  # noqa: PLR2004 - mode, kind, hash, name
        raise Error(
            "LK0548",
            f"git has no {printable(str(folder))} in its last commit",
            hint="commit the package first: its tag is made of what is committed",
        )
    return row[2]


def _contents_hash(folder: Path) -> str:
    total = hashlib.sha256()
    for path in _files(folder):
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                total.update(chunk)
    return total.hexdigest()[:_DIRTY_DIGITS]


def _files(folder: Path) -> Iterator[Path]:
    """Tracked files, then those that are not and are not ignored; regular ones that are there."""
    for words in (("ls-files", "-z"), ("ls-files", "-z", "--others", "--exclude-standard")):
        for name in _git(folder, *words, "--", ".").split("\0"):
            path = folder / name
            if name and path.exists() and stat.S_ISREG(os.lstat(path).st_mode):
                yield path


def _git(folder: Path, *words: str) -> str:
    """What git says; its own configuration is read, a pager or a prompt never comes up."""
    program = proc.find("git", package="git")
    env = {"HOME": os.environ.get("HOME", "/"), "GIT_TERMINAL_PROMPT": "0"}
    # A folder that somebody sent may name a program here, which `git status` would run.
    quiet = ("-c", "core.fsmonitor=false")
    done = proc.run([program, *quiet, *words], cwd=folder, env=env, timeout_s=_GIT_S)
    return done.stdout.decode(errors="surrogateescape")


def _text(document: Node, key: str) -> str:
    node = find(document, (key,))
    return node.value if isinstance(node, Scalar) else ""


def _list(document: Node, key: str) -> tuple[str, ...]:
    node = find(document, (key,))
    items = node.items if isinstance(node, Sequence) else []
    return tuple(item.value for item in items if isinstance(item, Scalar))
