"""The program that asks clouds: each provider's documented answers, and answers that mean harm."""

from __future__ import annotations

import base64
import gzip
import json
import random
import subprocess

import pytest

from support import cloud
from support.guest_world import GUEST
from support.tools import need

METADATA = GUEST / "metadata"
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
STRICT = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@example"
DATA = '{"app": {"entries": {"file": {"content": "one\\n", "perm": "0600"}, "in": {"entries": {"er": {"content": ""}}}}}}'


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The program, on a VMware of ours where the environment says so."""
    need("unshare")
    made = tmp_path_factory.mktemp("metadata") / "metadata"
    sources = [*sorted(METADATA.glob("*.c")), GUEST / "tests" / "fake_backdoor.c"]
    sources.remove(METADATA / "backdoor.c")
    flags = [*STRICT, *SANITIZE, f"-I{METADATA}"]
    done = subprocess.run([need("gcc"), *flags, *sources, "-o", made], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def ask(program, tmp_path):
    """Ask a cloud that answers what the table says; returns what happened, and the files by path."""

    def start(routes, *words, **options):
        folder = tmp_path / "config"
        done = cloud.ask(program, folder, routes, *words, **options)
        assert done["status"] == 0, done
        assert "Sanitizer" not in done["err"], done["err"]
        found = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
        assert not [p for p in tmp_path.rglob("*") if p.is_symlink()]
        assert {p.name for p in tmp_path.iterdir()} <= {"config", "user-data"}
        return done, found

    return start


GIVEN = "X-aws-ec2-metadata-token: t0ken=="
AWS = {
    "PUT /latest/api/token": {"body": "t0ken==", "need": "X-aws-ec2-metadata-token-ttl-seconds: 300"},
    "GET /latest/meta-data/instance-id": {"body": "i-1", "need": GIVEN},
    "GET /latest/meta-data/local-hostname": {"body": "ip-10-0-0-1.internal", "need": GIVEN},
    "GET /latest/meta-data/public-ipv4": {"body": "203.0.113.1", "need": GIVEN},
    "GET /latest/meta-data/public-keys/": {"body": "0=mine\n1=other\n../x\n", "need": GIVEN},
    "GET /latest/meta-data/public-keys/0/openssh-key": {"body": KEY, "need": GIVEN},
    "GET /latest/meta-data/public-keys/1/openssh-key": {"body": KEY + "2\n", "need": GIVEN},
    "GET /latest/user-data": {"body": DATA, "need": GIVEN},
}
FLAVOUR = "Metadata-Flavor: Google"
GCP = {
    "GET /computeMetadata/v1/instance/hostname": {"body": "vm.c.project.internal", "head": [FLAVOUR], "need": FLAVOUR},
    "GET /computeMetadata/v1/instance/id": {"body": "i-1", "need": FLAVOUR},
    "GET /computeMetadata/v1/instance/attributes/userdata": {"body": DATA, "need": FLAVOUR},
    "GET /computeMetadata/v1/project/attributes/ssh-keys": {"body": f"me:{KEY}", "need": FLAVOUR},
    "GET /computeMetadata/v1/instance/attributes/ssh-keys": {"body": f"\nbob:{KEY}2\n", "need": FLAVOUR},
}
COMPUTE = {"name": "vm", "vmId": "i-1", "location": "west", "publicKeys": [{"keyData": KEY, "path": "x"}, {"keyData": KEY + "2"}]}
AZURE = {
    "GET /metadata/instance?api-version=2021-02-01": {"body": json.dumps({"compute": COMPUTE}), "need": "Metadata: true"},
    "GET /metadata/instance/compute/userData?api-version=2021-01-01&format=text": {
        "body": base64.b64encode(DATA.encode()).decode(), "need": "Metadata: true",
    },
}  # fmt: skip
OPENSTACK = {
    "GET /openstack/latest/meta_data.json": json.dumps(
        {"uuid": "i-1", "hostname": "vm.novalocal", "public_keys": {"mine": KEY, "other": KEY + "2"}}
    ),
    "GET /openstack/latest/user_data": DATA,
}
HETZNER = {
    "GET /hetzner/v1/metadata/instance-id": "i-1",
    "GET /hetzner/v1/metadata/hostname": "vm",
    "GET /hetzner/v1/metadata/public-ipv4": "203.0.113.1",
    "GET /hetzner/v1/metadata/public-keys": json.dumps([KEY, KEY + "2"]),
    "GET /hetzner/v1/userdata": DATA,
}
DIGITALOCEAN = {
    "GET /metadata/v1/id": "i-1",
    "GET /metadata/v1/hostname": "vm",
    "GET /metadata/v1/public-keys": f"{KEY}\n{KEY}2",
    "GET /metadata/v1/interfaces/public/0/ipv4/address": "203.0.113.1",
    "GET /metadata/v1/user-data": DATA,
}
VULTR = {
    "GET /v1.json": json.dumps({"instanceid": "i-1", "hostname": "vm", "public-keys": f"{KEY}\n{KEY}2\n"}),
    "GET /user-data/user-data": DATA,
}
SCALEWAY = {
    "GET /conf?format=json": json.dumps(
        {"id": "i-1", "hostname": "vm", "public_ip": {"address": "203.0.113.1"},
         "ssh_public_keys": [{"key": KEY}, {"key": KEY + "2"}]}
    ),
    "GET /user_data/cloud-init": {"body": DATA, "low": True},
}  # fmt: skip
EQUINIX = {
    "GET /metadata": {"body": json.dumps(
        {"id": "i-1", "hostname": "vm", "iqn": "iqn.2026-01.net.packet:device.1", "metro": "am", "ssh_keys": [KEY, KEY + "2"]}
    ), "need": f"Host: {cloud.NAME}"},
    "GET /2009-04-04/meta-data/public-ipv4": "203.0.113.1",
    "GET /userdata": DATA,
}  # fmt: skip
CLOUDS = {
    "aws": AWS, "gcp": GCP, "azure": AZURE, "openstack": OPENSTACK, "hetzner": HETZNER,
    "digitalocean": DIGITALOCEAN, "vultr": VULTR, "scaleway": SCALEWAY, "equinixmetal": EQUINIX,
}  # fmt: skip


@pytest.mark.parametrize("name", CLOUDS)
def test_each_cloud_is_known_and_read(ask, name):
    address = cloud.ADDRESSES[name == "scaleway"]
    words = [name] if name == "equinixmetal" else []
    done, found = ask(CLOUDS[name], *words, address=address)
    assert done["out"] == f"metadata: found by {name}\n"
    assert done["err"] == ""
    assert (found["provider"], found["instance_id"]) == (name, "i-1")
    assert found["ssh/authorized_keys"] == f"{KEY}\n{KEY}2\n"
    assert found["userdata"] == DATA
    assert (found["app/file"], found["app/in/er"]) == ("one\n", "")
    assert found["hostname"] == done["hostname"]
    assert done["hostname"].split(".")[0] in {"vm", "ip-10-0-0-1"}
    if name in {"aws", "hetzner", "digitalocean", "scaleway", "equinixmetal"}:
        assert found["public_ipv4"] == "203.0.113.1"


def test_a_server_with_a_name_is_asked_only_when_it_is_named(ask):
    done, found = ask(EQUINIX)
    assert found == {}
    assert not [what for what in done["asked"] if what in EQUINIX]
    _, found = ask({**EQUINIX, "GET /userdata": "#!ipxe\nboot"}, "equinixmetal")
    assert (found["location"], "userdata" in found) == ("am", False)
    other = json.dumps({"id": "i-1", "hostname": "vm"})
    assert ask({"GET /metadata": other, "GET /userdata": DATA}, "equinixmetal")[1].keys() == found.keys()


def zipped(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()  # names of tests have it


VMWARE = {"VMWARE": "yes", "GUESTINFO_userdata": DATA}


@pytest.mark.parametrize(
    "env",
    [
        {"GUESTINFO_metadata": "instance-id: 'i-1' # ours\nlocal-hostname: vm\n"},
        {"GUESTINFO_metadata": json.dumps({"instance-id": "i-1", "local-hostname": "vm"})},
        {"GUESTINFO_metadata": base64.b64encode(b"instance-id: i-1\nlocal-hostname: vm\n").decode(),
         "GUESTINFO_metadata_encoding": "base64", "GUESTINFO_userdata_encoding": "b64",
         "GUESTINFO_userdata": base64.encodebytes(DATA.encode()).decode()},
        {"GUESTINFO_metadata": zipped("instance-id: i-1\nlocal-hostname: vm\n"), "GUESTINFO_metadata_encoding": "gzip+base64",
         "GUESTINFO_userdata": zipped(DATA), "GUESTINFO_userdata_encoding": "gz+b64"},
    ],
    ids=["yaml", "json", "base64", "gzip"],
)  # fmt: skip
def test_vmware(ask, env):
    done, found = ask({}, address=cloud.ADDRESSES[1], **{**VMWARE, **env})
    assert (done["out"], done["err"]) == ("metadata: found by vmware\n", "")
    assert (found["provider"], found["instance_id"], found["hostname"]) == ("vmware", "i-1", "vm")
    assert (found["userdata"], found["app/file"], done["hostname"]) == (DATA, "one\n", "vm")


@pytest.mark.parametrize(
    "env",
    [
        {"GUESTINFO_userdata_encoding": "gzip+base64"},  # and it is none
        {"GUESTINFO_userdata_encoding": "base64"},
        {"GUESTINFO_userdata_encoding": "gz+b64", "GUESTINFO_userdata": base64.b64encode(DATA.encode()).decode()},
        {"GUESTINFO_userdata_encoding": "gz+b64", "GUESTINFO_userdata": zipped(b"x" * (1 << 20) + b"x")},
        {"GUESTINFO_userdata_encoding": "rot13"},
        {"GUESTINFO_userdata": "---"},
        {"GUESTINFO_userdata": " "},
        {"GUESTINFO_userdata": ""},
        {"HUGE": "yes"},
        *({"FAULT": str(step)} for step in range(6)),
    ],
    ids=str,
)
def test_vmware_that_says_nothing_of_use(ask, env):
    done, found = ask({}, "vmware", **{**VMWARE, **env})
    assert found == {}
    assert done["out"] == "metadata: nobody has told this machine anything\n"
    assert ("is left out: not base64 or gzip+base64, or too large" in done["err"]) == ("encoding" in str(env))


def test_nobody_is_there(ask):
    done, found = ask({}, "aws", "gcp", address=cloud.ADDRESSES[1])
    assert done["out"] == "metadata: nobody has told this machine anything\n"
    assert (done["asked"], found) == ([], {})


def test_only_who_is_named_is_asked(ask):
    done, found = ask({**AWS, **HETZNER}, "hetzner")
    assert found["provider"] == "hetzner"
    assert all("/hetzner/" in what for what in done["asked"])


def test_an_unknown_provider(program, tmp_path):
    done = cloud.ask(program, tmp_path / "config", {}, "moon")
    assert (done["status"], done["err"]) == (2, 'metadata: no provider is called "moon"\n')


def test_aws_without_tokens_is_not_asked_for_more(ask):
    done, found = ask({k: v for k, v in AWS.items() if "token" not in k}, "aws")
    assert (done["asked"], found) == (["PUT /latest/api/token"], {})


def test_chunks(ask):
    body = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ni-12\r\n2;x=y\r\n34\r\n0\r\n\r\n"
    _, found = ask({**HETZNER, "GET /hetzner/v1/metadata/instance-id": {"raw": body}}, "hetzner")
    assert found["instance_id"] == "i-1234"


HEAD = "HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "bad",
    [
        {"status": 302, "head": ["Location: http://169.254.42.42/"], "body": "x"},
        {"status": 500, "body": "x"},
        {"raw": ""},
        {"raw": "nonsense"},
        {"raw": "HTTP/1.1 200"},
        {"raw": "HTTP/2 200 OK\r\n\r\nx"},
        {"raw": HEAD + "Content-Length: 5\r\n\r\nx"},
        {"raw": HEAD + "Content-Length: 5\r\n\r\nlonger than five"},
        {"raw": HEAD + "A: " + "b" * 20000 + "\r\n\r\nx"},
        {"raw": HEAD + "A: \0\r\n\r\nx"},
        {"raw": HEAD + "Transfer-Encoding: gzip\r\n\r\nx"},
        {"raw": HEAD + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"},
        {"raw": HEAD + "Transfer-Encoding: chunked\r\n\r\n-1\r\nx"},
        {"raw": HEAD + "Transfer-Encoding: chunked\r\n\r\n5\r\nab"},
        {"raw": HEAD + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"},
        {"raw": HEAD + "\r\n", "endless": True},
        {"raw": HEAD + "Transfer-Encoding: chunked\r\n\r\n", "endless": True},
        {"raw": HEAD + "Content-Length: 5\r\n\r\n", "hold": True},
    ],
    ids=str,
)
def test_answers_that_are_none(ask, bad):
    done, found = ask({**HETZNER, "GET /hetzner/v1/userdata": bad}, "hetzner")
    assert found["provider"] == "hetzner"
    assert "userdata" not in found
    assert done["out"] == "metadata: found by hetzner\n"


def test_user_data_cannot_leave_its_folder(ask, tmp_path):
    names = ["..", ".", "", "../up", "/abs", "a/b", "line\nfeed", "x" * 256, "\x7f"]
    bad = {name: {"content": "evil"} for name in names} | {
        "typed": {"content": 5}, "both": {"content": "", "entries": {}}, "none": {}, "flat": "text", "list": [],
        "set-uid": {"content": "x", "perm": "4755"}, "mode": {"content": "x", "perm": "rw"}, "mode2": {"content": "x", "perm": 420},
        "good": {"entries": {"../../up": {"content": "evil"}, "file": {"content": "x", "perm": "0640"}}},
        "provider": {"entries": {"x": {"content": "not over a file"}}},
    }  # fmt: skip
    done, found = ask({**HETZNER, "GET /hetzner/v1/userdata": json.dumps(bad)}, "hetzner")
    assert sorted(set(found) - {"userdata"}) == [
        "good/file", "hostname", "instance_id", "provider", "public_ipv4", "ssh/authorized_keys",
    ]  # fmt: skip
    assert (tmp_path / "config/good/file").stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "config/userdata").stat().st_mode & 0o7777 == 0o600
    assert len(done["err"].splitlines()) == len(bad)


@pytest.mark.parametrize(
    "text",
    ["not json", "{", "[" * 100_000, '{"a":' * 40 + "1" + "}" * 40, '{"a": "\\ud800"}', '{"a\\u0000b": {"content": "x"}}', "[1,2]", "5",
     '{"a": {"content": "x"}} more', "{" + ",".join(f'"{n}": 1' for n in range(9000)) + "}", '"\\'],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_other_user_data_stays_as_it_is(ask, text):
    _, found = ask({**HETZNER, "GET /hetzner/v1/userdata": text}, "hetzner")
    assert found["userdata"] == text
    assert set(found) == {"hostname", "instance_id", "provider", "public_ipv4", "ssh/authorized_keys", "userdata"}


@pytest.mark.parametrize("name", ["a b;reboot", "ä", "x" * 65, "../a", "\0"])
def test_names_that_are_none(ask, name):
    done, found = ask({**HETZNER, "GET /hetzner/v1/metadata/hostname": name + "!"}, "hetzner")
    assert ("hostname" in found) == (name == "a b;reboot")
    assert done["hostname"] != name


def test_keys_with_control_characters_are_left_out(ask):
    said = f"{KEY}\r\n\x1b[2Jevil\n\n   \n{KEY}2"
    _, found = ask({**DIGITALOCEAN, "GET /metadata/v1/public-keys": said}, "digitalocean")
    assert found["ssh/authorized_keys"] == f"{KEY}\n{KEY}2\n"


def test_a_file(ask, tmp_path):
    (tmp_path / "user-data").write_text('{"a": {"content": "\\u00e9\\ud83d\\ude00\\n"}}')
    _, found = ask({}, f"file={tmp_path}/user-data", address=cloud.ADDRESSES[1])
    assert (found["provider"], found["a"]) == ("file", "é😀\n")


def test_damaged_user_data(program, tmp_path):
    """Sixty broken texts, read by the program under the sanitizers."""
    chance = random.Random(7)
    path = tmp_path / "user-data"
    for _ in range(60):
        text = bytearray(DATA.encode() * 3)
        for _ in range(chance.randrange(1, 12)):
            text[chance.randrange(len(text))] = chance.choice(b'{}[]":,\\u0\0\n\xff')
        path.write_bytes(text)
        done = subprocess.run([program, "-o", tmp_path / "config", f"file={path}"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "config/userdata").read_bytes() == bytes(text)
    assert {p.name for p in tmp_path.iterdir()} == {"config", "user-data"}
