"""Records which system calls the stock services make: writes packages/learned/NAME.seccomp.json.

``python scripts/learning/record.py`` builds services.yml with ``--learn``, boots it, gives each
service its work, and keeps what the machine counted.  To be run again when a package or its work
changes; what has been recorded before is replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
LISTS = ROOT / "packages" / "learned"
LINUXKIT = [sys.executable, "-c", "from linuxkit.cli.main import entry; entry()"]
NAME = "learning"
BOOT_S = 300
UNITS = ("nginx", "redis", "rngd", "sysctl")

PAGES = (
    "GET / HTTP/1.1", "HEAD / HTTP/1.1", "GET /large HTTP/1.1", "GET /missing HTTP/1.1",
    "GET / HTTP/1.0", "GET /.. HTTP/1.1", "POST / HTTP/1.1\r\nContent-Length: 200000",
    "GET / HTTP/1.1\r\nAccept-Encoding: gzip", "GET /large HTTP/1.1\r\nRange: bytes=5-900000",
    "GET / HTTP/1.1\r\nRange: bytes=0-1,4-5",
    "GET / HTTP/1.1\r\nIf-Modified-Since: Tue, 18 Apr 2017 16:30:00 GMT",
    "nonsense", "GET / HTTP/1.1\r\nX-Long: " + "x" * 9000,
)  # fmt: skip

ORDERS = (
    "PING", "SET key value", "GET key", "INCR number", "LPUSH list a b c", "LRANGE list 0 -1",
    "SADD set a b", "ZADD zset 1 a 2 b", "HSET hash field value", "EXPIRE key 1", "PFADD log a",
    "XADD stream * a b", "SETRANGE large 300000 x", "GET large", "MULTI", "INCR number", "EXEC",
    "INFO everything", "CLIENT LIST", "CONFIG GET *", "MEMORY STATS", "MEMORY DOCTOR",
    "MEMORY PURGE", "LATENCY DOCTOR", "SLOWLOG GET", "DBSIZE", "SAVE", "BGSAVE", "LASTSAVE",
    "CONFIG SET appendonly yes", "SET key value", "BGREWRITEAOF", "CONFIG SET appendfsync always",
    "SET key value", "CONFIG SET appendonly no", "DEBUG SLEEP 0.1",
    "EVAL return(redis.call('TIME')) 0", "SUBSCRIBE news", "UNSUBSCRIBE news",
    "UNLINK list set zset", "FLUSHALL ASYNC", "FLUSHDB SYNC", "COMMAND COUNT", "ACL LIST",
    "OBJECT HELP", "LOLWUT", "CONFIG REWRITE", "CONFIG SET maxmemory 10mb",
    "CONFIG SET activedefrag yes", "REPLICAOF 127.0.0.1 6379", "ROLE", "REPLICAOF NO ONE", "SYNC",
)  # fmt: skip


def linuxkit(*words: str) -> str:
    """Run the program; what it prints."""
    done = subprocess.run([*LINUXKIT, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"linuxkit {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def free_port() -> int:
    """A port of this host that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(port: int, said: bytes, wanted: bytes) -> None:
    """Until a server answers so: who was started need not listen yet."""
    deadline = time.monotonic() + BOOT_S
    while wanted not in talk(port, said):
        if time.monotonic() > deadline:
            sys.exit(f"port {port} does not answer")
        time.sleep(0.5)


def talk(port: int, said: bytes, *, wait_s: float = 3) -> bytes:
    """What comes back within the time; a server may hang up whenever it likes."""
    heard = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 20) as line:
        line.settimeout(wait_s)
        line.sendall(said)
        while data := line.recv(1 << 16):
            heard += data
            if not data.startswith(b"HTTP") and data.endswith(b"\r\n") and len(data) < 1 << 16:
                break
    return heard


def ask_for_pages(port: int) -> None:
    """Work for a web server: every kind of answer, and clients that do not read."""
    until(port, b"GET / HTTP/1.0\r\n\r\n", b"page")
    for request in PAGES:
        talk(port, f"{request}\r\nHost: x\r\nConnection: close\r\n\r\n".encode() + b"x" * 200000)
    together = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(100)]
    for line in together:
        line.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(2)  # nobody reads: what it sends fills the way
    for line in together[:50]:
        line.recv(1 << 16)
    for line in together:
        line.close()
    for _ in range(3):
        talk(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5)


def give_orders(port: int) -> None:
    """Work for Redis: data, saving it, replicas, and many clients at once."""
    until(port, b"PING\r\n", b"PONG")
    for order in ORDERS:
        talk(port, f"{order}\r\n".encode())
    until(port, b"PING\r\n", b"PONG")
    together = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(100)]
    for line in together:
        line.sendall(b"SET key " + b"x" * 50000 + b"\r\nGET key\r\n" * 20)
    time.sleep(2)
    for line in together:
        line.close()
    until(port, b"SET key value\r\nGET key\r\n", b"value")


def record(folder: Path) -> None:
    """Everything, with files in ``folder``."""
    shutil.copy(HERE / "services.yml", folder / "services.yml")
    (folder / "large").write_bytes(bytes(range(256)) * 8192)
    os.chdir(folder)
    linuxkit("build", "--learn", "--name", NAME, "services.yml")
    web, data = free_port(), free_port()
    machine = ("--cpus", "2", "--publish", f"{web}:80", "--publish", f"{data}:6379")
    linuxkit("run", "--detach", *machine, "--no-reboot", NAME)
    try:
        ask_for_pages(web)
        give_orders(data)
        for service in ("nginx", "redis"):  # an end and a second start
            linuxkit("stop", NAME, service)
        rows = json.loads(linuxkit("learn", "--json", "--dir", str(LISTS), NAME, *UNITS))
    finally:
        subprocess.run([*LINUXKIT, "stop", NAME], capture_output=True, check=False)
    report(rows)


def report(rows: Iterable[dict[str, object]]) -> None:
    """A line for each unit."""
    for row in rows:
        print(f"{row['unit']}: {row['calls']} calls, {row['new']} of them new")


def main() -> None:
    """Record into the folder that is shipped."""
    LISTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder))


if __name__ == "__main__":
    main()
