"""The .debs of one recipe, unpacked side by side into scratch files while a block lasts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.recipes.debian import deb as debs_
from linuxkit.recipes.debian.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from linuxkit.oci.store import Store
    from linuxkit.recipes.debian.lock import Deb
    from linuxkit.recipes.debian.pool import Pool


@contextlib.contextmanager
def unpacked(debs: Sequence[Deb], pool: Pool, store: Store) -> Iterator[Files]:
    """The union of the trees of ``debs``, which must be present in the store.

    Errors of a damaged or hostile .deb name the package.  Raises LK0521, LK0523, LK06xx.
    """
    files = Files()
    with contextlib.ExitStack() as stack:
        for deb in debs:
            scratch = stack.enter_context(store.temporary())
            try:
                with pool.open(deb) as source:
                    files.add(
                        f"{deb.package} {deb.version}",
                        debs_.unpack(source, scratch),
                        debs_.epoch(source),
                    )
            except Error as error:
                if error.code == "LK0523":
                    raise
                raise Error(
                    error.code, f"{deb.package} {deb.version}: {error.message}",
                    hint=error.hint, detail=error.detail,
                ) from error  # fmt: skip
        yield files
