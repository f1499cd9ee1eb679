"""Images that the trust policies let pass: the last word on what every other source has found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error
from linuxkit.oci import image, signatures
from linuxkit.sources.lock import package_of
from linuxkit.sources.policy import DIGEST, KEY, REFUSE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from linuxkit.base.digest import Digest
    from linuxkit.build.source import Look, Source
    from linuxkit.oci.keys import PublicKey
    from linuxkit.oci.model import Descriptor, Platform
    from linuxkit.oci.ref import Ref
    from linuxkit.oci.registry import Client
    from linuxkit.oci.store import Store
    from linuxkit.sources.policy import Demand, Policy


class Guard:
    """Decides whether an image may be used.

    ``pinned`` tells whether a reference means one image for ever.  Signatures are looked for in the
    store, and where those do not suffice at the image's registry (``client``; None when offline).
    What is fetched stays, so that later builds can check again.
    """

    def __init__(
        self,
        given: Sequence[Policy],
        store: Store,
        client: Callable[[], Client] | None,
        pinned: Callable[[Ref], bool] = lambda ref: bool(ref.digest),
    ) -> None:
        self.policies = given
        self._store = store
        self._client = client
        self._pinned = pinned
        self.verified: dict[str, str] = {}  # reference → fingerprint of the key

    def check(self, ref: Ref, root: Descriptor, platform: Platform) -> str:
        """The fingerprint of the key that signed the image, "" where no signature is asked for.

        Every policy must be met.  Raises LK0440 (not pinned), LK0441 (no rule lets it pass), LK0442
        (no signature holds), and as signatures.fetch and signatures.check.
        """
        if package_of(ref):  # made here, of packages whose archive was checked
            return ""
        for policy in self.policies:
            demand = policy.demand(ref)
            if demand.require == REFUSE:
                raise Error(
                    "LK0441", f"no rule of {demand.file} is for {ref}",
                    hint="write one, or `default: none` for images that no rule is for",
                )  # fmt: skip
            if demand.require == DIGEST and not self._pinned(ref):
                raise Error(
                    "LK0440", f"{demand.file} wants {ref.name} by digest",
                    hint="linuxkit lock FILE... pins it",
                )  # fmt: skip
            if demand.require == KEY:
                self.verified[str(ref)] = self.signer(ref, root, platform, demand).fingerprint
        return self.verified.get(str(ref), "")

    def signer(
        self, ref: Ref, root: Descriptor, platform: Platform, demand: Demand
    ) -> PublicKey:
        """Who has signed the index, or the manifest for ``platform``.  Raises LK0442."""
        manifest = image.open_image(self._store, root, platform).descriptor
        subjects = tuple(dict.fromkeys((root.digest, manifest.digest)))
        verdict = self._look(ref, subjects, demand)
        if verdict.key is None and self._client is not None:
            for digest in subjects:
                signatures.fetch(self._client(), ref, digest, self._store)
            verdict = self._look(ref, subjects, demand)
        if verdict.key is None:
            raise _unsigned(ref, root, demand, verdict.refused, offline=self._client is None)
        return verdict.key

    def _look(self, ref: Ref, subjects: Sequence[Digest], demand: Demand) -> signatures.Verdict:
        refused: list[str] = []
        for digest in subjects:
            found = signatures.check(self._store, ref, digest, demand.keys, demand.names)
            if found.key is not None:
                return found
            refused += found.refused
        return signatures.Verdict(None, tuple(refused))


class Trusted:
    """A source of which only that comes through what ``guard`` lets."""

    def __init__(self, guard: Guard, source: Source) -> None:
        self._guard = guard
        self._source = source
        self.name = source.name

    def find(self, ref: Ref, platform: Platform, /) -> Descriptor | None:
        """The image, if it is there.  Raises as the source and Guard.check."""
        root = self._source.find(ref, platform)
        if root is not None:
            self._guard.check(ref, root, platform)
        return root

    def missing(self, ref: Ref, platform: Platform, /) -> Sequence[str] | None:
        """What the source would fetch."""
        return self._source.missing(ref, platform)

    def look(self, ref: Ref, platform: Platform, /, *, offline: bool) -> Look | None:
        """What the source has; nobody's signature is looked at."""
        return self._source.look(ref, platform, offline=offline)


def _unsigned(
    ref: Ref, root: Descriptor, demand: Demand, refused: Sequence[str], *, offline: bool
) -> Error:
    what = "no signature of it holds" if refused else "it has no signature"
    hint = "the registry was not asked: linuxkit fetch FILE... brings signatures" if offline else ""
    names = ", ".join(key.name for key in demand.keys)
    return Error(
        "LK0442",
        f"{demand.file} wants {ref} ({root.digest[:19]}) to be signed with {names}, and {what}",
        hint=hint or "ask its publisher; the image is not used",
        detail="\n".join(refused),
    )
