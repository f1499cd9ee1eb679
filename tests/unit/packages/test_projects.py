"""The projects: their patches apply and Kconfig grants what they ask, as of their files of today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linuxkit.build import kconfig
from linuxkit.recipes import recipe, tag
from linuxkit.recipes.debian import lock as locks

ROOT = Path(__file__).parents[3]
CONFIGS = Path(__file__).parent / "project-configs"
PROJECTS = sorted(path.parent for path in ROOT.glob("projects/*/build.yml"))
LINE = re.compile(r'CONFIG_(\w+)=("[^"]*"|\S+)\s+#\s+\S')


def test_each_has_its_row_and_its_part_and_nothing_is_left_of_others():
    page = (ROOT / "projects" / "README.md").read_text()
    names = [folder.name for folder in PROJECTS]
    assert names
    assert re.findall(r"^\| \[([\w-]+)\]\(#\1\)", page, re.MULTILINE) == names
    assert re.findall(r"^## ([\w-]+)$", page, re.MULTILINE) == names
    assert {path.stem for path in CONFIGS.iterdir()} == set(names)


@pytest.mark.parametrize("folder", PROJECTS, ids=lambda folder: folder.name)
def test_patches_applied_and_kconfig_granted_what_is_asked_today(folder):
    """scripts/kernel_configs.py writes the tag once both are so."""
    lock = locks.load(folder / locks.NAME)
    (arch,) = recipe.load(folder).says.arches
    text = (CONFIGS / f"{folder.name}.config").read_text()
    assert text.splitlines()[0] == f"# {tag.compute(folder, lock, arch)}", (
        f"make it anew: scripts/kernel_configs.py {folder.name}"
    )
    granted = kconfig.parse(text)
    asked = (folder / "kernel.config").read_text().splitlines()
    for line in [line for line in asked if not line.startswith("#")]:
        name, value = LINE.match(line).groups()
        assert granted.get(name) == value, line


@pytest.mark.parametrize("folder", PROJECTS, ids=lambda folder: folder.name)
def test_its_recipe_lays_over_ours_and_its_lock_fits(folder):
    found = recipe.load(folder)
    lock = locks.load(folder / locks.NAME)
    (arch,) = found.says.arches
    assert lock.of(found.root_name, arch).inputs == found.root_inputs(arch)
    inside = {path for path, _, _ in tag.contents(folder)}
    assert {"kernel/build.sh", "kernel/merge.sh", "kernel.config"} <= inside
    for patch in folder.glob("patches/*"):
        assert re.fullmatch(r"0[2-9]\d\d-[a-z0-9-]+\.patch", patch.name)
        assert re.match(r"From: .+\nSubject: \w.+\n\n\w", patch.read_text())
