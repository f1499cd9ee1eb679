"""Fetching .debs: several at once, one message for one cause, and an end when nobody waits."""

from __future__ import annotations

import threading

import pytest

from linuxkit.base import digest, events
from linuxkit.base.errors import Error
from linuxkit.oci.store import Store
from linuxkit.recipes.debian.lock import Deb
from linuxkit.recipes.debian.mirror import Mirrors
from linuxkit.recipes.debian.pool import Pool

BASE = "http://mirror.invalid/debian"


class Fake:
    """A transport whose answers are functions of the URL."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def fetch(self, url, sink, *, limit, progress):
        self.asked.append(url)
        for piece in self.answer(url):
            sink.write(piece)
            progress(len(piece))


def deb(name: str, data: bytes) -> Deb:
    return Deb(name, "1", "trixie", f"pool/{name}.deb", "T", len(data), digest.of_bytes(data))


def pool(tmp_path, fake):
    store = Store(tmp_path / "store", sync=False)
    return store, Pool(store, lambda: Mirrors((BASE,), ()), lambda: fake)


def test_all_arrive_and_are_counted(tmp_path):
    debs = [deb(f"p{i}", bytes([i]) * 1000) for i in range(20)]
    content = {f"{BASE}/pool/p{i}.deb": bytes([i]) * 1000 for i in range(20)}
    fake = Fake(lambda url: [content[url][:500], content[url][500:]])
    store, made = pool(tmp_path, fake)
    seen = []
    with events.reporting(seen.append):
        made.fetch(debs, "p")
    assert all(store.has(d.sha256, d.size) for d in debs)
    assert sum(e.done for e in seen if isinstance(e, events.Advanced)) == 20_000
    assert next(e for e in seen if isinstance(e, events.Started)).total == 20_000
    assert made.missing(debs) == ()
    made.fetch(debs, "p")
    assert len(fake.asked) == 20  # present ones are not asked for again


def test_an_unreachable_host_is_one_message(tmp_path):
    def answer(url):
        raise Error("LK0410", "cannot reach mirror.invalid", hint="H")

    _, made = pool(tmp_path, Fake(answer))
    with pytest.raises(Error) as caught:
        made.fetch([deb(f"p{i}", b"x") for i in range(40)], "p")
    (error,) = caught.value.all()
    assert (error.code, error.hint) == ("LK0410", "H")


def test_other_failures_are_all_told(tmp_path):
    def answer(url):
        raise Error("LK0411", f"there is no {url}")

    _, made = pool(tmp_path, Fake(answer))
    with pytest.raises(Error) as caught:
        made.fetch([deb(f"p{i}", b"%d" % i) for i in range(3)], "p")
    assert [error.code for error in caught.value.all()] == ["LK0527"] * 3
    assert "there is no" in caught.value.all()[0].detail


def test_an_interrupt_ends_what_is_under_way(tmp_path):
    """Without the stop, this transfer would never end and the test would hang."""
    started = threading.Event()

    def answer(url):
        while True:
            started.set()
            yield b"x"

    store, made = pool(tmp_path, Fake(answer))
    endless = Deb("p", "1", "trixie", "pool/p.deb", "T", 1 << 40, digest.of_bytes(b""))
    bad = deb("q", b"q")

    made._one, real = lambda d, *rest: _raise() if d is bad else real(d, *rest), made._one

    def _raise():
        started.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.fetch([bad, endless], "p")
    assert not store.has(endless.sha256)
    assert not list((tmp_path / "store" / "linuxkit" / "tmp").glob("*"))
