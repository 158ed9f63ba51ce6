"""A client that waits for each answer, and needs nothing but the standard library: workers import it with a backend."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

#: How long a body is, as the head of an answer says it.
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Caller:
    """One connection, kept, of a client that waits for each answer: as little of a client as there can be."""

    def __init__(self, url: str) -> None:
        self._host, self._port = address_of(url)
        self._socket = socket.create_connection((self._host, self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a request and read its answer: the status and the body, whose length the answer must say."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        length = LENGTH.search(received[: end + 2])
        if length is None:
            raise ValueError("The answer does not say how long it is.")
        while len(received) < end + 4 + int(length[1]):
            received += self._more()
        return int(received.split(None, 2)[1]), bytes(received[end + 4 :])

    def _more(self) -> bytes:
        received = self._socket.recv(2**18)
        if not received:
            raise EOFError("The server closed the connection.")
        return received

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a server.

    Raises:
        InputError: the address is none of a server.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        from onnxpress.errors import InputError

        raise InputError(f"{url!r} is no address of a server: http://localhost:8000.")
    return parts.hostname, parts.port or 80
