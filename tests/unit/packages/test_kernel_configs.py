"""What Kconfig made of the flavours' requests: everything was granted, and how hard it is.

The files in ``kernel-configs`` are what ``kernel/build.sh`` leaves as ``config``; those that are not
scored go without what is not set.  After a change of a flavour scripts/kernel_configs.py makes them
anew, by the first steps of its recipe.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import linuxkit
from linuxkit.base import resources
from linuxkit.build import kconfig
from linuxkit.recipes import fragments, hardening
from linuxkit.sources.packages import pool_of
from support.machines import cache_folder

FOLDER = Path(__file__).parent / "kernel-configs"
ALL = [tuple(path.stem.split("-", 1)) for path in sorted(FOLDER.glob("*.config"))]
SCORES = json.loads((hardening.folder() / "scores.json").read_text())
SCORED = [("amd64", "cloud"), ("amd64", "microvm"), ("amd64", "metal")]


def text_of(arch, flavour):
    return (FOLDER / f"{arch}-{flavour}.config").read_text()


def test_every_flavour_and_architecture_is_there():
    assert {flavour for _, flavour in ALL} == set(fragments.flavours(fragments.folder()))
    cloud = {arch for arch, flavour in ALL if flavour == "cloud"}
    assert cloud == {"amd64", "arm64", "riscv64", "s390x"}


@pytest.mark.parametrize(("arch", "flavour"), ALL)
def test_what_was_asked_for_was_granted(arch, flavour):
    config = kconfig.parse(text_of(arch, flavour))
    for line in fragments.read(fragments.folder(), arch, flavour):
        assert config.get(line.name) == line.value, line.place


@pytest.mark.net
@pytest.mark.parametrize(("arch", "flavour"), SCORED)
def test_the_score_only_rises(arch, flavour, tmp_path):
    """A better one has to be written down; a worse one needs a reason in the commit that does."""
    cache = linuxkit.open_store(cache_folder(tmp_path))
    subject = hardening.Subject(text_of(arch, flavour), hardening.cmdline())
    score = hardening.check(subject, pool_of(cache), cache)
    assert score.checker == SCORES["checker"]
    assert [score.good, len(score.findings)] == SCORES["scores"][f"{flavour} {arch}"]
    bad = [f for f in score.findings if not f.ok and not f.accepted]
    assert bad == [], "mend it, or write the reason into packages/hardening/exceptions"


@pytest.mark.net
def test_exceptions_are_of_use_and_hold_with_the_sysctls_too(tmp_path):
    """What ``kernel check --sysctl`` looks at; an exception that nothing needs has to go."""
    cache = linuxkit.open_store(cache_folder(tmp_path))
    file = resources.packages() / "sysctl" / "00-linuxkit.conf"
    sysctl = file.read_text().replace("\n-", "\n")
    bad = set()
    for arch, flavour in SCORED:
        subject = hardening.Subject(text_of(arch, flavour), hardening.cmdline(), sysctl)
        findings = hardening.check(subject, pool_of(cache), cache).findings
        assert [f.name for f in findings if not f.ok and not f.accepted] == []
        bad |= {f.name for f in findings if not f.ok}
    assert set(hardening.exceptions()) == bad
