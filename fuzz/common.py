"""What all fuzz targets share: how to say that a refusal is fine and everything else is not."""

from __future__ import annotations

import sys
import tempfile
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["linuxkit"]):
    from linuxkit.base.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable


def fuzz(target: Callable[[bytes], None]) -> None:
    """Feed ``target`` until told to stop; an Error of ours is an answer, the rest are findings."""

    def once(data: bytes) -> None:
        try:
            target(data)
        except Error as error:
            if not error.message.isprintable():
                raise AssertionError("the message holds what does not print") from error

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


class Scratch:
    """One file for all inputs, as readers want a file and making one takes time."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process

    def holding(self, data: bytes) -> int:
        """The descriptor of the file, which holds ``data`` now."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(data)
        self._file.flush()
        return self._file.fileno()
