"""Signed releases and their indices, from a small archive that the tests sign themselves."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pysequoia
import pytest

from linuxkit.base.errors import Error
from linuxkit.net.http import Transport
from linuxkit.recipes.debian import archive as archives
from linuxkit.recipes.debian import release
from linuxkit.recipes.debian.mirror import Mirrors
from linuxkit.recipes.debian.release import Keyring
from support.debian_archive import NOW, DebianArchive, Pkg, key

TRANSPORT = Transport()


@pytest.fixture(scope="module")
def signer():
    return key()


@pytest.fixture
def made(tmp_path, signer):
    return DebianArchive(tmp_path / "debian", signer)


@pytest.fixture
def ring(tmp_path, signer):
    return keyring(tmp_path, signer)


def keyring(tmp_path, *keys):
    paths = []
    for i, one in enumerate(keys):
        path = tmp_path / f"key{i}.gpg"
        path.write_bytes(one.public)
        paths.append(path)
    return Keyring(paths)


def fetch(made, ring, suite="trixie", *, now=NOW, live=True):
    return release.fetch(made.url, suite, ring, TRANSPORT, now, live=live)


def code(call) -> str:
    with pytest.raises(Error) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value.code


def test_good(made, ring):
    made.publish("trixie", [Pkg("abc")], arches=("amd64", "arm64"))
    found = fetch(made, ring)
    assert found.date == NOW - timedelta(days=1)
    assert found.architectures == ("amd64", "arm64")
    assert b"Package: abc" in release.packages(made.url, found, "amd64", TRANSPORT)


@pytest.mark.parametrize("form", [".xz", ""])
@pytest.mark.parametrize("by_hash", [True, False])
def test_forms_of_indices(made, ring, form, by_hash):
    made.publish("trixie", [Pkg("abc")], form=form, by_hash=by_hash)
    assert b"Package: abc" in release.packages(made.url, fetch(made, ring), "amd64", TRANSPORT)


def change(made, old, new):
    path = made.root / "dists/trixie/InRelease"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def test_altered(made, ring):
    made.publish("trixie", [Pkg("abc")])
    change(made, b"Origin: Test", b"Origin: Tent")
    assert code(lambda: fetch(made, ring)) == "LK0513"


def test_text_before_and_after_the_signed_part_is_not_read(made, ring):
    made.publish("trixie", [Pkg("abc")])
    path = made.root / "dists/trixie/InRelease"
    path.write_bytes(b"\n" + path.read_bytes() + b"\nCodename: evil\n")
    try:
        found = fetch(made, ring)
    except Error as error:
        assert error.code == "LK0513"  # noqa: PT017 - refusing it is as good
    else:
        assert found.suite == "trixie"


def test_unsigned(made, ring):
    made.publish("trixie", [Pkg("abc")])
    (made.root / "dists/trixie/InRelease").write_bytes(b"Codename: trixie\n")
    assert code(lambda: fetch(made, ring)) == "LK0511"


def test_unknown_key(made, tmp_path):
    made.publish("trixie", [Pkg("abc")])
    other = keyring(tmp_path, key("Other <o@example.org>"))
    assert code(lambda: fetch(made, other)) == "LK0512"


def test_expired_key(made, ring):
    made.publish("trixie", [Pkg("abc")])
    late = NOW + timedelta(days=5 * 365)
    assert code(lambda: fetch(made, ring, now=late)) == "LK0514"
    # A snapshot of then was signed when the key was good.
    assert fetch(made, ring, now=late, live=False).suite == "trixie"


@pytest.mark.parametrize(
    "case",
    [
        ("Valid-Until: Mon, 23 Nov 2026 12:00:00 UTC\n", -1, True, "LK0516"),
        ("Valid-Until: Mon, 23 Nov 2026 12:00:00 UTC\n", -1, False, ""),
        ("Valid-Until: Wed, 25 Nov 2026 12:00:00 UTC\n", -1, True, ""),
        ("", 3, True, "LK0516"),  # dated in the future
        ("", 0, True, ""),
    ],
)
def test_dates(made, ring, case):
    fields, days, live, expected = case
    made.publish("trixie", [Pkg("abc")], date=NOW + timedelta(days=days), fields=fields)
    if expected:
        assert code(lambda: fetch(made, ring, live=live)) == expected
    else:
        fetch(made, ring, live=live)


def test_another_suite(made, ring):
    made.publish("sid", [Pkg("abc")])
    shutil.move(made.root / "dists/sid", made.root / "dists/trixie")
    assert code(lambda: fetch(made, ring)) == "LK0515"


@pytest.mark.parametrize(
    "text", [b"", b"x", b"Codename: trixie\nDate: never\nArchitectures: a\nSHA256:\n",
             b"Codename: trixie\nDate: Mon, 23 Nov 2026 12:00:00 UTC\nArchitectures: a\nSHA256:\n x\n"],
)  # fmt: skip
def test_damaged(made, ring, text):
    made.sign("trixie", text)
    assert code(lambda: fetch(made, ring)) == "LK0517"


@pytest.mark.parametrize("size", [1, -1, 0])
def test_index_that_is_not_the_one_named(made, ring, size):
    made.publish("trixie", [Pkg("abc")])
    path = made.root / "dists/trixie/main/binary-amd64/Packages.xz"
    data = path.read_bytes()
    path.write_bytes(data + b"x" if size > 0 else data[:size] if size else data[:-1] + b"\1")
    found = fetch(made, ring)
    assert code(lambda: release.packages(made.url, found, "amd64", TRANSPORT)) == "LK0519"


def test_no_such_architecture(made, ring):
    made.publish("trixie", [Pkg("abc")])
    found = fetch(made, ring)
    assert code(lambda: release.packages(made.url, found, "s390x", TRANSPORT)) == "LK0518"


def test_revoked_key(made, tmp_path):
    signer = key()
    made.signer = signer
    made.publish("trixie", [Pkg("abc")])
    cert = pysequoia.Cert.from_bytes(signer.public)
    revoked = cert.merge(pysequoia.Cert.from_bytes(
        bytes(cert) + bytes(cert.revoke(signer.secret.certifier()))))  # fmt: skip
    path = tmp_path / "revoked.gpg"
    path.write_bytes(bytes(revoked))
    assert code(lambda: fetch(made, Keyring([path]))) in ("LK0513", "LK0514")


def test_empty_or_broken_keyrings(tmp_path):
    (tmp_path / "bad.gpg").write_bytes(b"nonsense")
    assert code(lambda: Keyring([tmp_path / "bad.gpg"])) == "LK0510"
    assert code(lambda: Keyring([tmp_path / "none.gpg"])) == "LK0510"
    assert code(lambda: Keyring([])) == "LK0510"


def test_suites_that_cannot_be_reached_are_left_out(made, ring, tmp_path):
    made.publish("trixie", [Pkg("abc")])
    mirrors = Mirrors((made.url,), ((tmp_path / "none").as_uri(),))
    found = archives.reach(mirrors, ring, TRANSPORT, NOW)
    assert list(found.suites) == ["trixie"]
    assert found.index("amd64").candidate("abc") is not None


def test_a_suite_with_an_old_index_stops_unless_it_is_left_out(made, ring, monkeypatch):
    monkeypatch.setattr(archives, "_PAUSE_S", 0)
    made.publish("trixie", [Pkg("abc")])
    made.publish("trixie-updates", [Pkg("abc", "2")])
    index = made.root / "dists/trixie-updates/main/binary-amd64/Packages.xz"
    index.write_bytes(index.read_bytes()[:-1])
    mirrors = Mirrors((made.url,), ())
    with pytest.raises(Error) as caught:
        archives.reach(mirrors, ring, TRANSPORT, NOW).index("amd64")
    assert caught.value.code == "LK0519"
    assert caught.value.hint.endswith("--without updates")
    suites = archives.suites(without=["updates"])
    assert suites == ("trixie", "trixie-security")
    found = archives.reach(mirrors, ring, TRANSPORT, NOW, suites)
    assert found.index("amd64").candidate("abc").version == "1.0-1"


def test_another_release_of_debian(made, ring):
    made.publish("bookworm", [Pkg("abc", "0.9")])
    made.publish("bookworm-updates", [Pkg("abc", "0.9.1")])
    mirrors = Mirrors((made.url,), ())
    found = archives.reach(mirrors, ring, TRANSPORT, NOW, archives.suites("bookworm"))
    assert list(found.suites) == ["bookworm", "bookworm-updates"]
    assert found.index("amd64").candidate("abc").version == "0.9.1"


def test_other_components_are_looked_in_only_when_asked_for(made, ring):
    made.publish("trixie", [Pkg("abc")], others={"non-free-firmware": [Pkg("blob")]})
    found = archives.reach(Mirrors((made.url,), ()), ring, TRANSPORT, NOW)
    assert found.index("amd64").candidate("blob") is None
    wide = found.index("amd64", ("main", "non-free-firmware"))
    assert wide.candidate("blob").version == "1.0-1"
    assert wide.candidate("abc") is not None
    assert code(lambda: found.index("amd64", ("contrib",))) == "LK0518"


def test_a_package_of_another_suite(made, ring):
    made.publish("trixie", [Pkg("abc", "1")])
    made.publish("trixie-backports", [Pkg("abc", "2")])
    found = archives.reach(Mirrors((made.url,), ()), ring, TRANSPORT, NOW)
    assert "trixie-backports" not in found.suites
    package = found.index("amd64", suite="trixie-backports").candidate("abc")
    assert (package.version, package.suite) == ("2", "trixie-backports")
    assert found.suites["trixie-backports"].release.suite == "trixie-backports"
    assert found.index("amd64").candidate("abc").version == "1"
    assert code(lambda: found.index("amd64", suite="trixie-frontports")) == "LK0411"


def test_the_main_suite_must_be_there(ring, tmp_path):
    mirrors = Mirrors(((tmp_path / "none").as_uri(),), ())
    assert code(lambda: archives.reach(mirrors, ring, TRANSPORT, NOW)) == "LK0411"


def test_a_wrong_signature_is_never_passed_over(made, ring, tmp_path):
    made.publish("trixie", [Pkg("abc")])
    security = DebianArchive(tmp_path / "debian-security", key("Evil <e@example.org>"))
    security.publish("trixie-security", [Pkg("abc", "2")])
    mirrors = Mirrors((made.url,), (security.url,))
    assert code(lambda: archives.reach(mirrors, ring, TRANSPORT, NOW)) == "LK0512"


def test_the_second_mirror_serves_when_the_first_does_not(made, ring, tmp_path):
    made.publish("trixie", [Pkg("abc")])
    mirrors = Mirrors(((tmp_path / "none").as_uri(), made.url), ())
    assert archives.reach(mirrors, ring, TRANSPORT, NOW).suites["trixie"].base == made.url
