from __future__ import annotations

import pytest

from linuxkit.base.errors import Error
from linuxkit.spec import text
from linuxkit.spec.text import UNLIMITED, Bind, Mode, Rlimit, Tmpfs

GOOD = [
    (text.bind, "/a:/b", Bind("/a", "/b")),
    (text.bind, "vol:/b:ro,nosuid", Bind("vol", "/b", ("ro", "nosuid"))),
    (text.tmpfs, "/tmp", Tmpfs("/tmp")),
    (text.tmpfs, "/tmp:size=1m,mode=1777", Tmpfs("/tmp", ("size=1m", "mode=1777"))),
    (text.rlimit, "nofile,1,2", Rlimit("RLIMIT_NOFILE", 1, 2, "nofile,1,2")),
    (text.rlimit, "RLIMIT_CORE, 0 , Unlimited",
     Rlimit("RLIMIT_CORE", 0, UNLIMITED, "RLIMIT_CORE, 0 , Unlimited")),
    (text.rlimit, f"as,{UNLIMITED},unlimited",
     Rlimit("RLIMIT_AS", UNLIMITED, UNLIMITED, f"as,{UNLIMITED},unlimited")),
    (text.mode, "0644", Mode(0o644, "0644")),
    (text.mode, "644", Mode(0o644, "644")),
    (text.mode, "7777", Mode(0o7777, "7777")),
    (text.mode, "0", Mode(0, "0")),
    (text.capability, "CAP_CHOWN", "CAP_CHOWN"),
    (text.capability, "ALL", "ALL"),
    (text.capability, "none", "none"),
    (text.name, "dhcpcd1", "dhcpcd1"),
    (text.name, "a-b_c.d+e", "a-b_c.d+e"),
    (text.volume, "a-b_1", "a-b_1"),
    (text.platform, "linux/arm64/v8", "linux/arm64/v8"),
    (text.page_size, "2MB", "2MB"),
    (text.namespace, "host", "host"),
    (text.namespace, "/run/netns/x", "/run/netns/x"),
    (text.namespace, "", ""),
    (text.net_namespace, "none", "none"),
    (text.hostname, "a.b-c", "a.b-c"),
    (text.file_path, "/etc/x", "/etc/x"),
    (text.file_path, "etc/./x..y/", "etc/./x..y/"),
]  # fmt: skip

BAD = [
    (text.bind, "/a", '"/a" is not a bind'),
    (text.bind, "/a:/b:ro:z", '"/a:/b:ro:z" is not a bind'),
    (text.bind, ":/b", '":/b" is not a bind'),
    (text.bind, "/a:", '"/a:" is not a bind'),
    (text.bind, "/a:/b:", '"/a:/b:" has an empty option'),
    (text.bind, "/a:/b:ro,,x", '"/a:/b:ro,,x" has an empty option'),
    (text.tmpfs, "/x:a:b", '"/x:a:b" is not a tmpfs'),
    (text.tmpfs, ":a", '":a" is not a tmpfs'),
    (text.rlimit, "nofile,1", '"nofile,1" is not a limit'),
    (text.rlimit, "nofile,1,2,3", '"nofile,1,2,3" is not a limit'),
    (text.rlimit, "nofil,1,2", 'unknown limit "nofil"'),
    (text.rlimit, "nofile,a,2", '"a" in the limit "nofile,a,2" is not a number'),
    (text.rlimit, "nofile,-1,2", '"-1" in the limit "nofile,-1,2" is not a number'),
    (text.rlimit, f"as,1,{UNLIMITED + 1}", "is not a number"),
    (text.rlimit, "nofile,٣,2", "is not a number"),
    (text.mode, "rwx", '"rwx" is not a mode'),
    (text.mode, "0o644", '"0o644" is not a mode'),
    (text.mode, "0888", '"0888" is not a mode'),
    (text.mode, "10000", '"10000" is not a mode'),
    (text.mode, "", '"" is not a mode'),
    (text.capability, "cap_chown", 'unknown capability "cap_chown"'),
    (text.capability, "CHOWN", 'unknown capability "CHOWN"'),
    (text.name, "a/b", '"a/b" is not a name for a container'),
    (text.name, "..", '".." is not a name'),
    (text.name, "", '"" is not a name'),
    (text.name, "a b", '"a b" is not a name'),
    (text.name, "-a", '"-a" is not a name'),
    (text.name, "a\n", '"a\\n" is not a name'),
    (text.name, "x" * 129, "is not a name"),
    (text.volume, "V.1", '"V.1" is not a name for a volume'),
    (text.volume, "", '"" is not a name for a volume'),
    (text.platform, "amd64", '"amd64" is not a platform'),
    (text.platform, "windows/amd64", '"windows/amd64" is not a platform'),
    (text.page_size, "2", '"2" is not a page size'),
    (text.page_size, "2TB", '"2TB" is not a page size'),
    (text.namespace, "hots", 'unknown namespace "hots"'),
    (text.namespace, "none", 'unknown namespace "none"'),
    (text.net_namespace, "run/netns", 'unknown namespace "run/netns"'),
    (text.hostname, "a b", '"a b" is not a host name'),
    (text.hostname, "x" * 65, "is not a host name"),
    (text.file_path, "a/../b", 'the path "a/../b" has a ".." in it'),
    (text.file_path, "..", 'the path ".." has a ".." in it'),
    (text.file_path, "/", '"/" is not a path of a file'),
    (text.file_path, "", '"" is not a path of a file'),
    (text.file_path, "./", '"./" is not a path of a file'),
]


@pytest.mark.parametrize(("read", "written", "value"), GOOD)
def test_read(read, written, value):
    assert read(written) == value
    assert str(value) == written


@pytest.mark.parametrize(("read", "written", "message"), BAD)
def test_refused(read, written, message):
    with pytest.raises(Error) as caught:
        read(written)
    assert caught.value.code == "LK0208"
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("read", "written", "hint"),
    [
        (text.capability, "NET_ADMIN", 'did you mean "CAP_NET_ADMIN"?'),
        (text.capability, "cap_chown", 'did you mean "CAP_CHOWN"?'),
        (text.rlimit, "nofiles,1,2", 'did you mean "nofile"?'),
        (text.rlimit, "RLIMIT_NOFILES,1,2", 'did you mean "nofile"?'),
    ],
)
def test_hints(read, written, hint):
    with pytest.raises(Error) as caught:
        read(written)
    assert caught.value.hint == hint


def test_all_capabilities_of_the_kernel():
    assert len(text.CAPABILITIES) == len(set(text.CAPABILITIES)) == 41
    assert text.CAPABILITIES[0] == "CAP_CHOWN"
    assert text.CAPABILITIES[21] == "CAP_SYS_ADMIN"
    assert text.CAPABILITIES[40] == "CAP_CHECKPOINT_RESTORE"
    assert len(text.RLIMITS) == 16
