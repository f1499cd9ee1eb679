"""The one HTTP transport: retries, resume, proxies, TLS and limits; also ``file://`` folders.

What a body means, and whether its bytes are the right ones, is the caller's to check.
"""

from __future__ import annotations

import contextlib
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from linuxkit.base.errors import Error, printable
from linuxkit.net import patience, proxy
from linuxkit.net import url as urls
from linuxkit.net.patience import Patience, Settings
from linuxkit.version import __version__

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    import urllib3
    from urllib3.response import BaseHTTPResponse

CHUNK = 1 << 18
_READING = ("GET", "HEAD")
_READ = frozenset({200, 206})
_DONE = frozenset({200, 201, 202, 204})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_BROKEN = ("LK0410", "LK0413")
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_SAID_LIMIT = 64 << 10  # bytes that are read of the body of a refusal


class Sink(Protocol):
    """Where a body goes."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""


class _Memory:
    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.parts.append(data)


class Reply(NamedTuple):
    """A body and the headers that came with it, their names in lower case."""

    body: bytes
    headers: Mapping[str, str]
    status: int


class Refused(Error):  # noqa: N818 - what the server did
    """The server answered with another status than success (LK0411, LK0412)."""

    def __init__(self, code: str, message: str, reply: Reply, hint: str = "") -> None:
        super().__init__(code, message, hint=hint)
        self.reply = reply  # what it said, cut off where that was long
        self.status = reply.status


class Asking(NamedTuple):
    """What is sent along with the URL."""

    headers: Mapping[str, str] = MappingProxyType({})  # Authorization stays with the URL's origin
    method: str = "GET"
    body: Callable[[], BinaryIO] | None = None  # opened anew for each try
    size: int = 0  # of the body, in bytes
    headers_do: bool = False  # an answer without a body is one too


class _Transfer:
    """One body under way: how much of it has reached the sink, over several tries."""

    def __init__(
        self,
        url: str,
        sink: Sink,
        limit: int,
        progress: Callable[[int], None] = lambda _done: None,
        asking: Asking = Asking(),  # noqa: B008 - it cannot change
    ) -> None:
        self.url = url
        self.sink = sink
        self.limit = limit
        self.progress = progress
        self.asking = asking
        self.done = 0
        self.etag = ""
        self.headers: Mapping[str, str] = {}
        self.status = 0

    def take(self, data: bytes) -> None:
        """Pass a piece on, within the limit."""
        if self.done + len(data) > self.limit:
            raise _too_large(self.url, self.limit)
        self.sink.write(data)
        self.done += len(data)
        self.progress(len(data))


class Transport:
    """Gets bodies over http, https and file URLs.  May be used by several threads.

    ``certs`` are files of certificates to trust besides the system's.  ``check`` looks at every URL
    before it is asked, those that a server redirects to as well, and raises to refuse it.
    """

    def __init__(
        self,
        settings: Settings = Settings(),  # noqa: B008
        *,
        hint: str = "",
        certs: Sequence[str] = (),
        check: Callable[[SplitResult], None] = lambda _url: None,
    ) -> None:
        self._settings = settings
        self._hint = hint
        self._certs = tuple(certs)
        self._check = check
        self._pools: dict[str, urllib3.PoolManager] = {}

    def read(self, url: str, *, limit: int) -> bytes:
        """The body, at most ``limit`` bytes.  Errors as :meth:`fetch`."""
        memory = _Memory()
        self.fetch(url, memory, limit=limit)
        return b"".join(memory.parts)

    def fetch(
        self,
        url: str,
        sink: Sink,
        *,
        limit: int,
        progress: Callable[[int], None] = lambda _done: None,
        asking: Asking = Asking(),  # noqa: B008 - it cannot change
    ) -> int:
        """Write the body to ``sink`` and return its length in bytes.

        A broken transfer is taken up where it stopped (RFC 9110, section 14).  Raises LK0410
        (host not reached), LK0411 (not there), LK0412 (refused), LK0413 (cut short), LK0414 (more
        than ``limit`` bytes), LK0415 (bad redirect), LK0416 (certificate), LK0417 (not a usable
        URL), LK0418 (no certificates in a file), LK0419 (no TLS).
        """
        transfer = _Transfer(url, sink, limit, progress, asking)
        if urls.parts(url).scheme == "file":
            _copy_file(transfer)
        else:
            self._fetch(transfer)
        return transfer.done

    def ask(self, url: str, asking: Asking, *, limit: int) -> Reply:
        """The body, at most ``limit`` bytes, and its headers.  Errors as :meth:`fetch`."""
        memory = _Memory()
        transfer = _Transfer(url, memory, limit, asking=asking)
        self._fetch(transfer)
        return Reply(b"".join(memory.parts), transfer.headers, transfer.status)

    def _fetch(self, transfer: _Transfer) -> None:
        left = Patience(self._settings)
        while True:
            try:
                self._once(transfer)
            except Error as error:
                wait_s = passing(error)
                if wait_s is None:
                    raise
                left.spend(error, wait_s, urlsplit(transfer.url).hostname or "")
            else:
                return

    def _once(self, transfer: _Transfer) -> None:
        url = transfer.url
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._request(url, transfer)
            try:
                if response.status not in _REDIRECTS:
                    _check_status(response, url, transfer.asking, self._hint)
                    _receive(response, transfer)
                    return
                if transfer.asking.method not in _READING:
                    raise Error("LK0415", f"{urls.shown(url)} redirects what is sent to it")
                url = urls.redirected(url, response.headers.get("Location", ""))
            finally:
                # A connection with an unread rest must not serve another request; a response that
                # was read to its end has given its connection back already.
                response.close()
        shown = urls.shown(transfer.url)
        raise Error("LK0415", f"{shown} redirects more than {_MAX_REDIRECTS} times")

    def _request(self, url: str, transfer: _Transfer) -> BaseHTTPResponse:
        import urllib3

        split = urls.checked(url)
        self._check(split)
        asking = transfer.asking
        headers = {"User-Agent": f"linuxkit/{__version__}", "Accept-Encoding": "identity"}
        headers.update(asking.headers)
        if urls.origin(split) != urls.origin(urlsplit(transfer.url)):
            headers.pop("Authorization", None)
        if asking.method not in _READING:
            headers["Content-Length"] = str(asking.size)
        if split.username is not None:
            plain = f"{unquote(split.username)}:{unquote(split.password or '')}"
            headers.update(urllib3.make_headers(basic_auth=plain))
        if transfer.done:
            headers["Range"] = f"bytes={transfer.done}-"
            if transfer.etag:
                headers["If-Range"] = transfer.etag
        try:
            with asking.body() if asking.body else contextlib.nullcontext() as body:
                return self._pool(split).request(
                    asking.method, urls.without_user(split), headers=headers, body=body,
                    preload_content=False, redirect=False, retries=False, decode_content=False,
                )  # fmt: skip
        except urllib3.exceptions.SSLError as error:
            raise _tls(url, error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _unreachable(url, error, self._hint) from error

    def _pool(self, split: SplitResult) -> urllib3.PoolManager:
        import urllib3

        through = proxy.for_url(split)
        if through not in self._pools:
            timeout = urllib3.Timeout(self._settings.connect_s, self._settings.read_s)
            trust = _trust(self._certs) if self._certs else None
            if not through:
                self._pools[through] = urllib3.PoolManager(
                    timeout=timeout, maxsize=8, ssl_context=trust
                )
            else:
                where = urlsplit(through)
                login = urllib3.make_headers(
                    proxy_basic_auth=f"{unquote(where.username)}:{unquote(where.password or '')}"
                ) if where.username is not None else {}  # fmt: skip
                self._pools[through] = urllib3.ProxyManager(
                    urls.without_user(where), proxy_headers=login, timeout=timeout, maxsize=8,
                    ssl_context=trust,
                )  # fmt: skip
        return self._pools[through]


def passing(error: Error) -> float | None:
    """The seconds to wait before what failed is tried again; None when that would be no use."""
    if isinstance(error, Refused):
        again = error.status in _AGAIN
        return patience.asked_s(error.reply.headers.get("retry-after", "")) if again else None
    return 0.0 if error.code in _BROKEN else None


def _copy_file(transfer: _Transfer) -> None:
    split = urlsplit(transfer.url)
    if split.netloc not in ("", "localhost"):
        shown = urls.shown(transfer.url)
        raise Error("LK0417", f"{shown} names a host; a file URL has three slashes")
    try:
        with open(unquote(split.path), "rb") as source:  # noqa: PTH123 - bytes and odd names too
            while data := source.read(CHUNK):
                transfer.take(data)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise Error("LK0411", f"there is no {urls.shown(transfer.url)}") from error
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise Error("LK0410", f"cannot read {urls.shown(transfer.url)}: {reason}") from error


def _trust(certs: Sequence[str]) -> ssl.SSLContext:
    """The system's certificates and those in the files."""
    import ssl

    context = ssl.create_default_context()
    for name in certs:
        try:
            context.load_verify_locations(name)
        except OSError as error:  # an SSLError is one too
            reason = "it has none" if isinstance(error, ssl.SSLError) else error.strerror
            raise Error(
                "LK0418", f"no certificates can be read from {printable(name)}: {reason}",
                hint="it has to be a file of certificates in PEM form",
            ) from error  # fmt: skip
    return context


