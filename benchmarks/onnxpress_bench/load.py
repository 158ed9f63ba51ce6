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
from contextlib import closing
from typing import Any

import click
import numpy as np

from onnxpress.errors import InputError
from onnxpress_bench import writing_load
from onnxpress_bench.asking import Caller, in_turn, run
from onnxpress_bench.statistics import percentile
from onnxpress_bench.texts import text_of

#: Shares of texts by words: most are short.
_USUAL_MIX = "12:0.6,60:0.3,150:0.1"


def overhead(url: str, model: str, artifact: str, words: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of single requests, and of the pipeline itself in this process, in turn."""
    import onnxpress

    text = text_of(words, lambda text: len(text.split()), np.random.default_rng(0))
    body = json.dumps({"model": model, "input": text, "encoding_format": "base64"}).encode()
    with onnxpress.pipeline(model=artifact) as pipe, closing(Caller(url)) as line:
        pairs = in_turn(lambda: line.post("/v1/embeddings", body), lambda: pipe(text), rounds)
    over_http, alone = zip(*pairs, strict=True)
    return {
        "http_p50_ms": round(percentile(over_http, 50), 3),
        "pipeline_p50_ms": round(percentile(alone, 50), 3),
        "overhead_p50_ms": round(percentile([over - itself for over, itself in pairs], 50), 3),
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
