"""Texts that a server writes for some clients at once: `load --streams 1,4,16`.

Each client asks for one text after the other, streamed, of a prompt that nobody sent before. The figures: tokens a
second of all together, milliseconds to the first token and from one to the next. With a long prompt one more client
sends such prompts all the time, one after the other, and the same figures are told of the others meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from onnxpress_bench.caller import address_of
from onnxpress_bench.statistics import percentile
from onnxpress_bench.texts import text_of


@dataclass(slots=True)
class Heard:
    """Milliseconds of all texts: to the first token of each, and between tokens; how many tokens and texts."""

    first_ms: list[float] = field(default_factory=list)
    between_ms: list[float] = field(default_factory=list)
    tokens: int = 0
    texts: int = 0
    refused: int = 0

    def report(self, seconds: float) -> dict[str, Any]:
        """The figures of a run that took so long."""
        figures: dict[str, Any] = {
            "texts": self.texts,
            "refused": self.refused,
            "tokens_per_s": round(self.tokens / seconds, 2),
        }
        for name, values in (("first_token", self.first_ms), ("between_tokens", self.between_ms)):
            for q in (50, 99):
                figures[f"{name}_p{q}_ms"] = round(percentile(values, q), 2) if values else None
        return figures


async def ask(url: str, body: dict[str, Any], key: str | None, heard: Heard) -> None:
    """Ask for one text and note when its pieces come.

    Raises:
        OSError: the server cannot be reached.
    """
    host, port = address_of(url)
    reader, writer = await asyncio.open_connection(host, port)
    content = json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}}).encode()
    authorization = "" if key is None else f"authorization: Bearer {key}\r\n"
    head = (
        f"POST /v1/completions HTTP/1.1\r\nhost: {host}:{port}\r\n{authorization}"
        f"connection: close\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    asked = latest = time.perf_counter()
    writer.write(head.encode() + content)
    try:
        status = int((await reader.readline()).split()[1])
        if status != 200:
            heard.refused += 1
            return
        pieces, tokens = 0, 0
        async for line in reader:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                heard.refused += 1
                return
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
            if any(choice.get("finish_reason") == "length" for choice in event["choices"]):
                tokens = int(body["max_tokens"])  # of servers that say no usage
            if not any(choice.get("text") or choice.get("logprobs") for choice in event["choices"]):
                continue
            now = time.perf_counter()
            if pieces:
                heard.between_ms.append((now - latest) * 1e3)
            else:
                heard.first_ms.append((now - asked) * 1e3)
            pieces, latest = pieces + 1, now
        heard.tokens += tokens or pieces
        heard.texts += 1
    finally:
        writer.close()


async def clients(
    url: str,
    model: str,
    count: int,
    seconds: float,
    *,
    words: int = 12,
    tokens: int = 64,
    long_words: int | None = None,
    key: str | None = None,
    seed: int = 0,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Heard, Heard, float]:
    """What so many clients heard who asked for some seconds; what one more heard, of long prompts; seconds that it
    took.

    Args:
        long_words: of the prompts that one more client sends.
        more: what else a request asks for: "logprobs", where tokens may have no text, as of random weights.
    """
    rng = np.random.default_rng(seed)
    heard, others = Heard(), Heard()
    until = time.perf_counter() + seconds

    def body(words: int, tokens: int) -> dict[str, Any]:
        prompt = text_of(words, lambda text: len(text.split()), rng)
        asked = f"{rng.integers(1 << 30)} {prompt}"
        return {"model": model, "prompt": asked, "max_tokens": tokens, "temperature": 0, **more}

    async def client(words: int, tokens: int, into: Heard) -> None:
        while time.perf_counter() < until:
            await ask(url, body(words, tokens), key, into)
            if into.refused and not into.texts:
                return

    started = time.perf_counter()
    waiting = [client(words, tokens, heard) for _ in range(count)]
    if long_words is not None:
        waiting.append(client(long_words, 1, others))
    await asyncio.gather(*waiting)
    return heard, others, time.perf_counter() - started


def run(url: str, model: str, count: int, seconds: float, long_words: int | None, key: str | None, seed: int) -> Any:
    """The figures of a run."""
    heard, others, took = asyncio.run(clients(url, model, count, seconds, long_words=long_words, key=key, seed=seed))
    report = {"streams": count, **heard.report(took)}
    return report | ({"long_prompts": others.report(took)} if long_words is not None else {})


def runs(
    url: str, model: str, streams: Sequence[int], seconds: float, long_words: int | None, key: str | None
) -> list[dict[str, Any]]:
    """A run for each number of clients, and one with long prompts where they are asked for."""
    reports = []
    for seed, count in enumerate(streams):
        reports.append(run(url, model, count, seconds, None, key, seed))
        if long_words is not None:
            reports.append(run(url, model, count, seconds, long_words, key, 1000 + seed))
    return reports
