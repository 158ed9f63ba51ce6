"""One fresh process: a job as JSON on standard input, its answer as JSON on the last line of standard output.

A failure ends with exit code 1 and its reason on the last line of standard error. Nothing but the standard library
is imported before the backend's own libraries, so that the cold start is the backend's alone.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import Backend, BackendSpec, Batching, backend_class, plain


def pilot(job: Mapping[str, Any], entered: float) -> dict[str, Any]:
    """Once per backend, before anything is timed: prepare, answer the quality items, find the best batching."""
    from onnxpress_bench.scenarios import fastest_batching

    spec = BackendSpec(**job["backend"])
    kind = backend_class(spec.kind)
    spec = kind.prepare(spec)
    backend = kind(spec)
    backend.load_libraries()
    backend.load()
    answers = [plain(answer) for answer in backend.many(job["quality"], backend.batchings[0])]
    batching, rates = fastest_batching(backend, job["stream"], job["budget_s"])
    return {"backend": asdict(spec), "answers": answers, "batching": asdict(batching), "rates": rates}


def block(job: Mapping[str, Any], entered: float) -> dict[str, Any]:
    """Cold start, then every scenario, then the peak of memory."""
    spec = BackendSpec(**job["backend"])
    backend: Backend = backend_class(spec.kind)(spec)
    marks = [job["spawned_at"], entered]
    steps: tuple[Callable[[], Any], ...] = (backend.load_libraries, backend.load, lambda: backend.one(job["first"]))
    for step in steps:
        step()
        marks.append(time.monotonic())
    parts = ("python", "import", "load", "first_call")
    samples = {f"cold_{part}_s": [marks[i + 1] - marks[i]] for i, part in enumerate(parts)}
    samples |= {"cold_start_s": [marks[-1] - marks[0]], "memory_first_bytes": [float(peak_memory_bytes())]}

    from onnxpress_bench.scenarios import SCENARIOS, Work

    work = Work(**{**job["work"], "batching": Batching(**job["work"]["batching"])})
    for scenario in job["scenarios"]:
        samples |= SCENARIOS[scenario](backend, work)
    samples["memory_peak_bytes"] = [float(peak_memory_bytes())]
    return {"samples": samples}


JOBS: Mapping[str, Callable[[Mapping[str, Any], float], dict[str, Any]]] = {"pilot": pilot, "block": block}


def peak_memory_bytes() -> int:
    """The most memory that this process has had resident.

    Linux's `ru_maxrss` will not do: it starts with the peak of the process that started this one. VmHWM starts anew.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> int:
    """Do the job; the exit code."""
    entered = time.monotonic()
    job = json.load(sys.stdin)
    try:
        answer = JOBS[job["do"]](job, entered)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        traceback.print_exc()
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        sys.stderr.write(f"{type(error).__name__}: {' '.join(lines)[:500]}\n")
        return 1
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
