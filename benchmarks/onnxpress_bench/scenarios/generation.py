"""Generation: how long a prompt's first token takes, and every token after it.

Each prompt is continued greedily by so many tokens, one prompt at a time. Every gap between two tokens is a sample, so
that a stall shows in their 99th percentile. The first token takes the prompt (prefill) and is not counted as decoding.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from onnxpress_bench.backends import Backend, Generates
from onnxpress_bench.scenarios import Samples, Work
from onnxpress_bench.scenarios.closed import warm_up

Now = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Timing:
    """One continuation: seconds from the text, and from its ids, to the first token, and between tokens."""

    prompt_tokens: int
    from_text_s: float
    from_ids_s: float
    gaps_s: tuple[float, ...]


def generation(backend: Backend, work: Work, now: Now = time.perf_counter) -> Samples:
    """Prompts of each length, continued to each length: the time to the first token, the gaps, and tokens per second.

    Parameters: `prompts`, tokens -> texts, and `new_tokens`. Each length's prompts are gone through whole, as often as
    time allows. With tokenization "apart" the time to the first token starts from the ids.
    """
    if not isinstance(backend, Generates):
        raise NotImplementedError("this backend does not generate text")
    parameters, apart, samples = work.parameters["generation"], work.tokenization == "apart", Samples()
    for length, prompts in parameters["prompts"].items():
        for new in parameters["new_tokens"]:
            run = partial(timed, backend, new_tokens=new, now=now)
            warm_up(run, prompts, work.warm_up_s)
            timings: list[Timing] = []
            end = now() + work.latency_s
            while not timings or now() < end:
                timings += [run(text) for text in prompts]
            first = samples.setdefault(f"first_token_{length}_ms", [])
            first += [1000 * (timing.from_ids_s if apart else timing.from_text_s) for timing in timings]
            prefill = samples.setdefault(f"prefill_{length}_per_s", [])
            prefill += [timing.prompt_tokens / timing.from_ids_s for timing in timings]
            if new > 1:
                samples[f"between_tokens_{length}_{new}_ms"] = [
                    1000 * gap for timing in timings for gap in timing.gaps_s
                ]
                samples[f"decode_{length}_{new}_per_s"] = [
                    len(timing.gaps_s) / sum(timing.gaps_s) for timing in timings
                ]
    return samples


def timed(backend: Generates, text: str, new_tokens: int, now: Now = time.perf_counter) -> Timing:
    """Continue one text."""
    start = now()
    prompt = backend.encode(text)
    encoded = now()
    marks = [now() for _ in backend.generate(prompt, new_tokens)]
    if len(marks) != new_tokens:
        raise RuntimeError(f"{len(marks)} tokens were generated instead of {new_tokens}")
    gaps = tuple(later - earlier for earlier, later in pairwise(marks))
    return Timing(len(prompt), marks[0] - start, marks[0] - encoded, gaps)
