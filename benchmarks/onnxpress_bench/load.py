"""Load on a server over HTTP, from another process: `python -m onnxpress_bench.load URL --model NAME --rate 50,200`.

Requests arrive by a Poisson process and do not wait for each other; a latency counts from the moment a request was
meant to be sent (scenarios/server.py says why). The last line of the output is JSON: for each rate, percentiles of what
was answered, how much that was, and what was refused. `--greedy` adds a client that drops many texts at once;
`--streams 1,4,16` has texts written instead; `--overhead ARTIFACT` compares single requests with the pipeline itself,
in turn.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import click
import numpy as np

from onnxpress.errors import InputError
from onnxpress_bench import writing_load
from onnxpress_bench.statistics import percentile
from onnxpress_bench.texts import text_of

#: Shares of texts by words: most are short.
_USUAL_MIX = "12:0.6,60:0.3,150:0.1"


#: Between two calls that are compared.
_PAUSE_S = 0.03


@dataclass(slots=True)
class Tally:
    """What became of requests: milliseconds of each that was answered, and how many had each status."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    retry_after: int = 0

    def report(self, seconds: float) -> dict[str, Any]:
        """The figures of a run that took so long."""
        answered = self.milliseconds
        figures = {f"p{q}_ms": round(percentile(answered, q), 2) for q in (50, 90, 99)} if answered else {}
        return {
            "sent": self.statuses.total(),
            "answered": len(answered),
            "goodput_per_s": round(len(answered) / seconds, 2),
            **figures,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "refused_with_retry_after": self.retry_after,
        }


class Connections:
    """Connections to a server that are kept and used again."""

    def __init__(self, url: str, key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise InputError(f"{url!r} is no address of a server: http://localhost:8000.")
        self._host, self._port = parts.hostname, parts.port or 80
        self._key = "" if key is None else f"authorization: Bearer {key}\r\n"
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes) -> tuple[int, dict[str, str]]:
        """Send a request and read its answer: the status and the headers."""
        reader, writer = (
            self._free.pop() if self._free else await asyncio.open_connection(self._host, self._port, limit=2**24)
        )
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\ncontent-type: application/json\r\n"
            f"{self._key}content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._free.append((reader, writer))
        return int(lines[0].split()[1]), headers

    def close(self) -> None:
        """Close those that are kept."""
        for _, writer in self._free:
            writer.close()


async def ask(connections: Connections, path: str, body: bytes, due: float, outcome: Tally) -> None:
    """Send a request when it is due, and note what became of it."""
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    try:
        status, headers = await connections.post(path, body)
    except (OSError, EOFError):
        outcome.statuses[0] += 1
        return
    outcome.statuses[status] += 1
    outcome.retry_after += "retry-after-ms" in headers and "retry-after" in headers
    if status == 200:
        outcome.milliseconds.append((time.perf_counter() - due) * 1e3)


