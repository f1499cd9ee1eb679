"""The reference of a package folder by upstream's rule: a tag made of the folder's git tree.

What ``@pkg:PATH`` stands for in a YAML, the same as the Go tool's ``pkg show-tag``.  Building
such a folder is not done here.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import files, proc
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
_HASH = re.compile(r"\{\{-?\s*\.Hash\s*-?\}\}")
HEAD = "HEAD"
_COMMIT = "commit the package first: its tag is made of what is committed"
BUILD_YML = "build.yml"
_RELEASE = re.compile(r"v[0-9]+\.[0-9]+\.[0-9].*")


class Asked(NamedTuple):
    """What the command line says instead of ``build.yml`` and git; empty texts say nothing."""

    org: str = ""
    tag: str = ""
    hash: str = ""
    hash_commit: str = HEAD
    hash_path: Path | None = None
    force_dirty: bool = False
    dev: bool = False
    build_yml: str = BUILD_YML


class Identity(NamedTuple):
    """What a package folder is called, and how it lies in git."""

    reference: str  # ORG/IMAGE:TAG
    hash: str  # what the template's {{.Hash}} stands for; "" outside of git
    is_dirty: bool


class Revision(NamedTuple):
    """What git says of the commit that a package lies in; all empty outside of git."""

    commit: str = ""
    go_version: str = ""  # of the kind that Go modules have
    release: str = ""  # the tag on the commit, "" when there is none or more than one
    time_s: int = 0  # when it was committed, Unix seconds


def reference(folder: Path) -> str:
    """The name of the package in ``folder``.  Raises as :func:`identify`."""
    return identify(folder).reference


def identify(folder: Path, asked: Asked = Asked()) -> Identity:  # noqa: B008 - it is frozen
    """What the package in ``folder`` is called.

    The tag is the hash of the folder's git tree in HEAD, of several with ``extra-sources``; with
    uncommitted changes ``-dirty-`` and a hash of the contents follow; outside git it is "latest".
    Raises LK02xx and LK0545 for its ``build.yml``, LK0548 when git cannot tell, LK0567 for what is
    asked, LK0901 without git.
    """
    path = folder / asked.build_yml
    try:
        with path.open("rb") as source:
            data = source.read(_MAX_BYTES)
    except OSError as error:
        raise files.os_error(error, "read", path) from error
    document = yaml.parse(yaml.decode_text(data, str(path)), str(path))
    image = _text(document, "image")
    if not image:
        raise Error("LK0545", 'the recipe has no "image"', where=document.where)
    org = asked.org or _text(document, "org") or "linuxkit"
    found, dirty = asked.hash, asked.force_dirty
    if asked.dev:
        org, found = os.environ.get("USER") or "dev", "dev"
    elif _is_in_git(folder):
        dirty = dirty or _is_dirty(asked.hash_path or folder, asked.hash_commit)
        extra = _list(document, "extra-sources")
        found = found or _hash(folder, extra, asked, dirty=dirty)
    template = asked.tag or _text(document, "tag") or _TEMPLATE
    tag = _HASH.sub(lambda _: found, template) if found else "latest"
    if "{{" in tag:
        raise Error(
            "LK0567", f'the template "{printable(template)}" holds more than {{{{.Hash}}}}',
            hint="{{.Hash}} is all that a tag's template may hold",
        )  # fmt: skip
    return Identity(f"{org}/{image}:{tag}", found, dirty)


def _hash(folder: Path, extra: tuple[str, ...], asked: Asked, *, dirty: bool) -> str:
    """The hash of the folder in git.

    ``extra`` are ``SOURCE:DESTINATION`` texts, sources relative to ``folder``.
    """
    place = asked.hash_path or folder
    if not folder.resolve().is_relative_to(place.resolve()):
        raise Error(
            "LK0567", f"{place} is not above the package {folder}",
            hint="--hash-path names a folder that the package lies in",
        )  # fmt: skip
    own = _tree_of(place, asked.hash_commit)
    if extra:
        sources = [folder / text.split(":")[0] for text in extra]
        texts = "".join([own, *(_tree_of(source, asked.hash_commit) for source in sources)])
        own = hashlib.sha1(texts.encode()).hexdigest()  # noqa: S324 - upstream's rule
    return f"{own}-dirty-{_contents_hash(folder)}" if dirty else own


def revision(folder: Path) -> Revision:
    """The commit that ``folder`` lies in; all empty before the first.  Raises LK0901, LK0902."""
    if not _is_in_git(folder) or not _knows(folder, HEAD):
        return Revision()
    commit = git(folder, "rev-parse", HEAD).strip()
    tags = git(folder, "tag", "-l", "--points-at", HEAD).split()
    form = ("--abbrev=12", "--date=format-local:%Y%m%d%H%M%S", "--format=%cd-%h")
    dated = git(folder, "--no-pager", "show", "--quiet", *form, HEAD).strip()
    version = next((tag for tag in sorted(tags) if _RELEASE.fullmatch(tag)), f"v0.0.0-{dated}")
    time_s = int(git(folder, "--no-pager", "show", "--quiet", "--format=%ct", HEAD))
    return Revision(commit, version, tags[0] if len(tags) == 1 else "", time_s)


def _is_in_git(folder: Path) -> bool:
    return _answers(folder, "--git-dir")


def _knows(folder: Path, commit: str) -> bool:
    """Whether git has the commit; it has no HEAD before the first one."""
    return _answers(folder, "--verify", "--quiet", f"{commit}^{{tree}}")


def _answers(folder: Path, *words: str) -> bool:
    program = proc.find("git", package="git")
    return proc.attempt([program, "-C", folder, "rev-parse", *words], timeout_s=_GIT_S) == 0


def _is_dirty(folder: Path, commit: str) -> bool:
    """Whether there are changes; no commit but the last one can have any."""
    words = ("status", "--porcelain", "--untracked-files=all", "--", ".")
    return commit == HEAD and bool(git(folder, *words).strip())


def _tree_of(folder: Path, commit: str) -> str:
    """The hash of the folder's tree in ``commit``; that of the commit's tree at the top."""
    if commit.startswith("-"):
        raise Error("LK0567", f'"{printable(commit)}" is not a commit')
    if not _knows(folder, commit):
        shown = printable(str(folder))
        if commit == HEAD:
            raise Error("LK0548", f"git has no commit yet where {shown} lies", hint=_COMMIT)
        raise Error("LK0567", f'git has no commit "{printable(commit)}" where {shown} lies')
    path = git(folder, "rev-parse", "--show-prefix").strip().rstrip("/")
    if not path:
        return git(folder, "rev-parse", f"{commit}^{{tree}}").strip()
    row = git(folder, "ls-tree", "--full-tree", commit, "--", path).split()
    if len(row) < 3:  # noqa: PLR2004 - mode, kind, hash, name
        raise Error(
            "LK0548",
            f"git has no {printable(str(folder))} in {printable(commit)}",
            hint=_COMMIT,
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
        for name in git(folder, *words, "--", ".").split("\0"):
            path = folder / name
            if name and path.exists() and stat.S_ISREG(os.lstat(path).st_mode):
                yield path


def git(folder: Path, *words: str) -> str:
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
