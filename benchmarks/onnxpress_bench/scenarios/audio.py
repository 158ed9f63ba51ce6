"""Audio: how long recordings of each length take to transcribe, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from onnxpress_bench.backends import Backend, Transcribes
from onnxpress_bench.scenarios import Samples, Work
from onnxpress_bench.scenarios.closed import warm_up


def audio(backend: Backend, work: Work, now: Callable[[], float] = time.perf_counter) -> Samples:
    """Seconds of work for each second of audio, the real-time factor: under 1 keeps up with a speaker.

    Parameters: `recordings`, seconds -> items of the task. Files are read before; a length's recordings are gone
    through whole, as often as time allows.
    """
    if not isinstance(backend, Transcribes):
        raise NotImplementedError("this backend does not transcribe speech")
    from onnxpress_bench.workloads.speech import read_recording

    samples: Samples = {}
    for seconds, items in work.parameters["audio"]["recordings"].items():
        recordings = [(read_recording(item), int(item["rate_hz"])) for item in items]
        warm_up(lambda recording: backend.transcribe(*recording), recordings, work.warm_up_s)
        factors: list[float] = []
        end = now() + work.latency_s
        while not factors or now() < end:
            for recording, rate_hz in recordings:
                start = now()
                backend.transcribe(recording, rate_hz)
                factors.append((now() - start) / (len(recording) / rate_hz))
        samples[f"real_time_{seconds}_factor"] = factors
    return samples
