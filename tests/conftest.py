"""What every test may use, and the rule about missing tools."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from support import proofs
from support.tools import need

# A run in the background of a shell has interrupts ignored, and so would every program it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser):
    parser.addoption("--accept", action="store_true", help="write golden files anew")


# What a machine may rightly lack, or nobody has recorded; any other skip hides a missing tool.
_MAY_BE_SKIPPED = ("not recorded", "there is no KVM device")


_PROOFS = pytest.StashKey[proofs.Recorder]()


@pytest.fixture
def prove(request):
    """Tell what the test shows of output formats; see support/proofs.py."""
    return request.node.stash.setdefault(_PROOFS, proofs.Recorder(request.node.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Hold a test to what it proves, and let a skipped one fail where CI=true.

    There everything that a test needs is installed.
    """
    report = yield
    if report.when == "call" and report.passed and _PROOFS in item.stash:
        shown, accept = item.stash[_PROOFS].proofs, item.config.getoption("--accept")
        wrong = proofs.settle(item.nodeid, shown, accept=accept)
        if wrong:
            report.outcome, report.longrepr = "failed", wrong
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
        if not reason.endswith(_MAY_BE_SKIPPED):
            report.outcome = "failed"
            report.longrepr = f"where CI=true nothing may be skipped: {reason}"
    return report


@pytest.fixture(name="need")
def need_fixture():
    """Skip the test where one of these programs is missing."""

    def check(*programs: str) -> None:
        for program in programs:
            need(program)

    return check