def _check_status(response: BaseHTTPResponse, url: str, asking: Asking, hint: str) -> None:
    status = response.status
    if status in (_READ if asking.method in _READING and not asking.headers_do else _DONE):
        return
    said = Reply(_said(response), _lower(response), status)
    if status in (404, 410):
        raise Refused("LK0411", f"there is no {urls.shown(url)} (HTTP {status})", said)
    text = f"{urls.shown(url)} answered HTTP {status}"
    wait_s = patience.asked_s(response.headers.get("Retry-After", ""))
    if wait_s > patience.LONGEST_WAIT_S:
        text += f" and wants to be left alone for {wait_s:.0f} s"
    raise Refused("LK0412", text, said, hint)


def _said(response: BaseHTTPResponse) -> bytes:
    """What a server says to a refusal, as far as it came."""
    import urllib3

    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        return response.read(_SAID_LIMIT, decode_content=False)
    return b""


def _lower(response: BaseHTTPResponse) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _receive(response: BaseHTTPResponse, transfer: _Transfer) -> None:
    url = transfer.url
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Error("LK0412", f"{urls.shown(url)} came {printable(encoding, 40)}-encoded, unasked")
    if response.status == 206 and not _continues(response, transfer.done):  # noqa: PLR2004
        raise Error("LK0412", f"{urls.shown(url)} answered another range than was asked for")
    # A plain 200 to a range request means: all of it again, so skip what is already there.
    skip = transfer.done if response.status == 200 else 0  # noqa: PLR2004
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:19]) + transfer.done - skip > transfer.limit:
        raise _too_large(url, transfer.limit)
    transfer.headers, transfer.status = _lower(response), response.status
    transfer.etag = response.headers.get("ETag", "")
    if transfer.etag.startswith("W/"):
        transfer.etag = ""
    for data in _pieces(response, url):
        piece = data[skip:]
        skip -= len(data) - len(piece)
        if piece:
            transfer.take(piece)
    if skip:
        raise _cut_short(url, "it became shorter between two tries")