async def run(
    url: str,
    path: str,
    bodies: Sequence[bytes],
    rate: float,
    seconds: float,
    *,
    key: str | None = None,
    greedy: tuple[bytes, float, str | None] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Requests at a rate for some seconds, and the figures of them.

    Args:
        greedy: a body that another client sends, every how many seconds, and its key.
    """
    rng = np.random.default_rng(seed)
    connections, outcome = Connections(url, key), Tally()
    started = time.perf_counter() + 0.1
    due = started + np.cumsum(rng.exponential(1 / rate, max(1, round(rate * seconds))))
    chosen = rng.integers(len(bodies), size=len(due))
    tasks = [
        asyncio.create_task(ask(connections, path, bodies[which], float(when), outcome))
        for when, which in zip(due, chosen, strict=True)
    ]
    others, dropped = Tally(), []
    if greedy is not None:
        body, every_s, greedy_key = greedy
        of_greedy = Connections(url, greedy_key)
        times = np.arange(started, float(due[-1]), every_s)
        dropped = [asyncio.create_task(ask(of_greedy, path, body, float(when), others)) for when in times]
    await asyncio.gather(*tasks)
    took = time.perf_counter() - started
    await asyncio.gather(*dropped)
    connections.close()
    report = {"rate_per_s": rate, **outcome.report(took)}
    return report | ({"greedy": others.report(took)} if greedy is not None else {})


def overhead(url: str, model: str, artifact: str, words: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of single requests, and of the pipeline itself in this process, in turn.

    Between two calls nothing is done for a while: the engine's threads look for more work for some time, and would take
    the other's processors.
    """
    import onnxpress

    text = text_of(words, lambda text: len(text.split()), np.random.default_rng(0))
    body = json.dumps({"model": model, "input": text, "encoding_format": "base64"}).encode()
    over_http: list[float] = []
    alone: list[float] = []

    async def compare() -> None:
        connections = Connections(url, None)
        with onnxpress.pipeline(model=artifact) as pipe:
            for place in range(rounds + 20):
                await asyncio.sleep(_PAUSE_S)
                began = time.perf_counter()
                await connections.post("/v1/embeddings", body)
                over = time.perf_counter() - began
                await asyncio.sleep(_PAUSE_S)
                began = time.perf_counter()
                pipe(text)
                itself = time.perf_counter() - began
                if place >= 20:
                    over_http.append(over * 1e3)
                    alone.append(itself * 1e3)
        connections.close()

    asyncio.run(compare())
    differences = [http - pipeline for http, pipeline in zip(over_http, alone, strict=True)]
    return {
        "http_p50_ms": round(percentile(over_http, 50), 3),
        "pipeline_p50_ms": round(percentile(alone, 50), 3),
        "overhead_p50_ms": round(percentile(differences, 50), 3),
        "overhead_of_minima_ms": round(min(over_http) - min(alone), 3),
    }


def bodies_of(model: str, mix: str, count: int = 200, seed: int = 1) -> list[bytes]:
    """Requests for embeddings of texts with these shares of words: "12:0.6,60:0.4".

    Raises:
        InputError: the mix is none.
    """
    try:
        lengths, shares = zip(
            *((int(a), float(b)) for a, b in (part.split(":") for part in mix.split(","))), strict=True
        )
    except ValueError:
        raise InputError(f"{mix!r} is no mix; it must be WORDS:SHARE,WORDS:SHARE.") from None
    rng = np.random.default_rng(seed)
    chosen = rng.choice(lengths, size=count, p=np.array(shares) / sum(shares))
    texts = [text_of(int(words), lambda text: len(text.split()), rng) for words in chosen]
    return [
        json.dumps({"model": model, "input": text, "encoding_format": "base64", "truncate": True}).encode()
        for text in texts
    ]


@click.command("load")
@click.argument("url")
@click.option("--model", required=True, metavar="NAME", help="The server's name of an embedder, or of what writes.")
@click.option("--rate", "rates", default="20", show_default=True, metavar="A,B", help="Requests a second.")
@click.option("--seconds", default=10.0, show_default=True, help="Of each rate.")
@click.option("--mix", default=_USUAL_MIX, show_default=True, metavar="WORDS:SHARE,...", help="Lengths of texts.")
@click.option("--key", metavar="KEY", help="API key.")
@click.option("--greedy", metavar="TEXTS:WORDS:EVERY_S", help="Another client's texts, so many at once.")
@click.option("--greedy-key", metavar="KEY", help="Its API key.")
@click.option("--streams", metavar="A,B", help="Texts that are written for so many clients at once (writing_load.py).")
@click.option("--long", "long_words", type=int, metavar="WORDS", help="Of --streams: one more client's prompts.")
@click.option("--overhead", "artifact", metavar="ARTIFACT", help="Compare single requests with this pipeline.")
@click.option("--rounds", default=300, show_default=True, help="Of --overhead.")
def main(
    url: str,
    model: str,
    rates: str,
    seconds: float,
    mix: str,
    key: str | None,
    greedy: str | None,
    greedy_key: str | None,
    streams: str | None,
    long_words: int | None,
    artifact: str | None,
    rounds: int,
) -> None:
    """Load a server with requests that do not wait for each other."""
    if artifact is not None:
        click.echo(json.dumps(overhead(url, model, artifact, 12, rounds)))
        return
    if streams is not None:
        counts = [int(count) for count in streams.split(",")]
        click.echo(json.dumps(writing_load.runs(url, model, counts, seconds, long_words, key)))
        return
    bodies = bodies_of(model, mix)
    other: tuple[bytes, float, str | None] | None = None
    if greedy is not None:
        texts, words, every_s = greedy.split(":")
        [body] = bodies_of(model, f"{words}:1", 1)
        content = json.loads(body)
        other = json.dumps({**content, "input": [content["input"]] * int(texts)}).encode(), float(every_s), greedy_key
    reports = [
        asyncio.run(run(url, "/v1/embeddings", bodies, float(rate), seconds, key=key, greedy=other))
        for rate in rates.split(",")
    ]
    for report in reports:
        click.echo(f"{report['rate_per_s']:g}/s: {report['answered']} of {report['sent']} answered", err=True)
    click.echo(json.dumps(reports))


if __name__ == "__main__":
    main()
