"""Debian's docker-registry on the loopback interface, with TLS and logins when wished."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import json
import os
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from support.machines import free_port
from support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linuxkit.oci.store import Store

NAME = "registry.invalid"  # a name that nobody resolves
USER, SECRET = "anna", "s3cret-word"
# bcrypt of SECRET, the only kind of hash that the registry takes.
_HASH = "$2b$05$abcdefghijklmnopqrstuuEpHRRKIlpAGo.iP7Bpa.htQEJMAAnRe"


def leave_out_the_user(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No login, mirror or proxy of whoever runs the tests; ``folder`` is to have their home."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("LINUXKIT_MIRROR", "REGISTRY_AUTH_FILE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder / "docker"))


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


class TokenServer:
    """Sells what the registry takes: tokens signed for the scopes asked for, to USER alone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority(folder, rsa=True)
        self.bundle = folder / "ca" / "ca.crt"
        self._key = (folder / "ca.key").read_bytes()
        self.asked: list[str] = []
        server = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                good = base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
                fits = self.headers.get("Authorization") == f"Basic {good}"
                self.send_response(200 if fits else 401)
                self.end_headers()
                self.wfile.write(server.token(self.path) if fits else b"{}")

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/token"

    def token(self, path: str) -> bytes:
        """A JSON Web Token (RFC 7519) with the access that the query asks for."""
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding

        query = parse_qs(urlsplit(path).query)
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        body = {"iss": "tests", "sub": USER, "aud": "here", "exp": now + 300, "nbf": now - 60,
                "iat": now, "jti": "1", "access": access}  # fmt: skip
        der = "".join(self.bundle.read_text().splitlines()[1:-1])
        text = ".".join(map(_url64, ({"typ": "JWT", "alg": "RS256", "x5c": [der]}, body)))
        key = serialization.load_pem_private_key(self._key, None)
        signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return json.dumps({"token": f"{text}.{_url64(signature)}"}).encode()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def _url64(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextlib.contextmanager
def running(
    folder: Path, *, tls: bool = False, login: bool = False, tokens: TokenServer | None = None
) -> Iterator[Running]:
    """A registry that keeps its blobs in ``folder`` and ends with the block."""
    program = need("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}", "secret": "x"}
    config = _config(folder, http)
    if tls:
        authority(folder)
        http["tls"] = {"certificate": str(folder / "server.pem"), "key": str(folder / "server.key")}
    if login:
        (folder / "htpasswd").write_text(f"{USER}:{_HASH}\n")
        config["auth"] = {"htpasswd": {"realm": "here", "path": str(folder / "htpasswd")}}
    if tokens:
        config["auth"] = {"token": {"realm": tokens.url, "service": "here", "issuer": "tests",
                                    "rootcertbundle": str(tokens.bundle)}}  # fmt: skip
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


def _config(folder: Path, http: dict[str, object]) -> dict[str, object]:
    return {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": http,
    }


def command(folder: Path, address: str) -> list[str]:
    """The words that start a registry at ``address`` (HOST:PORT), for who runs it elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(folder, {"addr": address, "secret": "x"})
    (folder / "config.yml").write_text(json.dumps(config))
    return [need("docker-registry"), "serve", str(folder / "config.yml")]


def docker_config(folder: Path, host: str, secret: str = SECRET) -> Path:
    """A config.json with the login for ``host``; its folder is what DOCKER_CONFIG names."""
    folder.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(f"{USER}:{secret}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return folder


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    pytest.fail("the registry did not come up: " + log.read_text())


def authority(folder: Path, *, rsa: bool = False) -> None:
    """An authority (ca/ca.crt) and a server's certificate for 127.0.0.1 and NAME (server.pem, .key)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric import rsa as rsas
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

    key = ec.generate_private_key(ec.SECP256R1())
    root_key = (
        rsas.generate_private_key(65537, 2048) if rsa else ec.generate_private_key(ec.SECP256R1())
    )
    root = certificate(
        "test authority", root_key, None, root_key, x509.BasicConstraints(ca=True, path_length=None)
    )
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(NAME)]
    )
    leaf = certificate("registry", key, root.subject, root_key, names)
    pem = serialization.Encoding.PEM
    (folder / "ca").mkdir(exist_ok=True)
    (folder / "ca" / "ca.crt").write_bytes(root.public_bytes(pem))
    (folder / "server.pem").write_bytes(leaf.public_bytes(pem))
    for path, each in (("server.key", key), ("ca.key", root_key)):
        (folder / path).write_bytes(
            each.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
