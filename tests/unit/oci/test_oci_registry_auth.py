"""Logins, helpers, challenges and whose hosts are whose."""

from __future__ import annotations

import base64
import json
import os

import pytest

from linuxkit.base.errors import Error
from linuxkit.oci import auth
from linuxkit.oci.auth import Challenge, Keychain, Login

HELPER = """#!/bin/sh
read -r key
echo "$key" >> "$HOME/asked"
case "$key" in
https://index.docker.io/v1/) echo '{"Username": "hub", "Secret": "h"}' ;;
token.example) echo '{"Username": "<token>", "Secret": "t"}' ;;
odd.example) echo nonsense ;;
broken.example) echo "the keyring is locked" >&2; exit 1 ;;
*) echo "credentials not found in native keychain"; exit 1 ;;
esac
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Write config.json, and a helper program named "test" on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker-credential-test").write_text(HELPER)
    (folder / "docker-credential-test").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))

    def write(value: object) -> Keychain:
        path = tmp_path / "config.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return Keychain(path)

    return write


def entry(user="u", word="p:q"):
    return {"auth": base64.b64encode(f"{user}:{word}".encode()).decode()}


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("r.example", "r.example"),
        ("https://r.example", "r.example"),
        ("https://r.example/v1/", "r.example"),
        ("r.example:5000", "r.example:5000"),
        ("https://index.docker.io/v1/", "registry-1.docker.io"),
        ("docker.io", "registry-1.docker.io"),
    ],
)
def test_a_login_is_found(config, key, host):
    assert config({"auths": {"other": entry("x"), key: entry()}}).login(host) == Login("u", "p:q")


@pytest.mark.parametrize(
    "key", ["r.example:5000", "r.example/team", "r.example/v2/x", "example", "sub.r.example", "r.example.evil"]
)
def test_a_login_is_for_its_host_alone(config, key):
    assert config({"auths": {key: entry()}}).login("r.example") is None


def test_other_forms(config):
    assert config({"auths": {"a": {"username": "u", "password": "p"}}}).login("a") == Login("u", "p")
    found = config({"auths": {"a": {**entry(), "identitytoken": "t"}}}).login("a")
    assert found == Login("u", "t", "refresh")
    assert config({"auths": {"a": {}}}).login("a") is None
    assert config({}).login("a") is None
    assert "p:q" not in repr(Login("u", "p:q"))


def test_a_token_that_is_sent_as_it_is(config):
    found = config({"auths": {"a": {"registrytoken": "t"}}}).login("a")
    assert found is not None
    assert found.header() == "Bearer t"


def test_a_login_for_a_part_of_a_registry(config):
    """The longest name that fits, as containers-auth.json(5) has it."""
    found = config({"auths": {"r.example/team": entry("team"), "r.example": entry("all"),
                              "r.example/team/a": entry("one"), "docker.io/library": entry("hub")}})  # fmt: skip
    names = {"team/a": "one", "team/a/b": "one", "team/ab": "team", "team": "team", "teams": "all", "": "all"}
    assert {name: found.login("r.example", name).user for name in names} == names
    assert found.login("registry-1.docker.io", "library/alpine").user == "hub"
    assert found.login("registry-1.docker.io", "me/x") is None


def test_no_file_no_login(tmp_path, monkeypatch):
    assert Keychain(tmp_path / "none").login("a") is None
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("DOCKER_CONFIG", "/d")
    monkeypatch.setattr(os, "getuid", lambda: 7)
    paths = list(map(str, auth.default_files()))
    assert paths == ["/d/config.json", "/run/containers/7/auth.json", "/h/.config/containers/auth.json"]
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    paths = list(map(str, auth.default_files()))
    assert paths == ["/h/.docker/config.json", "/run/user/7/containers/auth.json", "/c/containers/auth.json"]
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/only")
    assert list(map(str, auth.default_files())) == ["/only"]


def test_files_are_asked_in_turn(tmp_path, monkeypatch):
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    for name in ("DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for n, path in enumerate(auth.default_files()):
        path.parent.mkdir(parents=True)
        users = {f"{name}.example": entry(str(n)) for name in ("abc"[n:])}
        path.write_text(json.dumps({"auths": users}))
    assert [Keychain().login(f"{name}.example").user for name in "abc"] == ["0", "0", "0"]
    auth.default_files()[0].unlink()
    assert Keychain().login("a.example") is None
    assert [Keychain().login(f"{name}.example").user for name in "bc"] == ["1", "1"]
    given = dict([auth.given("b.example=me:pass"), auth.given("https://d.example/v2/=t0ken")])
    found = Keychain(given=given)
    assert found.login("b.example", "x") == Login("me", "pass")
    assert found.login("d.example").header() == "Bearer t0ken"
    assert found.login("c.example").user == "1"


@pytest.mark.parametrize(
    ("text", "host", "login"),
    [
        ("ghcr.io=me:a:b=c", "ghcr.io", Login("me", "a:b=c")),
        ("localhost:5000=me:p", "localhost:5000", Login("me", "p")),
        ("[::1]:5000=t", "[::1]:5000", Login("", "t", "bearer")),
        ("docker.io=me:ü ,", "docker.io", Login("me", "ü ,")),
    ],
)
def test_given_logins(text, host, login):
    assert auth.given(text) == (host, login)


@pytest.mark.parametrize(
    "text",
    ["", "s3cret", "me:s3cret", "=me:s3cret", "a=", "a=:s3cret", "a=s3cret:", "a=s3 cret", "a/b=me:s3cret", "a=me:s3cret\r\nX: y"],
)  # fmt: skip
def test_no_logins(text):
    with pytest.raises(Error) as error:
        auth.given(text)
    assert error.value.code == "LK0332"
    assert "s3" not in str(error.value)
    assert "s3" not in error.value.hint


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "[" * 9999, '{"auths": [1]}', '{"auths": {"a": 1}}', '{"auths": {"a": {"auth": "%"}}}',
     '{"credsStore": "../x"}', '{"credsStore": "a b"}'],
)  # fmt: skip
def test_damage_is_told(config, text):
    with pytest.raises(Error) as error:
        config(text).login("a")
    assert error.value.code == "LK0326"


def test_helpers(config, tmp_path):
    store = config({"credsStore": "test", "auths": {"plain.example": entry()}})
    assert store.login("registry-1.docker.io") == Login("hub", "h")
    assert store.login("token.example") == Login("<token>", "t", "refresh")
    assert store.login("plain.example") == Login("u", "p:q")
    assert store.login("none.example") is None
    one = config({"credHelpers": {"token.example": "test"}})
    assert one.login("none.example") is None
    assert one.login("token.example") is not None
    assert (tmp_path / "asked").read_text().split() == [
        "https://index.docker.io/v1/", "token.example", "plain.example", "none.example", "token.example"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("helper", "host", "code"),
    [("test", "odd.example", "LK0326"), ("test", "broken.example", "LK0902"),
     ("nowhere", "a", "LK0901")],
)  # fmt: skip
def test_helpers_that_fail_are_told(config, helper, host, code):
    with pytest.raises(Error) as error:
        config({"credHelpers": {host: helper}}).login(host)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", ()),
        ("Basic", (Challenge("basic"),)),
        ('Basic realm="a, b"', (Challenge("basic", "a, b"),)),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
            (Challenge("bearer", "https://a/t", "s", "repository:x:pull,push"),),
        ),
        (
            r'bearer REALM = "a\"b" , service=s, Basic realm=x',
            (Challenge("bearer", 'a"b', "s"), Challenge("basic", "x")),
        ),
        ('Negotiate, Digest realm="x", Bearer realm="y"', (Challenge("bearer", "y"),)),
        ('Bearer realm="a",realm="b"', (Challenge("bearer", "a"),)),
        ('Bearer realm="open', (Challenge("bearer"),)),
        ("Bearer " + "a=b," * 99_999, (Challenge("bearer"),)),
        ('realm="x"', ()),
        ('Bearer realm="' + "\\" * 8000, (Challenge("bearer"),)),
    ],
)
def test_challenges(header, found):
    assert auth.challenges(header) == found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("registry-1.docker.io", "auth.docker.io", True),
        ("registry.gitlab.com", "gitlab.com", True),
        ("ghcr.io", "ghcr.io", True),
        ("ghcr.io", "ghcr.io.evil.com", False),
        ("a.evil.io", "docker.io", False),
        ("r.me.co.uk", "auth.me.co.uk", True),
        ("r.me.co.uk", "evil.co.uk", False),
        ("127.0.0.1", "127.0.0.2", False),
        ("10.0.0.1", "99.9.0.1", False),
        ("::1", "::1", True),
        ("localhost", "localhost", True),
        ("localhost", "evil.localhost", False),
        ("a.com", "com", False),
    ],
)
def test_neighbours(one, other, same):
    assert auth.neighbours(one, other) is same
