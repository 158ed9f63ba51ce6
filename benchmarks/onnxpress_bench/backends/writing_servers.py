"""Servers of texts that are written: onnxpress's own and llama.cpp's, through llama-cpp-python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

from onnxpress_bench.backends import Batching, NotMeasured
from onnxpress_bench.backends.llama_cpp import LlamaCpp
from onnxpress_bench.backends.onnxpress_artifact import prepare
from onnxpress_bench.backends.servers import MODEL, Server, own_command


class _Writes(Server):
    """Token ids go to no server: a prompt is counted by its tokenizer, and a text is judged elsewhere."""

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        """What a server writes is not compared: the same models are, without servers."""
        return []

    def one(self, item: Any) -> Any:
        """Nothing: the first answer to a server's health is its start."""

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Not asked of a server: NotMeasured."""
        raise NotMeasured("A server is measured by the scenario streams: its texts go over HTTP, not as token ids.")


class OnnxpressWritingServer(_Writes):
    """`onnxpress serve` with one variant."""

    ready = "/ready"
    each_token = MappingProxyType({"logprobs": 0})
    distributions = ("onnxpress[cpu,serve]",)
    prepare = staticmethod(prepare)

    def command(self, port: int) -> list[str]:
        """With the usual settings."""
        return own_command(self.spec, port)


class LlamaCppServer(_Writes):
    """llama-cpp-python's server. A request does not end the one before it, as it would by default."""

    ready = "/v1/models"
    distributions = ("llama-cpp-python[server]",)
    converters = LlamaCpp.converters
    files = LlamaCpp.files
    convert = staticmethod(LlamaCpp.convert)

    def command(self, port: int) -> list[str]:
        """With room for the longest prompt and what follows it."""
        threads = str(self.spec.threads)
        room = str(self.spec.settings["context_tokens"])
        return [
            *("-m", "llama_cpp.server", "--model", str(self.folder / "model.gguf"), "--model_alias", MODEL),
            *("--n_ctx", room, "--n_threads", threads, "--n_threads_batch", threads, "--port", str(port)),
            *("--interrupt_requests", "False", "--verbose", "False"),
        ]