def _continues(response: BaseHTTPResponse, done: int) -> bool:
    return response.headers.get("Content-Range", "").replace(" ", "").startswith(f"bytes{done}-")


def _pieces(response: BaseHTTPResponse, url: str) -> Iterator[bytes]:
    import urllib3

    try:
        yield from response.stream(CHUNK, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _cut_short(url, _reason(error)) from error


def _cut_short(url: str, why: str) -> Error:
    return Error("LK0413", f"the transfer of {urls.shown(url)} broke off: {why}", hint="try again")


def _too_large(url: str, limit: int) -> Error:
    return Error("LK0414", f"{urls.shown(url)} is larger than the {limit} bytes allowed for it")


def _tls(url: str, error: Exception) -> Error:
    import ssl

    cause = error.args[0] if error.args else None
    if not isinstance(cause, ssl.SSLCertVerificationError):
        split = urlsplit(url)
        at = f"{split.hostname}:{split.port}" if split.port else f"{split.hostname}"
        return Error("LK0419", f"{at} does not speak TLS as it should: {_reason(error)}")
    return Error(
        "LK0416",
        f"no trusted connection to {urlsplit(url).hostname}: {_reason(error)}",
        hint="SSL_CERT_FILE names a file with further certificates to trust",
    )


def _unreachable(url: str, error: Exception, hint: str) -> Error:
    split = urlsplit(url)
    through = urlsplit(proxy.for_url(split)).netloc.rpartition("@")[2]
    by = f" through the proxy {printable(through)}" if through else ""
    return Error("LK0410", f"cannot reach {split.hostname}{by}: {_reason(error)}", hint=hint)


def _reason(error: BaseException) -> str:
    """The innermost cause in plain words; urllib3 wraps what the system said several times."""
    while inner := error.__cause__ or error.__context__:
        if isinstance(inner, Error):  # what was told before this began
            break
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    text = str(error)
    return printable(text.rpartition(": ")[2] if "object at 0x" in text else text or "it hung up")
