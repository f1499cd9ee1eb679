"""Makes sure that every blob the plan names is in the store; the last step that may need more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base.errors import Error, raise_all

if TYPE_CHECKING:
    from linuxkit.build.plan import Plan
    from linuxkit.oci.store import Store


def fetch(plan: Plan, *, store: Store) -> None:
    """Check that the store has every layer and blob of ``plan``, whole in size.

    Raises LK0403 for each that is not there.
    """
    wanted = {layer.digest: layer.size for layer in plan.layers()}
    wanted.update({blob.digest: blob.size for blob in plan.blobs()})
    raise_all(
        [
            Error(
                "LK0403",
                f"the layer {digest} is not in the store",
                hint="the store has the image's manifest but not its content; import it again",
            )
            for digest, size in wanted.items()
            if not store.has(digest, size)
        ]
    )
