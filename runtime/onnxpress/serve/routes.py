"""The table of routes: an address, who answers it, in which shape its errors are, and what it is for.

The OpenAPI document is made of it, so that no route is missing there.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from onnxpress.serve import shapes
from onnxpress.serve.errors import UnknownRoute, WrongMethod
from onnxpress.serve.http import Response
from onnxpress.serve.service import Exchange

Handler = Callable[[Exchange], Awaitable[Response]]

#: A model's name may have one "/", as ids on the Hub do.
_PARTS = {"model": r"[^/]+(?:/[^/]+)?"}


@dataclass(frozen=True, slots=True)
class Route:
    """One row.

    Args:
        path: with parts in braces, as in OpenAPI.
        about: what it is for, one sentence.
        body: the schema of its body; None: it has none. `body_type`: of what kind that is.
        reply: the schema of its answer.
        media_types: what a body may be besides JSON.
        other_replies: what an answer may be besides `reply_type`, where a request asks for it.
        keyless: whether it is answered without an API key.
    """

    method: str
    path: str
    handler: Handler
    about: str
    shape: shapes.Shape = shapes.plain
    body: Mapping[str, Any] | None = None
    reply: Mapping[str, Any] = field(default_factory=dict)
    body_type: str = "application/json"
    media_types: tuple[str, ...] = ()
    reply_type: str = "application/json"
    other_replies: tuple[str, ...] = ()
    keyless: bool = False

    def pattern(self) -> re.Pattern[str]:
        """What an address is compared with."""
        parts = re.split(r"\{(\w+)\}", self.path)
        named = (
            f"(?P<{part}>{_PARTS.get(part, '[^/]+')})" if place % 2 else re.escape(part)
            for place, part in enumerate(parts)
        )
        return re.compile("".join(named))


class Router:
    """Finds the route of a request; the first that fits."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._fixed = {(route.method, route.path): route for route in reversed(self.routes) if "{" not in route.path}
        self._patterns = [(route.pattern(), route) for route in self.routes if "{" in route.path]

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route of an address, and its parts.

        Raises:
            UnknownRoute: there is none.
            WrongMethod: there is one for another method.
        """
        method = "GET" if method == "HEAD" else method
        if (route := self._fixed.get((method, path))) is not None:
            return route, {}
        others = {other for other, fixed in self._fixed if fixed == path}
        for pattern, route in self._patterns:
            if (match := pattern.fullmatch(path)) is None:
                continue
            if route.method == method:
                return route, {name: unquote(part) for name, part in match.groupdict().items()}
            others.add(route.method)
        if others:
            raise WrongMethod(f"{path[:80]} takes {' and '.join(sorted(others))}, not {method[:10]}.")
        raise UnknownRoute(f"There is no {path[:80]!r} here; /openapi.json lists what there is.")
