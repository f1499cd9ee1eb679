"""All forty-three kinds of flaw have their case, in one place each."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from support import hostile

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
    for table in (hostile.LAYERS, hostile.YAMLS):
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
    for table in (hostile.LAYERS, hostile.YAMLS):
        names = [case.id for case in table]
        assert len(names) == len(set(names))
        assert all(case.why for case in table)
