"""`logs:`: what it becomes, and what is refused with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linuxkit.base.errors import Error
from linuxkit.spec.load import parse

REST = """
onboot: [{name: first, image: a/b}, {name: net, image: a/b}]
services: [{name: web, image: a/b}]
"""


class Packages:
    def reference(self, text, *, base, where):
        return f"linuxkit.stock/{text}:0123456789abcdef"


def spec(logs: str, rest: str = REST):
    return parse(f"logs: {logs}{rest}", "my.yml", packages=Packages())


def compiled(logs: str) -> list[str]:
    (file,) = [f for f in spec(logs).files if f.path == "etc/linuxkit/logs/receivers"]
    return file.contents.splitlines()


@pytest.mark.parametrize(
    ("logs", "lines"),
    [
        ("{syslog: [{to: 'udp://192.0.2.1'}]}", ["udp 192.0.2.1 514 3 1000"]),
        ("{syslog: [{to: 'tcp://logs.example.com:601', facility: local7, rate: 5}]}", ["tcp logs.example.com 601 23 5"]),
        ("{syslog: [{to: 'udp://[2001:db8::1]:5514'}]}", ["udp 2001:db8::1 5514 3 1000"]),
        ("{syslog: [{to: 'udp://[2001:db8::1]'}]}", ["udp 2001:db8::1 514 3 1000"]),
        ("{syslog: [{to: 'unix:///run/log-in/s', units: [web, net]}]}", ["unix /run/log-in/s - 3 1000 web 001-net"]),
        ("{files: [{path: /var/lib/d/all}, {path: /v/x, size: 4096, files: 2, rate: 7}]}",
         ["file /var/lib/d/all 10485760 5 1000", "file /v/x 4096 2 7"]),
    ],
)  # fmt: skip
def test_receivers(logs, lines):
    assert compiled(logs) == lines


@pytest.mark.parametrize(("count", "fits"), [(64, True), (65, False)])
def test_units_that_fit_a_receiver(count, fits):
    names = [f"{n:0128d}" for n in range(count)]  # as long as names may be
    steps = "".join(f"- {{name: '{name}', image: a/b}}\n" for name in names)
    logs = f"{{syslog: [{{to: 'udp://x', units: {names}}}]}}"
    if fits:
        (file,) = [f for f in spec(logs, f"\nonboot:\n{steps}").files if f.path.endswith("/receivers")]
        assert len(file.contents) < _limit("MAX_CONFIG_LINE")
        assert len(file.contents.split()) <= _limit("MAX_WORDS")
        return
    with pytest.raises(Error) as caught:
        spec(logs, f"\nonboot:\n{steps}")
    assert [(e.code, e.where.line) for e in caught.value.all()] == [("LK0208", 1)]
    assert "logs.syslog[0].units names 65 containers" in caught.value.all()[0].message


def _limit(name: str) -> int:
    """What the reader of these lines has room for."""
    source = Path(__file__).parents[3] / "guest" / "logs" / "forward.c"
    return int(re.search(rf"#define {name} (\d+)", source.read_text())[1])


def test_the_service_has_little():
    made = spec("{syslog: [{to: 'tcp://h:601'}], files: [{path: /var/lib/d/all}]}", f"{REST}profile: strict\n")
    service = made.services[-1]
    assert (service.name, service.net, service.readonly, service.capabilities) == ("log-forward", "host", True, None)
    assert service.ports.connect == (601,)
    assert "/var/lib/d" in [bind.source for bind in service.binds]
    assert (service.command[-1], service.runtime.mkdir[1]) == ("/run/log-forward", "/run/log-forward")
    assert made.logs is None
    assert made.where(("services", 1)).line == 1
    assert spec("{files: [{path: /var/lib/d/all}]}").services[-1].net == "new"


@pytest.mark.parametrize(
    ("logs", "code", "message"),
    [
        ("{}", "LK0205", 'neither "syslog" nor "files"'),
        ("{syslog: [{to: 'http://x'}]}", "LK0208", "is no syslog server"),
        ("{syslog: [{to: 'udp://a b'}]}", "LK0208", "is no syslog server"),
        ("{syslog: [{to: 'udp://x:99999'}]}", "LK0208", "is no syslog server"),
        ("{syslog: [{to: 'unix:///socket'}]}", "LK0208", "is no syslog server"),
        ("{syslog: [{to: 'udp://x', facility: loud}]}", "LK0208", "facility"),
        ("{syslog: [{to: 'udp://x', units: [wbe]}]}", "LK0211", 'no container is called "wbe"'),
        ("{files: [{path: /var/log/all.log}]}", "LK0208", "among the logs that are forwarded"),
        ("{files: [{path: /run/log/onboot/x}]}", "LK0208", "among the logs that are forwarded"),
        ("{files: [{path: /all}]}", "LK0208", "is no place for a log"),
        ("{files: [{path: /a/../b/c}]}", "LK0208", "is no place for a log"),
        ("{files: [{path: /a/b, size: 1}]}", "LK0208", "size"),
    ],
)
def test_nonsense_is_refused(logs, code, message):
    with pytest.raises(Error) as caught:
        spec(logs)
    assert any(e.code == code and message in e.message and e.where.line == 1 for e in caught.value.all())
