"""Translation, and other rewriting: how long batches of texts take to be rewritten, greedily and by beam search.

Every text gets exactly the same number of tokens, whatever the model would say: the work is the same for all backends.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from onnxpress_bench.backends import Backend, Rewrites
from onnxpress_bench.scenarios import Samples, Work
from onnxpress_bench.scenarios.closed import warm_up


def translation(backend: Backend, work: Work, now: Callable[[], float] = time.perf_counter) -> Samples:
    """New tokens per second, over all texts of a batch, of each batch size and number of beams.

    Parameters: `batches`, rows -> batches of texts; `beams`; `new_tokens`. A size's batches are gone through whole, as
    often as time allows.
    """
    if not isinstance(backend, Rewrites):
        raise NotImplementedError("this backend does not rewrite texts")
    parameters, samples = work.parameters["translation"], Samples()
    new = parameters["new_tokens"]
    for rows, batches in parameters["batches"].items():
        for beams in parameters["beams"]:

            def run(texts: list[str], beams: int = beams) -> list[list[int]]:
                return backend.rewrite(texts, beams, new)

            warm_up(run, batches, work.warm_up_s)
            rates: list[float] = []
            end = now() + work.latency_s
            while not rates or now() < end:
                for texts in batches:
                    start = now()
                    written = [len(ids) for ids in run(texts)]
                    took = now() - start
                    if written != [new] * len(texts):
                        raise RuntimeError(f"{written} tokens were written instead of {new} each")
                    rates.append(len(texts) * new / took)
            samples[f"translate_{rows}_{beams}_per_s"] = rates
    return samples
