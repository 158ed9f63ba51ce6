"""Models that write or hear, measured by what their protocols in backends add.

generation: each prompt is continued greedily by so many tokens, one prompt at a time. Every gap between two tokens is a
sample, so that a stall shows in their 99th percentile. The first token takes the prompt (prefill) and is not counted as
decoding. translation, and other rewriting: every text of a batch gets exactly the same number of tokens, whatever the
model would say: the work is the same for all backends. audio: recordings are transcribed one at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from onnxpress_bench.backends import Backend, Generates, NotMeasured, Rewrites, Transcribes
from onnxpress_bench.scenarios import Samples, Work
from onnxpress_bench.scenarios.closed import rounds

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

    Parameters: `prompts`, tokens -> texts, and `new_tokens`. With tokenization "apart" the time to the first token
    starts from the ids.
    """
    if not isinstance(backend, Generates):
        raise NotMeasured("this backend does not generate text")
    parameters, apart, samples = work.parameters["generation"], work.tokenization == "apart", Samples()
    for length, prompts in parameters["prompts"].items():
        for new in parameters["new_tokens"]:
            timings = rounds(partial(timed, backend, new_tokens=new, now=now), prompts, work, now)
            first = samples.setdefault(f"first_token_{length}_ms", [])
            first += [1000 * (timing.from_ids_s if apart else timing.from_text_s) for timing in timings]
            prefill = samples.setdefault(f"prefill_{length}_per_s", [])
            prefill += [timing.prompt_tokens / timing.from_ids_s for timing in timings]
            if new > 1:
                gaps_s = [timing.gaps_s for timing in timings]
                samples[f"between_tokens_{length}_{new}_ms"] = [1000 * gap for gaps in gaps_s for gap in gaps]
                samples[f"decode_{length}_{new}_per_s"] = [len(gaps) / sum(gaps) for gaps in gaps_s]
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


def translation(backend: Backend, work: Work, now: Now = time.perf_counter) -> Samples:
    """New tokens per second, over all texts of a batch, of each batch size and number of beams.

    Parameters: `batches`, rows -> batches of texts; `beams`; `new_tokens`.
    """
    if not isinstance(backend, Rewrites):
        raise NotMeasured("this backend does not rewrite texts")
    parameters, samples = work.parameters["translation"], Samples()
    new = int(parameters["new_tokens"])

    def rate_per_s(texts: Sequence[str], beams: int) -> float:
        start = now()
        written = [len(ids) for ids in backend.rewrite(texts, beams, new)]
        took_s = now() - start
        if written != [new] * len(texts):
            raise RuntimeError(f"{written} tokens were written instead of {new} each")
        return len(texts) * new / took_s

    for rows, batches in parameters["batches"].items():
        for beams in parameters["beams"]:
            rates = rounds(partial(rate_per_s, beams=beams), batches, work, now)
            samples[f"translate_{rows}_{beams}_per_s"] = rates
    return samples


def audio(backend: Backend, work: Work, now: Now = time.perf_counter) -> Samples:
    """Seconds of work for each second of audio, the real-time factor: under 1 keeps up with a speaker.

    Parameters: `recordings`, seconds -> items of the task, whose files are read before. What is longer than a model
    hears at once is transcribed once: its first windows are little of it.
    """
    if not isinstance(backend, Transcribes):
        raise NotMeasured("this backend does not transcribe speech")
    from onnxpress_bench.workloads.speech import LONGEST_S, read_recording

    def factor(recording: tuple[Any, int]) -> float:
        start = now()
        backend.transcribe(*recording)
        return (now() - start) / (len(recording[0]) / recording[1])

    samples = {}
    for seconds, items in work.parameters["audio"]["recordings"].items():
        recordings = [(read_recording(item), int(item["rate_hz"])) for item in items]
        once = int(seconds) > LONGEST_S
        samples[f"real_time_{seconds}_factor"] = (
            list(map(factor, recordings)) if once else rounds(factor, recordings, work, now)
        )
    return samples
