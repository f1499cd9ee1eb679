"""Registries as a source of images: the last to be asked, or with ``fresh`` the first.

Talking to them is the business of :mod:`linuxkit.oci.registry` and :mod:`linuxkit.oci.pull`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.build.source import Look
from linuxkit.oci.image import is_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store

_STOCK = "linuxkit.stock/"  # names of packages that are made here and lie in no registry


class Registries:
    """Pulls whatever has the name of an image; ``client`` is only made when it is needed.

    ``fresh`` asks the registry even for what the store has, once for each image and platform; only
    an image that is named by its digest cannot have changed.  With ``artifacts``, what the registry
    has about an image comes with it.
    """

    name = "registries"

    def __init__(
        self,
        store: Store,
        mirrors: Sequence[str] = (),
        certs: Sequence[str] = (),
        logins: Sequence[str] = (),
        *,
        fresh: bool = False,
        artifacts: bool = False,
    ) -> None:
        self._store = store
        self._mirrors = mirrors
        self._certs = certs
        self._logins = logins
        self._fresh = fresh
        self._artifacts = artifacts
        self._client: Client | None = None
        self._asked: set[tuple[Ref, Platform]] = set()

    @property
    def client(self) -> Client:
        """Who talks to registries, made when first asked for.  Raises LK0325, LK0332, LK0418."""
        from linuxkit.oci import registry

        if self._client is None:
            self._client = registry.Client(
                registry.options(self._mirrors, self._certs, self._logins)
            )
        return self._client

    def find(self, ref: Ref, platform: Platform, /) -> Descriptor | None:
        """The image, pulled; None only for stock packages and files.

        Raises LK0306, LK032x (refused by the registry), LK041x (not reached).
        """
        from linuxkit.oci import pull

        if ref.is_local or ref.name.startswith(_STOCK):
            return None
        again = self._fresh and not ref.digest and (ref, platform) not in self._asked
        found = None if again else self._stored(ref, platform)
        if found is not None:
            return found
        pulled = pull.pull(self.client, ref, platform, self._store, artifacts=self._artifacts)
        self._asked.add((ref, platform))
        return pulled

    def root(self, ref: Ref, platform: Platform) -> Descriptor:
        """The index or manifest of an image: that in the store, else as the registry has it now.

        Layers are not fetched.  Raises as :meth:`find`.
        """
        from linuxkit.oci import pull

        found = self._store.find(str(ref))
        if found is not None and self._store.has(found.digest, found.size):
            return found._replace(annotations=())
        return pull.look(self.client, ref, platform, self._store)[0]

    def missing(self, ref: Ref, platform: Platform, /) -> Sequence[str] | None:
        """The reference, unless the store has all of it."""
        if ref.is_local or ref.name.startswith(_STOCK):
            return None
        return () if self._stored(ref, platform) is not None else (str(ref),)

    def look(self, ref: Ref, platform: Platform, /, *, offline: bool) -> Look | None:
        """What the registry has under that name now."""
        from linuxkit.oci import origin
        from linuxkit.oci.registry import place_of

        if ref.is_local or ref.name.startswith(_STOCK):
            return None
        client, place = self.client, place_of(ref)
        host = client.host(place)
        where = f"{host}/{place.repository}"
        note = f"mirror of {place.registry}" if origin.is_mirror(host, place) else ""
        if offline:
            return Look(False, where, note="; ".join(filter(None, ("not asked", note))))
        try:
            found = origin.look(client, place, ref.digest or ref.tag or "latest", platform)
        except Error as error:
            return Look(False, where, note="; ".join(filter(None, (str(error), note))))
        offers = tuple(map(str, found.platforms))
        return Look(True, where, found.root.digest, offers, found.size, note)

    def _stored(self, ref: Ref, platform: Platform) -> Descriptor | None:
        found = self._store.find(str(ref))
        whole = found is not None and is_whole(self._store, found, platform)
        return found if whole else None
