"""The bill of materials in the image: SPDX 2.3 JSON from what the plan knows.

Debian packages are told by the label that the recipe builder sets; each is described by its
package URL.  The document's namespace derives from its content: no clock, no random number.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from linuxkit.base import digest as digests
from linuxkit.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linuxkit.base.digest import Digest

LABEL = "org.linuxkit.debian.packages"
CREATED = "2017-04-18T16:30:00Z"
"""The time that the document tells unless another one is wanted."""


class Options(NamedTuple):
    """Where in the system the document lies ("" for nowhere), and the time that it tells."""

    path: str = "sbom.spdx.json"
    created: str = CREATED


class Component(NamedTuple):
    """An image that went into the system; ``packages`` is the label's text, "name=version …"."""

    reference: str
    manifest: Digest
    packages: str


def document(arch: str, components: Iterable[Component], *, created: str = CREATED) -> bytes:
    """The SPDX document (https://spdx.github.io/spdx-spec/v2.3/), indented, for people too."""
    packages: list[dict[str, object]] = []
    relations: list[dict[str, str]] = []
    for image in sorted(set(components)):
        image_id = _identifier("Image", image.reference)
        packages.append(_image(image, image_id))
        relations.append(_relation("SPDXRef-DOCUMENT", "DESCRIBES", image_id))
        for word in sorted(set(image.packages.split())):
            name, _, version = word.partition("=")
            package_id = _identifier("Debian", f"{image.reference}-{name}")
            packages.append(_debian(name, version, arch, package_id))
            relations.append(_relation(image_id, "CONTAINS", package_id))
    body: dict[str, object] = {"packages": packages, "relationships": relations}
    head = {
        "SPDXID": "SPDXRef-DOCUMENT",
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "name": "linuxkit",
        "documentNamespace": f"https://linuxkit.invalid/{digests.hex_of(digests.of_value(body))}",
        "creationInfo": {"created": created, "creators": [f"Tool: linuxkit-{__version__}"]},
    }
    return (json.dumps({**head, **body}, indent=1, ensure_ascii=False) + "\n").encode()


def _image(image: Component, identifier: str) -> dict[str, object]:
    algorithm, _, value = image.manifest.partition(":")
    return {
        "SPDXID": identifier,
        "name": image.reference,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": algorithm.upper(), "checksumValue": value}],
    }


def debian_purl(name: str, version: str, arch: str) -> str:
    """The package URL of a Debian package (purl-spec, type ``deb``)."""
    from urllib.parse import quote  # costs a millisecond where there is no package

    return f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={arch}"


def _debian(name: str, version: str, arch: str, identifier: str) -> dict[str, object]:
    purl = debian_purl(name, version, arch)
    return {
        "SPDXID": identifier,
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }
        ],
    }


def _relation(subject: str, kind: str, target: str) -> dict[str, str]:
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": target}


def _identifier(kind: str, name: str) -> str:
    safe = "".join(c if c.isalnum() or c in ".-" else "-" for c in name)
    return f"SPDXRef-{kind}-{safe}"
