"""A server's memory over very many requests: `python -m onnxpress_bench.soak ARTIFACT --requests 1000000`.

Some clients ask over connections that are kept, each as soon as it was answered: texts of random lengths, from one word
to `--words`, alone or a few at once, and now and then what is refused (a text beyond the limit, JSON that is none, a
model that is not there). The first thousand are the largest that there are, of all clients at once: memory is held for
the largest batch, which would come by chance after ten thousand requests or a hundred thousand. A line for every 10,000
answers says what is resident of the server's own memory; pages of its files come and go with what else the machine
does. The last line is JSON, with the growth from the first 10,000 on. Nobody is refused for load: more may wait than
these clients ask for. Times mean nothing here: it may run beside other work.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from onnxpress_bench.asking import Connections
from onnxpress_bench.served import Served, served
from onnxpress_bench.texts import text_of

#: Answers between two looks at the memory; the first look is what growth is counted from.
EVERY = 10_000

#: In so many requests some are refused that follow each other: the server prepares them beside each other.
_REFUSED_EVERY, _AT_ONCE = 100, 2

#: Requests at the beginning that are the largest, and the most texts of one.
_LARGEST, _TEXTS = 1000, 4

#: Among those more are refused at once: each of the server's threads reads a text that is too long.
_FIRST_AT_ONCE = 8

#: The server's settings: it may be stopped for minutes for other work, and goes on.
_SETTINGS = "waiting_s = 3600\nrequest_timeout_s = 3600\nheader_timeout_s = 3600\n"

_MODEL = "model"


@dataclass(slots=True)
class Watch:
    """What was answered, by status, and how much own memory was resident after each 10,000."""

    statuses: Counter[int] = field(default_factory=Counter)
    resident: list[int] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """The figures of a run."""
        first, last = self.resident[0], self.resident[-1]
        return {
            "requests": self.statuses.total(),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "resident_mb": [round(value / 1e6, 2) for value in self.resident],
            "growth": round(last / first - 1, 5),
            "largest_growth": round(max(self.resident) / first - 1, 5),
        }


def bodies(words: int, count: int = 2000, seed: int = 0) -> list[bytes]:
    """Requests of random lengths, and among them some that are refused."""
    rng = np.random.default_rng(seed)

    def text() -> str:
        return text_of(int(rng.integers(1, words + 1)), lambda some: len(some.split()), rng)

    requests: list[bytes] = []
    wrong = (b'{"model": ', json.dumps({"model": "nobody", "input": "a"}).encode(), _too_long(words))
    for place in range(_LARGEST + count):
        if place % _REFUSED_EVERY < (_FIRST_AT_ONCE if place < _LARGEST else _AT_ONCE):
            requests.append(wrong[place // _REFUSED_EVERY % len(wrong)])
            continue
        texts = [text() for _ in range(int(rng.choice([1, 1, 1, 2, _TEXTS])))]
        if place < _LARGEST:
            texts = [text_of(words, lambda some: len(some.split()), rng) for _ in range(_TEXTS)]
        encoding = ("base64", "float")[place % 2]
        requests.append(json.dumps({"model": _MODEL, "input": texts, "encoding_format": encoding}).encode())
    return requests


def _too_long(words: int) -> bytes:
    return json.dumps({"model": _MODEL, "input": "word " * 100 * words}).encode()


async def soak(server: Served, requests: int, clients: int, asked: list[bytes]) -> Watch:
    """Ask so many times, and look at the server's memory."""
    watch, places, started = Watch(), iter(range(requests)), time.monotonic()
    connections = Connections(server.url, None)

    async def client() -> None:
        for place in places:
            try:
                turn = place if place < _LARGEST else _LARGEST + place % (len(asked) - _LARGEST)
                status, _ = await connections.post("/v1/embeddings", asked[turn])
            except (OSError, EOFError):  # a connection that was kept for too long, as where both were stopped
                status = 0
            watch.statuses[status] += 1
            answered = watch.statuses.total()
            if answered % EVERY == 0:
                watch.resident.append(server.memory_bytes("RssAnon"))
                shown = f"{watch.resident[-1] / 1e6:.2f} MB, {time.monotonic() - started:.0f} s"
                click.echo(f"{answered} answered, {shown}", err=True)

    await asyncio.gather(*(client() for _ in range(clients)))
    connections.close()
    return watch


@click.command("soak")
@click.argument("artifact", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--requests", type=click.IntRange(min=2 * EVERY), default=1_000_000, show_default=True)
@click.option("--clients", type=click.IntRange(min=1), default=8, show_default=True, help="That ask at once.")
@click.option("--words", type=click.IntRange(min=1), default=40, show_default=True, help="Of the longest text.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the server.")
def main(artifact: Path, requests: int, clients: int, words: int, threads: int) -> None:
    """Ask a server of ARTIFACT, an embedder, very many times, and watch its memory."""

    def command(port: int) -> list[str]:
        options = ["--port", str(port), "--threads", str(threads), "--log-level", "error"]
        return ["-m", "onnxpress", "serve", f"{_MODEL}={artifact}", "--config", str(settings), *options]

    with TemporaryDirectory() as folder:
        settings = Path(folder, "serve.toml")
        settings.write_text(_SETTINGS, encoding="ascii")
        with served(command, "/ready", {"ONNXPRESS_SPINNING": "0"}) as server:
            watch = asyncio.run(soak(server, requests, clients, bodies(words)))
    click.echo(json.dumps(watch.report()))


if __name__ == "__main__":
    main()
