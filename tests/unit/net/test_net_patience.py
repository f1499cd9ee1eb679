"""How long is waited, and for whom not at all."""

from __future__ import annotations

import email.utils
import time

import pytest

from linuxkit.base.errors import Error
from linuxkit.net import patience
from linuxkit.net.patience import Patience, Settings


@pytest.fixture
def slept(monkeypatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def test_pauses_double_and_differ(slept):
    for _ in range(50):
        mine = Patience(Settings(tries=9, pause_s=1))
        for _ in range(8):
            mine.spend(Error("LK0410", "x"), 0, "h")
        with pytest.raises(Error):
            mine.spend(Error("LK0410", "x"), 0, "h")
    for n, about in enumerate((1, 2, 4, 8, 16, 20, 20, 20)):
        of_one = slept[n::8]
        assert about / 2 <= min(of_one) < max(of_one) <= about * 1.5
        assert len(set(of_one)) > 40
    assert len(slept) == 400


def test_what_is_asked_for_is_given_up_to_a_limit(slept):
    error = Error("LK0412", "x")
    Patience(Settings(pause_s=0)).spend(error, patience.LONGEST_WAIT_S, "h")
    assert slept == [patience.LONGEST_WAIT_S]
    with pytest.raises(Error) as caught:
        Patience(Settings()).spend(error, patience.LONGEST_WAIT_S + 1, "h")
    assert caught.value is error
    assert len(slept) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("12", 12), (" 3 ", 3), ("-1", 0), ("1.5", 0), ("x", 0), ("٣", 0), ("9" * 99, 366 * 86400),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 99 Oct 2015", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", 366 * 86400)],
)  # fmt: skip
def test_headers(text, seconds):
    assert patience.asked_s(text) == seconds


def test_a_date():
    soon = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 50 < patience.asked_s(soon) <= 100
