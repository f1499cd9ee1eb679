from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.base.where import Where
from linuxkit.oci import ref

SHA = "sha256:" + "0123456789abcdef" * 4

GOOD = {
    # one part: the library of the hub
    "alpine": "docker.io/library/alpine",
    "alpine:3.20": "docker.io/library/alpine:3.20",
    f"alpine@{SHA}": f"docker.io/library/alpine@{SHA}",
    f"alpine:3@{SHA}": f"docker.io/library/alpine:3@{SHA}",
    "localhost": "docker.io/library/localhost",
    "localhost:5000": "docker.io/library/localhost:5000",
    "my.tool": "docker.io/library/my.tool",
    # two parts: a user of the hub, unless the first is a host
    "linuxkit/init:v1.2": "docker.io/linuxkit/init:v1.2",
    "linuxkit/init": "docker.io/linuxkit/init",
    "localhost/init:1": "localhost/init:1",
    "127.0.0.1:5000/init": "127.0.0.1:5000/init",
    "[::1]:5000/init:x": "[::1]:5000/init:x",
    "quay.io/init": "quay.io/init",
    "[fd00::1]/init": "[fd00::1]/init",
    f"[::ffff:10.0.0.7]:5000/a/b:1@{SHA}": f"[::ffff:10.0.0.7]:5000/a/b:1@{SHA}",
    "a-b.c--d.example:1/x": "a-b.c--d.example:1/x",
    "10.0.0.7/x": "10.0.0.7/x",
    "xn--n3h.example/x": "xn--n3h.example/x",
    "h.example:65535/x:5000": "h.example:65535/x:5000",
    "localhost:5000/localhost:5000": "localhost:5000/localhost:5000",
    "EXAMPLE.com/init": "EXAMPLE.com/init",
    "docker.io/alpine": "docker.io/alpine",
    "linuxkit.stock/init:0123456789abcdef": "linuxkit.stock/init:0123456789abcdef",
    # three parts and more: never touched
    "docker.io/library/alpine": "docker.io/library/alpine",
    "registry.example.com:443/a/b/c:T_1.x-y": "registry.example.com:443/a/b/c:T_1.x-y",
    "a/b/c": "a/b/c",
    # separators inside a part
    "a/b__c--d.e_f": "docker.io/a/b__c--d.e_f",
    "a:" + "t" * 128: "docker.io/library/a:" + "t" * 128,
    "a" * 237: "docker.io/library/" + "a" * 237,
    "h.example/" + "a/" * 122 + "b": "h.example/" + "a/" * 122 + "b",
    "h/x/0": "h/x/0",
    "a:_": "docker.io/library/a:_",
    "a:0.-_": "docker.io/library/a:0.-_",
    "a---b": "docker.io/library/a---b",
    "0__0.0-0_0": "docker.io/library/0__0.0-0_0",
}

