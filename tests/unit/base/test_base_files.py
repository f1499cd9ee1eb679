from __future__ import annotations

import errno

from linuxkit.base import files


def test_who_cannot_read_is_not_told_to_make_a_folder():
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "x")
    assert files.os_error(missing, "read").hint == "mend the path"
    assert files.os_error(missing, "write").hint.startswith("make the folder first")
