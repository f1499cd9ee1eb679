"""The one check that a name stays inside its tree.  Looking names up is the tree's business."""

from __future__ import annotations

from linuxkit.base.errors import Error, printable

MAX_PATH = 4096  # bytes, Linux PATH_MAX
MAX_COMPONENT = 255  # bytes, Linux NAME_MAX


def clean(name: str | bytes, *, what: str = "name") -> str:
    """``name`` as the path of an entry: relative, without ``.``, ``..`` and doubled slashes.

    Bytes that are not UTF-8 become surrogate escapes.  A name that is absolute, climbs with
    ``..``, holds NUL, is too long or names the root itself is refused, never mended: raises
    LK0601, which calls it ``what``.
    """
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    probe = f"/{text}/"
    if (
        len(text) <= MAX_COMPONENT
        and text.isascii()
        and "//" not in probe
        and "/." not in probe
        and "\0" not in text
    ):
        return text  # most names are plain; the careful way costs ten times as much
    path = _normal(text, what)
    if not path:
        raise _refused(what, text, "names nothing" if text else "is empty")
    return path


def clean_or_root(name: str | bytes, *, what: str = "name") -> str:
    """Like :func:`clean`, but ``./``, ``.`` and ``/`` give "", which is the tree's root."""
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    if text and not text.strip("./") and {"", "."}.issuperset(text.split("/")):
        return ""
    return clean(text, what=what)


def target(text: str | bytes) -> str:
    """The target of a symbolic link, which is any text that Linux takes; raises LK0601."""
    words = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    what = "link target"
    size = len(_encoded(words, what))
    if not size:
        raise _refused(what, words, "is empty")
    if size > MAX_PATH:
        raise _refused(what, words, f"is longer than {MAX_PATH} bytes")
    if "\0" in words:
        raise _refused(what, words, "holds a NUL character")
    return words


def parents(path: str) -> tuple[str, ...]:
    """The directories above a clean ``path``, topmost first."""
    parts = path.split("/")
    return tuple("/".join(parts[:count]) for count in range(1, len(parts)))


def encode(path: str) -> bytes:
    """The bytes a file system stores for ``path``."""
    return path.encode("utf-8", "surrogateescape")


def _normal(text: str, what: str) -> str:
    raw = _encoded(text, what)
    if len(raw) > MAX_PATH:
        raise _refused(what, text, f"is longer than {MAX_PATH} bytes")
    if b"\0" in raw:
        raise _refused(what, text, "holds a NUL character")
    if raw.startswith(b"/"):
        raise _refused(what, text, "is absolute")
    parts = [part for part in raw.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise _refused(what, text, 'climbs with ".."')
    if any(len(part) > MAX_COMPONENT for part in parts):
        raise _refused(what, text, f"has a component of more than {MAX_COMPONENT} bytes")
    # Decoding afresh gives one spelling even where the caller's text escaped valid UTF-8.
    return b"/".join(parts).decode("utf-8", "surrogateescape")


def _encoded(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _refused(what, text, "is no text that a file system can hold") from None


def _refused(what: str, text: str, why: str) -> Error:
    return Error("LK0601", f'the {what} "{printable(text)}" {why}')