BAD = {
    "": "it is empty",
    "a b": "white space",
    " a": "white space",
    "a\n": "white space",
    "a\x1b[31m": "control characters",
    "https://quay.io/a:1": "leave out 'https://'",
    "a:": "the tag after the colon is empty",
    "quay.io/a:": "the tag after the colon is empty",
    "a:.x": '".x" is not a tag',
    "a:b:c": '"a:b" is not a part of a name',
    "a:ü": '"ü" is not a tag',
    "a:" + "t" * 129: "the tag has 129 characters",
    "a" * 238: "the name has 256 characters",
    ":tag": "it has no name",
    f"@{SHA}": "it has no name",
    "@pkg:init": "it names a stock package",
    "a@": '"" is not a digest',
    "a@sha256:abc": '"sha256:abc" is not a digest',
    f"a@{SHA.upper()}": "is not a digest",
    f"a@{SHA}@{SHA}": "is not a digest",
    "a@sha256:../../x": "is not a digest",
    "a@sha512:" + "0" * 128: "it has a sha512 digest; the store keeps sha256",
    "a@sha512:" + "0" * 127: "is not a digest",
    "a@sha384:" + "0" * 96: "is not a digest",
    "a@sha256+b64:" + "0" * 64: "is not a digest",
    f"a:@{SHA}": "the tag after the colon is empty",
    f"a@{SHA}:tag": "is not a digest",
    f"a@{SHA}/b": "is not a digest",
    "h.example/" + "a/" * 122 + "bc": "the name has 256 characters",
    "[::1/x": '"[::1" is not a host',
    "[]/x:1": '"[]" is not a part of a name',
    "[:::]/x": '"[:::]" is not a host',
    "[::1%eth0]:5000/x": '"[::1%eth0]:5000" is not a host',
    "[::g]/x": '"[::g]" is not a host',
    "::1/x": '"::1" is not a host',
    "[10.0.0.7]/x": '"[10.0.0.7]" is not a host',
    "[::1]x:5000/x": '"[::1]x:5000" is not a host',
    "h.example:65536/x": "a port is 1 to 65535",
    "h.example:0/x": "a port is 1 to 65535",
    "h.example:/x": '"h.example:" is not a host',
    "h..example/x": '"h..example" is not a host',
    ".example/x": '".example" is not a host',
    "h-.example/x": '"h-.example" is not a host',
    "h_1.example/x": '"h_1.example" is not a host',
    "user@h.example/x": "is not a digest",
    "a/b_-c": '"b_-c" is not a part of a name',
    "a/b.-c": '"b.-c" is not a part of a name',
    "a/.b": '".b" is not a part of a name',
    "a/b?c": '"b?c" is not a part of a name',
    "a/b%2fc": '"b%2fc" is not a part of a name',
    "a:-x": '"-x" is not a tag',
    "a:x+y": '"x+y" is not a tag',
    "Alpine": "write alpine",
    "linuxkit/Init:1": "write init",
    "a//b": "a part between slashes is empty",
    "/a": "a part between slashes is empty",
    "a/": "a part between slashes is empty",
    "../a": '".." is not a host',
    "a/../b": '".." is not a part of a name',
    "-a": '"-a" is not a part of a name',
    "a-": '"a-" is not a part of a name',
    "a___b": '"a___b" is not a part of a name',
    "a..b": '"a..b" is not a part of a name',
    "a_host:80/x": '"a_host:80" is not a host',
    "host:port/x": '"host:port" is not a host',
    "host:123456/x": '"host:123456" is not a host',
    "-h.example/x": '"-h.example" is not a host',
    "ä.example/x": '"ä.example" is not a host',
    "٣": '"٣" is not a part of a name',
}


@pytest.mark.parametrize(("text", "canonical"), GOOD.items())
def test_expands_as_upstream_does(text: str, canonical: str) -> None:
    parsed = ref.parse(text)
    assert str(parsed) == canonical
    assert ref.parse(canonical) == parsed  # a canonical text stands for itself


def test_parts() -> None:
    assert ref.parse(f"linuxkit/init:v1@{SHA}") == ref.Ref("docker.io/linuxkit/init", "v1", SHA)
    assert ref.parse("localhost:5000/a") == ref.Ref("localhost:5000/a")


@pytest.mark.parametrize(("text", "says"), BAD.items())
def test_refuses(text: str, says: str) -> None:
    with pytest.raises(Error) as caught:
        ref.parse(text)
    error = caught.value
    assert error.code == "LK0302"
    assert error.hint
    assert says in f"{error.message}; {error.hint}"
    assert error.message.isprintable()


def test_points_at_the_place() -> None:
    place = Where("x.yml", 3, 10)
    with pytest.raises(Error) as caught:
        ref.parse("A", place)
    assert caught.value.where is place


def test_long_hostile_text_is_refused_at_once() -> None:
    for text in ("a-" * 100_000, "a" * 1_000_000 + "!", "a/" * 100_000, "_" * 100_000 + ":" * 9):
        with pytest.raises(Error) as caught:
            ref.parse(text)
        assert len(caught.value.message) < 600
