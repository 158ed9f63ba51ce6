"""Addresses are fetched only of the public internet, within limits, and never by another machine than was checked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.audio.limits import SoundLimits
from onnxpress.audio.opening import open_sound
from onnxpress.engine.stopping import Stop, within
from onnxpress.errors import InputError, TimeoutExceeded
from onnxpress.fetching import addresses
from onnxpress.fetching.addresses import fetch, is_public
from onnxpress.fetching.limits import SOUND, FetchLimits, limits_where_allowed
from onnxpress.image.opening import open_picture

HOST = "pictures.example"
CONTENT = b"a picture" * 50
LIMITS = FetchLimits(seconds=5)


@dataclass(slots=True)
class Server:
    """A server of this machine, and what it was asked for."""

    port: int
    asked: list[tuple[str, str]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def url(self, path: str, host: str = HOST) -> str:
        return f"http://{host}:{self.port}{path}"

    def fetch(self, path: str, limits: FetchLimits = LIMITS, host: str = HOST) -> bytes:
        """As the function does it, but of this machine, which names that end in "example" mean."""

        def resolve(name: str, port: int) -> list[str]:
            return ["127.0.0.1"] if name.endswith("example") else addresses._resolved(name, port)

        def permitted(address: Any) -> bool:
            return address == ip_address("127.0.0.1") or is_public(address)

        return addresses._fetch(self.url(path, host), limits, resolve, permitted)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            state.asked.append((self.headers["Host"], self.path))
            state.accepted.append(self.headers["Accept"])
            if self.path in state.files:
                self._answer(200, state.files[self.path], {})
                return
            head, _, rest = self.path.lstrip("/").partition("/")
            match head:
                case "picture":
                    self._answer(200, CONTENT, {"Content-Length": str(len(CONTENT))})
                case "to":
                    self._answer(302, b"", {"Location": rest})
                case "ring":
                    self._answer(301, b"", {"Location": "/ring"})
                case "no-length":
                    self._answer(200, b"x" * 5_000, {})
                case "short":
                    self._answer(200, CONTENT[:10], {"Content-Length": str(len(CONTENT))})
                case "coded":
                    self._answer(200, CONTENT, {"Content-Encoding": "gzip"})
                case "slow":
                    self._answer(200, b"", {"Content-Length": "1000"})
                    for _ in range(200):
                        self.wfile.write(b".")
                        self.wfile.flush()
                        if stopped.wait(0.05):
                            return
                case "no-header":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    for _ in range(200):
                        self.wfile.write(b"a: b\r\n")
                        self.wfile.flush()
                        if stopped.wait(0.05):
                            return
                case _:
                    self._answer(404, b"", {})

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def handle(self) -> None:
            with suppress(OSError):  # whom it answers has gone
                super().handle()

    stopped = threading.Event()
    machine = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    machine.daemon_threads = True
    state = Server(machine.server_port)
    thread = threading.Thread(target=machine.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    stopped.set()
    machine.shutdown()
    machine.server_close()


def test_a_picture_comes_under_its_hosts_name(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a proxy would be asked instead
    assert server.fetch("/picture/a b?c=é") == CONTENT
    assert server.asked == [(f"{HOST}:{server.port}", "/picture/a%20b?c=%C3%A9")]


def test_redirects_are_followed_and_counted(server: Server) -> None:
    assert server.fetch("/to//picture") == CONTENT
    assert server.fetch(f"/to/{server.url('/picture', 'other.example')}") == CONTENT
    with pytest.raises(InputError, match="redirects more than 3 times"):
        server.fetch("/ring")
    with pytest.raises(InputError, match="redirects more than 0 times"):
        server.fetch("/to//picture", FetchLimits(redirects=0))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere", "answers 404"),
        ("/short", "content ends early"),
        ("/coded", "coding that was not asked for"),
        ("/to/file:///etc/passwd", r"redirects to 'file:///etc/passwd', which is not fetched: only http and https"),
        ("/to/ftp://pictures.example/a", "only http and https"),
        ("/to/http://169.254.169.254/latest", "169.254.169.254 is not a machine of the public internet"),
        ("/to/http://[::1]/", "not a machine of the public internet"),
        ("/to/http://2130706434/", "not a machine of the public internet"),
        ("/to/http://[", "cannot be fetched"),
        ("/to/http://pictures.example:99999/", "cannot be fetched"),
    ],
)
def test_refused_by_name(server: Server, path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        server.fetch(path)


def test_what_is_secret_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InputError, match=r"'http://a.example/b' is not fetched: it holds a name and a password\.$"):
        fetch("http://user:secret@a.example/b?token=secret", LIMITS)
    with pytest.raises(InputError, match="names no host"):
        fetch("http://", LIMITS)


def test_https_is_not_left_and_needs_a_certificate(server: Server) -> None:
    with pytest.raises(InputError, match=r"leads away from https, to 'http://a\.example/c'"):
        addresses._followed("https://a.example/b", "http://a.example/c", "https://a.example/b")
    url = server.url("/picture").replace("http:", "https:")
    with pytest.raises(InputError, match="cannot be fetched"):  # it does not answer with one
        addresses._fetch(url, LIMITS, lambda host, port: ["127.0.0.1"], lambda address: True)


def test_the_size_is_limited_said_or_not(server: Server) -> None:
    for path in ("/picture", "/no-length"):
        with pytest.raises(InputError, match="more than the 100 bytes that are fetched"):
            server.fetch(path, FetchLimits(bytes=100))
    assert len(server.fetch("/no-length", FetchLimits(bytes=5_000))) == 5_000


@pytest.mark.parametrize("path", ["/slow", "/no-header"])
def test_the_time_is_limited_however_slowly_bytes_come(server: Server, path: str) -> None:
    with pytest.raises(InputError, match=r"took more than 0\.3 seconds"):
        server.fetch(path, FetchLimits(seconds=0.3))


def test_a_calls_timeout_ends_it(server: Server) -> None:
    with within(Stop(0.3, None)), pytest.raises(TimeoutExceeded):
        server.fetch("/slow", FetchLimits(seconds=60))


def test_a_name_is_asked_for_once_and_never_for_longer_than_allowed(server: Server) -> None:
    answers = iter((["127.0.0.1"], ["10.0.0.1"]))  # of a server that deceives
    url = server.url("/picture", "deceitful.example")
    assert addresses._fetch(url, FetchLimits(), lambda host, port: next(answers), lambda address: True) == CONTENT
    with pytest.raises(InputError, match="is not a machine of the public internet"):
        addresses._fetch(url, FetchLimits(), lambda host, port: ["8.8.8.8", "10.0.0.1"], is_public)
    with pytest.raises(InputError, match="is not a machine of the public internet"):
        addresses._fetch(url, FetchLimits(), lambda host, port: ["fe80::1%eth0"], is_public)
    with pytest.raises(InputError, match="no address"):
        addresses._fetch(url, FetchLimits(), lambda host, port: [], is_public)
    blocked = threading.Event()

    def never(host: str, port: int) -> list[str]:
        blocked.wait(5)
        return []

    with pytest.raises(InputError, match=r"took more than 0\.05 seconds"):
        addresses._fetch(url, FetchLimits(seconds=0.05), never, is_public)
    blocked.set()


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "192.168.1.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "fc00::1", "fd12::1", "fe80::1",
        "ff02::1",
    ],
)  # fmt: skip
def test_no_private_address_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_within_another_counts(address: Any) -> None:
    for inside in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_public(ip_address(inside)) == is_public(address)


def test_public_addresses_are() -> None:
    assert all(is_public(ip_address(address)) for address in ("8.8.8.8", "2606:4700::1111"))


def test_nothing_of_this_machine_is_fetched_without_the_hook(server: Server) -> None:
    for host in ("127.0.0.1", "localhost", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"):
        with pytest.raises(InputError, match=r"public internet|cannot be fetched"):
            fetch(server.url("/picture", host), FetchLimits(seconds=5))
    assert not server.asked


@pytest.fixture
def here(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, which whoever fetches an address reaches."""
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    monkeypatch.setattr(addresses, "_resolved", lambda host, port: ["127.0.0.1"])
    return server


