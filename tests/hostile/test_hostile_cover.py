"""All forty-three kinds of flaw have their case, in one place each."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from linuxkit.oci import archive, cosign, model, pull, referrers, registry, signatures
from linuxkit.sources import lock
from linuxkit.spec import yaml
from linuxkit.tree import compress, cpio, merge, tar
from linuxkit.tree import path as paths
from support import hostile, hostile_yaml

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
_REGISTRY = "tests/unit/oci/test_oci_registry.py"

# What a registry, or somebody on the way to it, may try is shown where the client's tests are.
ELSEWHERE = {
    37: f"{_REGISTRY}::test_a_login_does_not_follow_a_redirect",  # logins sent to others
    38: f"{_REGISTRY}::test_an_honest_one",  # with a .netrc that must not be read
    39: f"{_REGISTRY}::test_compressed_answers_are_refused",  # packed answers
    40: f"{_REGISTRY}::test_a_body_without_end",  # sizes and bodies without end
    41: f"{_REGISTRY}::test_manifests_that_deceive",  # a document with two meanings
}
FIRST, LAST = 1, 43


def functions(path: Path) -> list[str]:
    return [
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)
    ]


def test_every_number_has_one_home():
    homes: dict[int, set[str]] = {number: {home} for number, home in ELSEWHERE.items()}
    for table in (hostile.LAYERS, hostile_yaml.YAMLS):
        for case in table:
            if case.number:
                home = "layers" if table is hostile.LAYERS else "yaml"
                homes.setdefault(case.number, set()).add(home)
    for path in sorted(HERE.glob("test_hostile_*.py")):
        file = path.stem.removeprefix("test_hostile_")
        numbers = [int(n) for n in re.findall(r"^def test_case_(\d+)_", path.read_text(), re.MULTILINE)]
        numbers += [int(n) for n in re.findall(r'^    "case-(\d+) ', path.read_text(), re.MULTILINE)]
        for number in numbers:
            homes.setdefault(number, set()).add(file)
    assert sorted(homes) == list(range(FIRST, LAST + 1))
    assert {number: files for number, files in homes.items() if len(files) > 1} == {}


def test_what_is_shown_elsewhere_is_there():
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert name in functions(ROOT / file), place


def test_cases_have_names_of_their_own():
    for table in (hostile.LAYERS, hostile_yaml.YAMLS):
        names = [case.id for case in table]
        assert len(names) == len(set(names))
        assert all(case.why for case in table)


MI, GI = 1 << 20, 1 << 30
LIMITS = {
    "bytes of a manifest or an index": (model.MANIFEST_LIMIT, "4 MiB"),
    "bytes of an image's configuration": (model.CONFIG_LIMIT, "8 MiB"),
    "layers of an image": (model.LAYER_COUNT_LIMIT, "512"),
    "indexes inside each other": (model.INDEX_DEPTH_LIMIT, "2"),
    "indexes of an image": (model.INDEX_COUNT_LIMIT, "64"),
    "images of an archive": (archive._COUNT_LIMIT, "1000"),
    "artifacts about one image": (referrers.COUNT_LIMIT, "256"),
    "signatures of an image, in each form": (signatures.COUNT_LIMIT, "64"),
    "bytes of what a signature signs": (cosign.PAYLOAD_LIMIT, "64 KiB"),
    "bytes of a bundle with a signature": (cosign.BUNDLE_LIMIT, "1 MiB"),
    "bytes of a lock": (lock.BYTES_LIMIT, "4 MiB"),
    "bytes of all artifacts about an image": (pull._ARTIFACT_BYTES, "1 GiB"),
    "parts of all artifacts about an image": (pull._ARTIFACT_PARTS, "1024"),
    "pages of a list of artifacts": (registry._PAGES, "32"),
    "bytes that a layer unpacks to": (compress.LIMIT.total, "16 GiB"),
    f"growth of a layer when unpacked, beyond the first {compress.LIMIT.free // MI} MiB": (
        compress.LIMIT.ratio, "200 times",
    ),
    "window of zstd data": (1 << compress._ZSTD_WINDOW_LOG, "128 MiB"),
    "entries of an archive": (tar.LIMITS.entries, "2000000"),
    "contents of an archive": (tar.LIMITS.content, "16 GiB"),
    "one extended header of an archive": (tar.LIMITS.extended, "1 MiB"),
    "value of an extended attribute": (tar.LIMITS.xattr, "64 KiB"),
    "extended attributes of an entry": (tar.LIMITS.xattrs, "1 MiB"),
    "names, link targets and attributes of an archive": (tar.LIMITS.text, "128 MiB"),
    "names, link targets and attributes of a tree": (merge.MAX_TEXT, "256 MiB"),
    "names in a tree": (merge.MAX_NODES, "2000000"),
    "bytes of a path": (paths.MAX_PATH, "4096"),
    "bytes of a part of a path": (paths.MAX_COMPONENT, "255"),
    "links followed on the way to a name": (merge._MAX_LINKS, "40"),
    "owners of files": (tar._MAX_ID, "4294967294"),
    "file in an initramfs": (cpio._MAX_FIELD, "4 GiB - 1"),
    "characters of a YAML": (yaml.TEXT_LIMIT, "4 MiB"),
    "values of a YAML": (yaml.NODE_LIMIT, "100000"),
    "aliases in a YAML": (yaml.ALIAS_LIMIT, "100"),
    "values in each other in a YAML": (yaml.DEPTH_LIMIT, "64"),
}  # fmt: skip
UNITS = {"KiB": 1 << 10, "MiB": MI, "GiB": GI, "times": 1}


def number(text: str) -> int:
    words = text.removesuffix(" - 1").split()
    return int(words[0]) * UNITS[words[1] if len(words) > 1 else "times"] - text.endswith(" - 1")


def test_the_page_tells_the_limits_of_the_code():
    page = (ROOT / "docs/explanation/hostile-inputs.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z].*?) \| (.*?) \| LK\d+ \|$", page, re.MULTILINE))
    assert rows == {name: text for name, (_, text) in LIMITS.items()}
    assert {name: number(text) for name, text in rows.items()} == {n: v for n, (v, _) in LIMITS.items()}
