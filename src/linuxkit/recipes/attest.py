"""What is said about a package's image: its parts (SPDX) and its making (SLSA), as referrers.

Both are made of facts that the build was decided by, so equal builds say equal things; no clock and
no name of a machine is in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linuxkit.base import digest as digests
from linuxkit.build import sbom as bill
from linuxkit.oci import image, ref, referrers
from linuxkit.oci.model import Descriptor, Platform
from linuxkit.recipes import tag
from linuxkit.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from linuxkit.oci.store import Store
    from linuxkit.recipes.package import Package

SPDX = "application/spdx+json"
IN_TOTO = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"
_TYPE = "https://linuxkit.invalid/package/v1"


def attach(
    package: Package,
    arch: str,
    made: Descriptor,
    bases: Mapping[str, Descriptor],
    store: Store,
    *,
    sbom: bool,
) -> None:
    """Attach both documents to the image ``made``; without ``sbom`` only the second."""
    name = ref.parse(package.name_for(arch))
    documents = {IN_TOTO: digests.canonical_json(provenance(package, arch, made, bases))}
    if sbom:
        labels = image.open_image(store, made, Platform("linux", arch)).config.labels
        parts = [bill.Component(str(name), made.digest, labels.get(bill.LABEL, ""))]
        parts += [bill.Component(base, found.digest, "") for base, found in bases.items()]
        documents[SPDX] = bill.document(arch, parts)
    for kind, data in documents.items():
        layer = Descriptor(kind, store.put(data), len(data))
        referrers.attach(store, name.name, made, kind, [layer])


def provenance(
    package: Package, arch: str, made: Descriptor, bases: Mapping[str, Descriptor]
) -> dict[str, object]:
    """The statement (in-toto Statement v1, SLSA provenance v1)."""
    commit = package.revision.commit
    source = {"uri": package.recipe.says.gitrepo or "unknown"}
    parameters = {
        "package": package.reference, "platform": f"linux/{arch}",
        "buildArgs": {} if package.recipe.is_ours else package.arguments(),
    }  # fmt: skip
    materials = [*_debs(package, arch), *_images(bases)]
    if commit:
        materials.insert(0, {**source, "digest": {"gitCommit": commit}})
    return {
        "_type": _STATEMENT,
        "subject": [
            {"name": package.name_for(arch), "digest": {"sha256": digests.hex_of(made.digest)}}
        ],
        "predicateType": _PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": _TYPE,
                "externalParameters": parameters,
                "internalParameters": {"dirty": package.identity.is_dirty},
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {
                    "id": "https://linuxkit.invalid/builder",
                    "version": {"linuxkit": __version__, "recipes": str(tag.BUILDER)},
                },
                "metadata": {},
            },
        },
    }


def _debs(package: Package, arch: str) -> Iterator[dict[str, object]]:
    lock = package.lock()
    named = (package.recipe.name, package.recipe.root_name)
    for deb in {d.sha256: d for name in named for d in lock.debs_of(name, arch)}.values():
        yield {
            "uri": bill.debian_purl(deb.package, deb.version, arch),
            "digest": {"sha256": digests.hex_of(deb.sha256)},
        }


def _images(bases: Mapping[str, Descriptor]) -> Iterator[dict[str, object]]:
    for name, found in sorted(bases.items()):
        yield {
            "uri": f"pkg:docker/{name}",
            "digest": {"sha256": digests.hex_of(found.digest)},
        }
