"""YAML that deceived other programs, or that means something else than it seems to."""

from __future__ import annotations

import time

import pytest

from linuxkit.spec import load
from support import cost, hostile_yaml
from support.archives import refusal


@pytest.mark.parametrize("case", hostile_yaml.YAMLS, ids=lambda case: case.id)
def test_yaml(case):
    text = case.make()
    started = time.process_time()
    error = refusal(lambda: load.parse(text, "x.yml"))
    assert time.process_time() - started < 2
    assert (error.code if error else None) == case.code, error
    for each in error.all() if error else ():
        assert each.where
        assert each.where.line
        assert each.where.column
        assert each.message.isprintable()
        assert each.hint.isprintable()


READ = """
import sys
from linuxkit.base.errors import Error
from linuxkit.spec import load
from support import hostile_yaml
(case,) = [case for case in hostile_yaml.YAMLS if case.id == sys.argv[1]]
try:
    load.parse(case.make(), "x.yml")
except Error as error:
    print(error.code)
"""
LARGE = [case for case in hostile_yaml.YAMLS if case.number == 42]


@pytest.mark.parametrize("case", LARGE, ids=lambda case: case.id)
def test_memory(case):
    peak, seconds, said = cost.measured(READ, case.id)
    assert said == case.code
    assert peak < cost.MEMORY_KIB
    assert seconds < cost.SECONDS
