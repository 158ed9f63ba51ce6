"""Fetches a picture or a sound from an address, for callers who allow it.

An address may come from anybody, so what it names is not trusted: only http and https; only machines of the public
internet, told by the numeric address that is then connected to, so that a name cannot mean one machine when it is
checked and another when it is read; the same for wherever it redirects to; no proxy; so many seconds and bytes, all
told.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, urljoin, urlsplit

from onnxpress.engine.stopping import seconds_left
from onnxpress.errors import InputError, OnnxpressError
from onnxpress.fetching.limits import FetchLimits

#: The schemes that are fetched, with their usual ports.
_PORTS = {"http": 80, "https": 443}

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

#: Whose last 32 bits are an address of version 4, which is where packets end up.
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))

#: Characters of a path and a query that stay: those of addresses, and what is escaped already.
_SAFE = "/?:@!$&'()*+,;=~-._%[]"

_BLOCK = 65_536

Address = IPv4Address | IPv6Address
#: The numeric addresses of a host.
Resolve = Callable[[str, int], Sequence[str]]


def fetch(url: str, limits: FetchLimits) -> bytes:
    """What an address holds.

    Raises:
        InputError: it is no address of the public internet, or does not answer within the limits.
        Cancelled, TimeoutExceeded: the call that it is for has to end.
    """
    return _fetch(url, limits, _resolved, is_public)


def is_public(address: Address) -> bool:
    """Whether a machine is one of the public internet, whatever form its address has."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and any(address in network for network in _TRANSLATED):
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _fetch(url: str, limits: FetchLimits, resolve: Resolve, permitted: Callable[[Address], bool]) -> bytes:
    """As `fetch`; `resolve` and `permitted` are other ones in tests, whose servers are on this machine."""
    deadline, first = time.monotonic() + min(limits.seconds, seconds_left()), url
    for _ in range(limits.redirects + 1):
        try:
            answer = _asked(_Target.of(url, first), limits, deadline, resolve, permitted)
            if isinstance(answer, bytes):
                return answer
            url = _followed(url, answer, first)
        except OnnxpressError:  # some are ValueErrors, too
            raise
        except (OSError, HTTPException, ValueError) as error:
            seconds_left()
            if time.monotonic() >= deadline:
                raise InputError(f"{_shown(first)} took more than {limits.seconds:g} seconds.") from error
            raise InputError(
                f"{_shown(first)} cannot be fetched ({str(error)[:80] or type(error).__name__})."
            ) from error
    raise InputError(f"{_shown(first)} redirects more than {limits.redirects} times.")


def _followed(url: str, location: str, first: str) -> str:
    """Where an address redirects to."""
    onward = urljoin(url, location)
    if urlsplit(url).scheme == "https" and urlsplit(onward).scheme != "https":
        raise InputError(f"{_shown(first)} leads away from https, to {_shown(onward)}.")
    return onward


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str
    shown: str

    @classmethod
    def of(cls, url: str, first: str) -> _Target:
        """Raises InputError if it is no address that is fetched, ValueError if it is none at all."""
        parts = urlsplit(url)
        shown = _shown(first) if url == first else f"{_shown(first)} redirects to {_shown(url)}, which"
        if parts.scheme not in _PORTS:
            raise InputError(f"{shown} is not fetched: only http and https are.")
        if parts.username is not None or parts.password is not None:
            raise InputError(f"{shown} is not fetched: it holds a name and a password.")
        if not parts.hostname:
            raise InputError(f"{shown} is not fetched: it names no host.")
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_SAFE)
        return cls(parts.scheme, host, parts.port or _PORTS[parts.scheme], path, shown)


def _asked(
    target: _Target, limits: FetchLimits, deadline: float, resolve: Resolve, permitted: Callable[[Address], bool]
) -> bytes | str:
    """The content, or where it redirects to."""
    numbers = _within(deadline, lambda: resolve(target.host, target.port))
    if not numbers:
        raise OSError("its host has no address")
    for number in numbers:  # every one: a name with a public and a private address is made to deceive
        if not permitted(ip_address(number.partition("%")[0])):
            raise InputError(f"{target.shown} is not fetched: {target.host} is not a machine of the public internet.")
    connection = _Connection(target, numbers[0], max(deadline - time.monotonic(), 0.001))
    with _closed_at(deadline, connection):
        headers = {
            "Accept": limits.accept,
            "Accept-Encoding": "identity",
            "User-Agent": "onnxpress",
            "Connection": "close",
        }
        connection.request("GET", target.path, headers=headers)
        with connection.getresponse() as response:
            return _read(response, target, limits, deadline)


def _read(response: HTTPResponse, target: _Target, limits: FetchLimits, deadline: float) -> bytes | str:
    if response.status in _REDIRECTS and (location := response.getheader("Location")):
        return location
    if response.status != 200:
        raise InputError(f"{target.shown} answers {response.status} {response.reason[:40]}.")
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise InputError(f"{target.shown} answers in a coding that was not asked for.")
    too_large = InputError(f"{target.shown} holds more than the {limits.bytes} bytes that are fetched.")
    if response.length is not None and response.length > limits.bytes:
        raise too_large
    content, expected = bytearray(), response.length
    while block := response.read1(_BLOCK):
        content += block
        if len(content) > limits.bytes:
            raise too_large
        if time.monotonic() >= deadline:
            raise TimeoutError("its time is over")
    if time.monotonic() >= deadline or (expected is not None and len(content) < expected):
        raise OSError("its content ends early")
    return bytes(content)


class _Connection(HTTPConnection):
    """To a numeric address, under the host's name. `opened`: the socket, which an answer may hold longer than this."""

    opened: socket.socket | None = None

    def __init__(self, target: _Target, number: str, seconds: float) -> None:
        super().__init__(target.host, target.port, timeout=seconds)
        self._number, self._secure = number, target.scheme == "https"
        self.default_port = _PORTS[target.scheme]  # which the Host header leaves out

    def connect(self) -> None:
        self.sock = self.opened = socket.create_connection((self._number, self.port), self.timeout)
        if self._secure:
            context = ssl.create_default_context()
            secure = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = self.opened = secure  # before the handshake, which may be slow
            secure.do_handshake()


@contextmanager
def _closed_at(deadline: float, connection: _Connection) -> Iterator[None]:
    """End a connection when its time is over: a server may send a byte now and then, for ever."""

    def end() -> None:
        with suppress(OSError):
            if connection.opened is not None:
                connection.opened.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(deadline - time.monotonic(), 0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.close()


def _within(deadline: float, call: Callable[[], Sequence[str]]) -> Sequence[str]:
    """What a call gives that knows no time limit itself, as asking for a host's addresses does not."""
    results: list[Sequence[str] | OSError | UnicodeError] = []

    def run() -> None:
        try:
            results.append(call())
        except (OSError, UnicodeError) as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(deadline - time.monotonic(), 0))
    if not results:
        raise TimeoutError("its host's address is not known in time")
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


def _resolved(host: str, port: int) -> Sequence[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _shown(url: str) -> str:
    """The address without its query, which may hold a token, and without a password."""
    head = url.partition("?")[0]
    scheme, separator, rest = head.partition("://")
    authority, slash, path = rest.partition("/")
    return repr(f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"[:80])
