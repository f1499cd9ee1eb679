from __future__ import annotations

import json

from linuxkit.base.digest import of_bytes
from linuxkit.build.sbom import Component, document

IMAGE = Component("linuxkit.stock/web:1", of_bytes(b"m"), "nginx=1.26-3+deb13u1 libc6=2.41-12")


def test_document_names_images_and_their_debian_packages():
    value = json.loads(document("amd64", [IMAGE]))
    assert value["spdxVersion"] == "SPDX-2.3"
    assert [p["name"] for p in value["packages"]] == ["linuxkit.stock/web:1", "libc6", "nginx"]
    (reference,) = value["packages"][2]["externalRefs"]
    assert reference["referenceLocator"] == "pkg:deb/debian/nginx@1.26-3%2Bdeb13u1?arch=amd64"
    kinds = [r["relationshipType"] for r in value["relationships"]]
    assert kinds == ["DESCRIBES", "CONTAINS", "CONTAINS"]


def test_document_depends_on_its_content_only():
    other = Component("linuxkit.stock/init:2", of_bytes(b"i"), "")
    assert document("amd64", [IMAGE, other, IMAGE]) == document("amd64", [other, IMAGE])
    assert document("amd64", [IMAGE]) != document("amd64", [IMAGE._replace(packages="nginx=2")])