def test_addresses_need_the_callers_leave(here: Server) -> None:
    with pytest.raises(InputError, match="nothing is fetched unless you pass allow_urls=True"):
        open_picture(here.url("/picture"))
    with pytest.raises(InputError, match="nothing is fetched unless you pass allow_urls=True"):
        open_sound(here.url("/picture"), 16_000)
    assert not here.asked
    with pytest.raises(InputError, match="holds is no picture of a known format"):
        open_picture(here.url("/picture"), urls=FetchLimits())
    with pytest.raises(InputError, match="only http and https"):
        open_picture(f"ftp://{HOST}/picture.png", urls=FetchLimits())


def test_sounds_are_fetched_by_the_same_rules(here: Server) -> None:
    soundfile = pytest.importorskip("soundfile")
    file = BytesIO()
    soundfile.write(file, np.full(800, 0.25), 16_000, format="WAV")
    here.files["/sound"] = file.getvalue()
    limits = SoundLimits(urls=SOUND)
    assert np.allclose(open_sound(here.url("/sound"), 16_000, limits=limits), 0.25, atol=1e-4)
    assert np.allclose(open_sound({"path": here.url("/sound")}, 16_000, limits=limits), 0.25, atol=1e-4)
    assert all(accepted.startswith("audio/*") for accepted in here.accepted)
    with pytest.raises(InputError, match="holds is damaged, or no sound"):
        open_sound(here.url("/picture"), 16_000, limits=limits)
    with pytest.raises(InputError, match="more than the 100 bytes"):
        open_sound(here.url("/sound"), 16_000, limits=SoundLimits(urls=FetchLimits(bytes=100)))
    with pytest.raises(InputError, match="only http and https"):
        open_sound(f"ftp://{HOST}/talk.wav", 16_000, limits=limits)


def test_sounds_of_this_machine_are_not_fetched(server: Server) -> None:
    with pytest.raises(InputError, match="public internet"):
        open_sound(server.url("/picture", "127.0.0.1"), 16_000, limits=SoundLimits(urls=SOUND))
    assert not server.asked


@pytest.mark.parametrize("wrong", [1, "yes", None])
def test_leave_is_given_or_not(wrong: Any) -> None:
    with pytest.raises(InputError, match="True or False"):
        limits_where_allowed(wrong, SOUND)


def test_a_machine_that_does_not_answer() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://{HOST}:{silent.getsockname()[1]}/"
        began = time.monotonic()
        with pytest.raises(InputError, match=r"took more than 0\.2 seconds"):
            addresses._fetch(url, FetchLimits(seconds=0.2), lambda host, port: ["127.0.0.1"], lambda address: True)
        assert time.monotonic() - began < 60
    with pytest.raises(InputError, match="cannot be fetched"):
        addresses._fetch(url, FetchLimits(), lambda host, port: ["127.0.0.1"], lambda address: True)
