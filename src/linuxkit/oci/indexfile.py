"""Reading ``index.json`` of a store, which other tools may be writing; the store changes it."""

from __future__ import annotations

import contextlib
import errno
import json
from typing import TYPE_CHECKING

from linuxkit.base import files
from linuxkit.base.errors import Error
from linuxkit.oci import names as names_

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from linuxkit.oci.folders import Folders
    from linuxkit.oci.names import Names

_LIMIT = 64 << 20  # bytes of index.json: some two hundred thousand names
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_ELSEWHERE = "choose a cache folder that you may write, with --cache or LINUXKIT_CACHE"


class IndexFile:
    """The file, and what was read of it last."""

    def __init__(self, at: Folders) -> None:
        self._at = at
        self._names: Names | None = None
        self._stamp: tuple[int, ...] = ()

    def current(self) -> Names:
        """The names as they stand; read again only when the file has changed.

        Raises LK0310 (it is damaged, or of another version), LK0308, LK0102.
        """
        try:
            found = self._at.index.stat()
        except (FileNotFoundError, NotADirectoryError):
            return names_.empty(str(self._at.index))
        except OSError as error:
            raise files.os_error(error, "look at") from error
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if self._names is None:
            self._check_version()
        if self._names is None or stamp != self._stamp:
            self._names, self._stamp = self._settled(), stamp
        return self._names

    def read(self) -> Names:
        """The names that lie there now.  Raises as :meth:`current`."""
        at = str(self._at.index)
        try:
            with self._at.index.open("rb") as file:
                data = file.read(_LIMIT + 1)
        except FileNotFoundError:
            return names_.empty(at)
        except OSError as error:
            raise files.os_error(error, "read", self._at.index) from error
        if len(data) > _LIMIT:
            raise Error("LK0308", f"{at}: more than {_LIMIT} bytes, which is the most allowed")
        return names_.parse(data, at)

    def is_version_readable(self) -> bool:
        """Whether ``oci-layout`` says something, be it another version."""
        try:
            json.loads(self._at.layout.read_bytes())
        except (OSError, ValueError):
            return False
        return True

    def _settled(self) -> Names:
        try:
            return self.read()
        except Error as damage:
            # The Go tool rewrites the file in place, under the lock: wait for it, look again.
            try:
                with changing(self._at.root, "lock the names"), files.locked(self._at.lock):
                    return self.read()
            except Error as again:
                raise (damage if again.code == "LK0102" else again) from None

    def _check_version(self) -> None:
        layout = self._at.layout
        try:
            found = json.loads(layout.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise Error("LK0310", f"{layout} cannot be read: {error}", hint=names_.HINT) from error
        if not isinstance(found, dict) or found.get("imageLayoutVersion") != "1.0.0":
            raise Error("LK0310", f"{layout} is not of version 1.0.0", hint=_ELSEWHERE)


@contextlib.contextmanager
def changing(root: Path, doing: str) -> Iterator[None]:
    """Turn what the system refuses into one clear error (LK0102) that knows about caches."""
    try:
        yield
    except OSError as error:
        refused = files.os_error(error, f"{doing} in", root)
        if error.errno in _REFUSED:
            refused.hint = _ELSEWHERE
        raise refused from error
    except Error as error:
        if is_refusal(error):
            error.hint = _ELSEWHERE
        raise


def is_refusal(error: Error) -> bool:
    """Whether an error says that one may not write there."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _REFUSED
