"""Debian's docker-registry on the loopback interface, with TLS and logins when wished."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.oci.store import Store

USER, SECRET = "anna", "s3cret-word"
# bcrypt of SECRET, the only kind of hash that the registry takes.
_HASH = "$2b$05$abcdefghijklmnopqrstuuEpHRRKIlpAGo.iP7Bpa.htQEJMAAnRe"


def need(program: str) -> str:
    """The program's path; a test that lacks it is skipped, or fails where CI promises it."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return path


class Running(NamedTuple):
    """A registry under way."""

    host: str  # 127.0.0.1:PORT
    folder: Path
    cert: str = ""  # its authority's certificate, if it speaks TLS

    def push(self, store: Store, name: str, target: str, *extra: str) -> None:
        """Copy an image of the store, all its platforms, with somebody else's tool."""
        words = [need("skopeo"), "copy", "--all", "--quiet", *extra]
        if "--format" not in extra:
            words.append("--preserve-digests")
        if self.cert:
            words += ["--dest-cert-dir", str(Path(self.cert).parent)]
        else:
            words += ["--dest-tls-verify=false"]
        words += [f"oci:{store.root}:{name}", f"docker://{self.host}/{target}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def running(folder: Path, *, tls: bool = False, login: bool = False) -> Iterator[Running]:
    """A registry that keeps its blobs in ``folder`` and ends with the block."""
    program = need("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}", "secret": "x"}
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": http,
    }
    if tls:
        authority(folder)
        http["tls"] = {"certificate": str(folder / "server.pem"), "key": str(folder / "server.key")}
    if login:
        (folder / "htpasswd").write_text(f"{USER}:{_HASH}\n")
        config["auth"] = {"htpasswd": {"realm": "here", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
        try:
            _await(process, port, folder / "log")
            yield Running(
                f"127.0.0.1:{port}", folder, str(folder / "ca" / "ca.crt") if tls else ""
            )
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def docker_config(folder: Path, host: str, secret: str = SECRET) -> Path:
    """A config.json with the login for ``host``; its folder is what DOCKER_CONFIG names."""
    folder.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(f"{USER}:{secret}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return folder


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    pytest.fail("the registry did not come up: " + log.read_text())


def authority(folder: Path) -> None:
    """An authority (ca/ca.crt) and a server's certificate for 127.0.0.1 (server.pem, server.key)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = dt.datetime.now(dt.UTC)

    def certificate(name, key, issuer, signer, *extensions):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )
        for extension in extensions:
            made = made.add_extension(extension, critical=False)
        return made.sign(signer, hashes.SHA256())

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = certificate(
        "test authority", root_key, None, root_key, x509.BasicConstraints(ca=True, path_length=None)
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = certificate("registry", key, root.subject, root_key, names)
    pem = serialization.Encoding.PEM
    (folder / "ca").mkdir(exist_ok=True)
    (folder / "ca" / "ca.crt").write_bytes(root.public_bytes(pem))
    (folder / "server.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "server.key").write_bytes(
        key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
