"""What backends share that are servers: started as their users start them, in a process of their own, and asked over
HTTP as OpenAI's clients ask. Knows no server.
"""

from __future__ import annotations

import atexit
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import Runner
from onnxpress_bench.caller import Caller
from onnxpress_bench.served import Served, served

#: The name that each server is told to call its model.
MODEL = "model"


class Server(Runner):
    """A server of the spec's model. `ready`: the path that answers when it can be asked. `embeddings`: that of vectors.
    `environment`: variables that it is started with."""

    ready = "/health"
    embeddings = "/v1/embeddings"
    environment: Mapping[str, str] = {}
    each_token: Mapping[str, Any] = {}
    served: Served
    #: Ends it before this process does.
    close: Callable[[], None]
    _line: Caller

    def command(self, port: int) -> list[str]:
        """Behind the Python of this environment."""
        raise NotImplementedError

    def load(self) -> None:
        """Until it says that it is ready; it ends with this process."""
        stack = ExitStack()
        atexit.register(stack.close)
        self.close = stack.close
        self.served = stack.enter_context(served(self.command, self.ready, self.environment))
        self._line = Caller(self.served.url)
        stack.callback(self._line.close)

    def body(self, item: Any) -> bytes:
        """What is sent for the vector of a text."""
        return json.dumps({"model": MODEL, "input": item, "encoding_format": "base64"}).encode()

    def answer(self, items: Sequence[Any]) -> Sequence[Any]:
        """One request after the other."""
        return [self._vector(item) for item in items]

    def _vector(self, item: Any) -> Any:
        status, body = self._line.post(self.embeddings, self.body(item))
        if status != 200:
            raise RuntimeError(f"the server answered {status}: {body[:200]!r}")
        vector = json.loads(body)["data"][0]["embedding"]
        if isinstance(vector, str):
            import numpy as np

            return np.frombuffer(base64.b64decode(vector), "<f4")
        return vector


def own_command(spec: BackendSpec, port: int) -> list[str]:
    """`onnxpress serve` with one variant and the usual settings."""
    settings = ["--precision", spec.settings["precision"], "--threads", str(spec.threads)]
    where = ["--port", str(port), "--log-level", "error"]
    return ["-m", "onnxpress", "serve", f"{MODEL}={spec.folder}", *settings, *where]
