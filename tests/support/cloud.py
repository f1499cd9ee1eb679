"""A cloud's metadata server in a network namespace of its own, and a program that asks it.

Run as a program inside the namespace: reads a JSON request from standard input, writes what the program
did to standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ADDRESSES = ("169.254.169.254", "169.254.42.42")
NAME = "metadata.platformequinix.com"


def ask(program: Path, folder: Path, routes: dict[str, object], *words: str, address: str = ADDRESSES[0], **env: str):
    """Run the program against ``routes``: "METHOD PATH" → body, or {status, head, body, need, low, raw}.

    ``NAME`` is the name of the first address there, and nobody else has one.
    Returns its status, its output, the requests that came, and the host's name afterwards.
    """
    request = {"argv": [str(program), "-o", str(folder), *words], "routes": routes, "address": address, "env": env}
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "--net", "--uts", sys.executable, __file__],
        input=json.dumps(request), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


class Server:
    """Answers what the table says, byte by byte, right or wrong."""

    def __init__(self, routes: dict[str, object], address: str) -> None:
        self.routes = routes
        self.asked: list[str] = []
        self.socket = socket.create_server((address, 80), backlog=64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            link, peer = self.socket.accept()
            threading.Thread(target=self.answer, args=(link, peer[1]), daemon=True).start()

    def answer(self, link: socket.socket, port: int) -> None:
        with link, contextlib.suppress(OSError):
            link.settimeout(20)
            request = b""
            while b"\r\n\r\n" not in request:
                more = link.recv(4096)
                if not more:
                    return
                request += more
            head = request.decode().split("\r\n")
            what = head[0].removesuffix(" HTTP/1.1")
            self.asked.append(what)
            said = self.routes.get(what, {"status": 404})
            if isinstance(said, str):
                said = {"body": said}
            if said.get("need") and said["need"] not in head:
                said = {"status": 401}
            if said.get("low") and port >= 1024:
                said = {"status": 403}
            self.send(link, said)

    @staticmethod
    def send(link: socket.socket, said: dict[str, object]) -> None:
        if "raw" in said:
            link.sendall(str(said["raw"]).encode("latin-1"))
            while said.get("endless"):
                link.sendall(b"x" * 65536)
            if said.get("hold"):
                threading.Event().wait(20)
            return
        body = str(said.get("body", "")).encode()
        lines = [f"HTTP/1.1 {said.get('status', 200)} Words", f"Content-Length: {len(body)}", *said.get("head", [])]
        link.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def main() -> None:
    request = json.load(sys.stdin)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        for path, text in (("hosts", f"{ADDRESSES[0]} {NAME}\n"), ("resolv.conf", "nameserver 127.0.0.1\n")):
            (Path(folder) / path).write_text(text)
            subprocess.run(["mount", "--bind", f"{folder}/{path}", f"/etc/{path}"], check=True)
        act(request)


def act(request: dict[str, Any]) -> None:
    server = Server(request["routes"], request["address"])
    done = subprocess.run(request["argv"], capture_output=True, text=True, check=False, timeout=50, env={**os.environ, **request["env"]})
    name = Path("/proc/sys/kernel/hostname").read_text().strip()
    result = {"status": done.returncode, "out": done.stdout, "err": done.stderr, "asked": server.asked, "hostname": name}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
