"""Who may ask: API keys over every address but /health; the names that a server on the loopback interface has."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from contextlib import suppress

from onnxpress.serve.errors import ForeignPage, NoKey, WrongHost

Headers = Mapping[str, str]

#: Hosts of requests that reach the loopback interface by its own names. A page of a stranger whose name was made to
#: mean this machine comes with that name.
_LOCAL = ("localhost", "127.0.0.1", "[::1]", "::1")


def client_of(headers: Headers, keys: Mapping[str, str], address: str) -> str:
    """Whose share of the machine a request uses: its key's name; without keys, its address.

    A key is a bearer token, `x-api-key` or `api-key`, or the password of a browser's dialogue.

    Raises:
        NoKey: there are keys, and it has none of them.
    """
    if not keys:
        return address
    shown = [key.encode() for key in _shown(headers)]
    for name, key in keys.items():
        if any(hmac.compare_digest(key.encode(), candidate) for candidate in shown):
            return name
    raise NoKey("An API key is needed: Authorization: Bearer KEY." if not shown else "This API key is not known.")


def check_origin(headers: Headers) -> None:
    """Raises:
    ForeignPage: a page of another origin asks, through the browser of somebody who can reach this server.
    """
    origin, host = headers.get("origin", ""), headers.get("host", "")
    crosses = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if crosses or (origin and origin.partition("://")[2] != host):
        raise ForeignPage("Pages of other origins are not answered: ask from a server, not from a browser.")


def check_host(headers: Headers, *, on_loopback: bool) -> None:
    """Raises:
    WrongHost: a server that only this machine reaches is asked by another name.
    """
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if on_loopback and name and name.lower() not in _LOCAL:
        raise WrongHost(f"This server answers to localhost, not to {name[:80]!r}; start it with --host to change that.")


def _shown(headers: Headers) -> list[str]:
    keys = [headers[name] for name in ("x-api-key", "api-key") if name in headers]
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        keys.append(value.strip())
    elif kind.lower() == "basic":
        with suppress(binascii.Error, ValueError):
            keys.append(base64.b64decode(value, validate=True).decode().partition(":")[2])
    return keys
