from __future__ import annotations

from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.runners.options import (
    Disk,
    Forward,
    Network,
    Options,
    parse_disk,
    parse_forward,
    parse_network,
    parse_secret,
    parse_size,
)

DISKS = {
    "data.qcow2": Disk(Path("data.qcow2")),
    "file=a.img,size=512M": Disk(Path("a.img"), 512),
    "size=4G": Disk(None, 4096),
    "size=4": Disk(None, 4096),
    "/dev/sdb,format=raw": Disk(Path("/dev/sdb"), 0, "raw"),
    "x,size=1g,format=qcow2": Disk(Path("x"), 1024, "qcow2"),
}
FORWARDS = {
    "8080:80": Forward(8080, 80),
    "8080:80/tcp": Forward(8080, 80, "tcp"),
    "5353:53/udp": Forward(5353, 53, "udp"),
    "0.0.0.0:80:80": Forward(80, 80, "tcp", "0.0.0.0"),
    "192.0.2.1:1:65535/udp": Forward(1, 65535, "udp", "192.0.2.1"),
}
NETWORKS = {
    "user": Network(),
    "default": Network(),
    "none": Network("none"),
    "bridge,br0": Network("bridge", "br0"),
    "tap,tap0": Network("tap", "tap0"),
}


@pytest.mark.parametrize("text", DISKS)
def test_disk(text):
    assert parse_disk(text) == DISKS[text]


@pytest.mark.parametrize(
    "text", ["", "format=raw", "a,sise=4", "a,size=", "a,size=0", "a,size=-1", "a,format=vmdk",
             "a,b", "size=1T", "file="]
)  # fmt: skip
def test_bad_disk(text):
    with pytest.raises(Error) as caught:
        parse_disk(text)
    assert caught.value.code == "LK0810"


def test_secret(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("key=1").write_text("x")
    assert parse_secret("tls.key=key=1") == ("tls.key", tmp_path / "key=1")


@pytest.mark.parametrize("text", ["", "a", "=b", "a=", "a/b=c", ".a=b", f"{'x' * 29}=b", "a,b=c"])
def test_bad_secret(text):
    with pytest.raises(Error) as caught:
        parse_secret(text)
    assert caught.value.code == "LK0810"


def test_a_secret_that_is_not_there(tmp_path):
    with pytest.raises(Error, match="No such file"):
        parse_secret(f"a={tmp_path}/missing")


def test_sizes_are_mib():
    assert [parse_size(t) for t in ("1024M", "1G", "1", "3MB", "2gb")] == [1024, 1024, 1024, 3, 2048]


@pytest.mark.parametrize("text", FORWARDS)
def test_forward(text):
    assert parse_forward(text) == FORWARDS[text]


@pytest.mark.parametrize(
    "text",
    ["80", "", ":80", "0:80", "80:0", "65536:1", "a:80", "80:80/sctp", "80:80/", "host:80:80",
     "1.2.3.4,x=1:80:80", "²:80", "[::1]:80:80", ":1:2"],
)  # fmt: skip
def test_bad_forward(text):
    with pytest.raises(Error) as caught:
        parse_forward(text)
    assert caught.value.code == "LK0811"


@pytest.mark.parametrize("text", NETWORKS)
def test_network(text):
    assert parse_network(text) == NETWORKS[text]


@pytest.mark.parametrize(
    "text",
    ["", "bridge", "bridge,", "user,x", "tap,a b", "tap,a,script=evil", "tap,abcdefghijklmnop", "vmnet"],
)
def test_bad_network(text):
    with pytest.raises(Error) as caught:
        parse_network(text)
    assert caught.value.code == "LK0812"


def test_a_near_miss_gets_a_suggestion():
    with pytest.raises(Error) as caught:
        parse_network("brige,br0")
    assert caught.value.hint == 'did you mean "bridge"?'


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (Options(cpus=0), "LK0813"),
        (Options(cpus=10_000), "LK0813"),
        (Options(memory_mib=1), "LK0813"),
        (Options(forwards=(Forward(1, 1),), network=Network("none")), "LK0812"),
    ],
)
def test_impossible_machines(options, code):
    with pytest.raises(Error) as caught:
        options.check()
    assert caught.value.code == code
