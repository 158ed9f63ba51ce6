"""Servers under load, over HTTP and from another process: clients that do not wait for each other.

rate: the highest rate of arrivals whose 99th percentile stays within a bound, by the search of server.py. neighbours:
short texts while another client has very long ones computed, and without it. overload: three times what the server can
answer. streams: texts that are written for so many clients at once, and while another client's long prompts are read.
single: one request after the other beside the pipeline itself, in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.asking import Connections, Tally, ask, in_turn
from onnxpress_bench.backends import Backend, BackendSpec, NotMeasured, Serves
from onnxpress_bench.backends.servers import MODEL
from onnxpress_bench.caller import Caller
from onnxpress_bench.scenarios import Samples, Work
from onnxpress_bench.scenarios.server import rate_within, unit_gaps
from onnxpress_bench.statistics import percentile

#: Before a probe of the search, for what the one before left behind.
_PAUSE_S = 0.3


def serving(backend: Backend) -> Serves:
    """Raises NotMeasured where a backend is no server."""
    if not isinstance(backend, Serves):
        raise NotMeasured("this backend is no server")
    return backend


def rate(backend: Backend, work: Work) -> Samples:
    """The highest rate, and the latencies at it. Parameters of "server": `queries`, `seed` and `p99_ms`."""
    server, parameters = serving(backend), work.parameters["server"]
    gaps = unit_gaps(int(parameters["queries"]), int(parameters["seed"]))
    bodies = [server.body(work.stream[i % len(work.stream)]) for i in range(len(gaps))]
    for body in bodies[:16]:
        asyncio.run(open_loop(server, [body], [0.0]))
    began = time.perf_counter()
    for body in bodies[:8]:
        asyncio.run(open_loop(server, [body], [0.0]))
    alone = 8 / (time.perf_counter() - began)
    bound_ms = float(parameters["p99_ms"])

    def probe(rate_per_s: float) -> tuple[list[float], bool]:
        time.sleep(_PAUSE_S)
        tally = asyncio.run(open_loop(server, bodies, [gap / rate_per_s for gap in gaps], bound_ms=bound_ms))
        times = [*tally.milliseconds, *[math.inf] * (len(bodies) - len(tally.milliseconds))]
        return tally.milliseconds, percentile(times, 99) <= bound_ms

    highest, times = rate_within(probe, alone)
    return {"server_rate_per_s": [highest], "server_latency_ms": times} if highest else {"server_unsustained": [1.0]}


async def open_loop(
    server: Serves, bodies: Sequence[bytes], gaps_s: Sequence[float], *, bound_ms: float = math.inf
) -> Tally:
    """Requests with so many seconds between them. Ends early, and hangs up, once more than 1% are late."""
    connections, tally = Connections(server.served.url, None), Tally()
    due, tasks = time.perf_counter(), []
    for body, gap in zip(bodies, gaps_s, strict=True):
        due += gap
        tasks.append(asyncio.create_task(ask(connections, server.embeddings, body, due, tally)))
    waiting = set(tasks)
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=0.25)
        late = sum(value > bound_ms for value in tally.milliseconds) + tally.statuses.total() - tally.statuses[200]
        if bound_ms < math.inf and late > len(tasks) / 100:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            break
    connections.close()
    return tally


def neighbours(backend: Backend, work: Work) -> Samples:
    """Short texts at a rate, alone and while another client sends long ones, each as soon as the one before is
    answered. Parameters: `short`, `long`, `rate_per_s`, `seconds`, `seed`."""
    server, parameters = serving(backend), work.parameters["neighbours"]
    rate_per_s = float(parameters["rate_per_s"])
    gaps = [gap / rate_per_s for gap in unit_gaps(round(rate_per_s * parameters["seconds"]), int(parameters["seed"]))]
    short, long = ([server.body(text) for text in parameters[name]] for name in ("short", "long"))
    bodies = [short[i % len(short)] for i in range(len(gaps))]
    answered: list[float] = []

    async def beside() -> Tally:
        async def neighbour() -> None:
            connections = Connections(server.served.url, None)
            try:
                for place in range(10**6):
                    began = time.perf_counter()
                    status, _ = await connections.post(server.embeddings, long[place % len(long)])
                    if status != 200:
                        raise NotMeasured(f"the server answers a long text with {status}")
                    answered.append((time.perf_counter() - began) * 1e3)
            finally:
                connections.close()

        other = asyncio.create_task(neighbour())
        await asyncio.sleep(0.5)
        tally = await open_loop(server, bodies, gaps)
        other.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await other
        return tally

    asyncio.run(open_loop(server, bodies[:16], gaps[:16]))
    alone = asyncio.run(open_loop(server, bodies, gaps)).milliseconds
    together = asyncio.run(beside()).milliseconds
    return {"short_alone_ms": alone, "short_beside_ms": together, "long_beside_ms": answered}


def overload(backend: Backend, work: Work) -> Samples:
    """What the server can answer, by clients that each wait for their answers, and three times that by clients that do
    not, on a core of their own. Parameters: `filling_s`, `seconds`, `clients`, `seed`."""
    server, parameters = serving(backend), work.parameters["overload"]
    bodies = [server.body(text) for text in work.stream]
    seconds = float(parameters["seconds"])

    async def closed() -> float:
        connections, until, answered = Connections(server.served.url, None), time.perf_counter() + seconds, 0

        async def client(first: int) -> None:
            nonlocal answered
            place = first
            while time.perf_counter() < until:
                status, _ = await connections.post(server.embeddings, bodies[place % len(bodies)])
                answered += status == 200
                place += int(parameters["clients"])

        began = time.perf_counter()
        await asyncio.gather(*(client(first) for first in range(int(parameters["clients"]))))
        connections.close()
        return answered / (time.perf_counter() - began)

    def three_times(seconds: float) -> Tally:
        gaps = [gap / capacity / 3 for gap in unit_gaps(round(3 * capacity * seconds), int(parameters["seed"]))]
        return asyncio.run(open_loop(server, [bodies[i % len(bodies)] for i in range(len(gaps))], gaps))

    with apart(server):
        capacity = asyncio.run(closed())
        three_times(float(parameters["filling_s"]))  # memory for what waits, and for those who wait, is taken once
        before, began = server.served.memory_bytes(), time.perf_counter()
        tally = three_times(seconds)
        took = time.perf_counter() - began
    refused = tally.statuses[429]
    if tally.statuses.total() != refused + tally.statuses[200]:
        raise NotMeasured(f"the server answers with {dict(tally.statuses)}")
    return {
        "capacity_per_s": [capacity],
        "overload_per_s": [len(tally.milliseconds) / took],
        "overload_latency_ms": tally.milliseconds,
        "overload_refused_share": [refused / tally.statuses.total()],
        "overload_told_share": [tally.retry_after / refused if refused else 1.0],
        "overload_memory_share": [server.served.memory_bytes() / before],
    }


@contextlib.contextmanager
def apart(server: Serves) -> Iterator[None]:
    """Let the server have all cores but one, and this process that one: load comes from another machine as a rule.
    The server is to be started with as many threads. On one core they share it."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        for task in Path(f"/proc/{server.served.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores[:-1])
        os.sched_setaffinity(0, cores[-1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def single(backend: Backend, work: Work) -> Samples:
    """What a request takes beyond the pipeline's own call, milliseconds: both in turn. Of our own server; the pipeline
    itself has nothing beyond. Parameters: `rounds`."""
    import onnxpress

    if not isinstance(backend, Serves):
        return {}
    server, text = backend, next(iter(work.shapes.values()))[0][0]
    spec, line = _spec(backend), Caller(server.served.url)
    with onnxpress.pipeline(model=spec.folder, precision=spec.settings["precision"], threads=spec.threads) as pipe:
        rounds, body = int(work.parameters["single"]["rounds"]), server.body(text)
        pairs = in_turn(lambda: line.post(server.embeddings, body), lambda: pipe(text), rounds)
    line.close()
    return {"beyond_pipeline_ms": [over - itself for over, itself in pairs]}


def _spec(backend: Any) -> BackendSpec:
    spec: BackendSpec = backend.spec
    if "precision" not in spec.settings:
        raise NotMeasured("there is no pipeline beside this server")
    return spec


def streams(backend: Backend, work: Work) -> Samples:
    """Texts for so many clients at once; then some while long prompts are read. Parameters: `streams`, `seconds`,
    `new_tokens`, `long_words`, `beside`."""
    from onnxpress_bench.writing_load import clients

    server, parameters, samples = serving(backend), work.parameters["streams"], Samples()
    url, seconds, tokens = server.served.url, float(parameters["seconds"]), int(parameters["new_tokens"])
    asyncio.run(clients(url, MODEL, 1, 1.0, tokens=8, seed=999))
    for count in parameters["streams"]:
        heard, _, took = asyncio.run(clients(url, MODEL, count, seconds, tokens=tokens, seed=count))
        samples[f"streams_{count}_per_s"] = [heard.tokens / took]
        samples[f"streams_{count}_between_ms"] = heard.between_ms
    if parameters["long_words"]:
        beside, long = int(parameters["beside"]), int(parameters["long_words"])
        asked: dict[str, Any] = {"tokens": tokens, "long_words": long, "seed": 77, "more": server.each_token}
        heard, others, _ = asyncio.run(clients(url, MODEL, beside, seconds, **asked))
        samples["beside_prompt_first_ms"] = heard.first_ms
        samples["beside_prompt_between_ms"] = heard.between_ms
        samples["long_prompt_first_ms"] = others.first_ms
    # Of random weights most tokens have no text, and of a server that tells nothing else nothing is heard of them.
    return {name: values for name, values in samples.items() if values}
