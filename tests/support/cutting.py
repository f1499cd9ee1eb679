"""A wire between a client and a server that somebody cuts again and again."""

from __future__ import annotations

import contextlib
import socket
import threading


class Wire:
    """Listens at ``host``; the first ``cuts`` connections end after so many bytes in a direction.

    ``down`` counts the bytes that reached the client, ``up`` those that reached the server.
    """

    def __init__(self, target: str, cuts: int, *, after_down: int = 1 << 60, after_up: int = 1 << 60) -> None:
        name, _, port = target.rpartition(":")
        self._target = name, int(port)
        self._limits = {"down": after_down, "up": after_up}
        self.cuts = cuts
        self.cut = 0  # so often
        self.bytes = {"down": 0, "up": 0}
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            for ends in ((client, server, "up"), (server, client, "down")):
                thread = threading.Thread(target=self._carry, args=ends, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
                carried += len(data)
                with self._lock:
                    self.bytes[way] += len(data)
                    if carried > self._limits[way] and self.cut < self.cuts:
                        self.cut += 1
                        break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()
