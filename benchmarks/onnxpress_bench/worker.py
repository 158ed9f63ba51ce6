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
from dataclasses import asdict, replace
from typing import Any

from onnxpress_bench import resources
from onnxpress_bench.backends import Backend, BackendSpec, Batching, backend_class, plain


def prepare(job: Mapping[str, Any], entered: float) -> dict[str, Any]:
    """Downloads, conversions and checks, in a process whose memory and imports nobody counts."""
    spec = BackendSpec(**job["backend"])
    return {"backend": asdict(backend_class(spec.kind, spec.task).prepare(spec))}


def pilot(job: Mapping[str, Any], entered: float) -> dict[str, Any]:
    """Once per backend, before anything is timed: answer the quality items, find the best batching, look at sizes."""
    from onnxpress_bench.install import closure
    from onnxpress_bench.scenarios.closed import fastest_batching

    spec = BackendSpec(**job["backend"])
    backend = _loaded(spec)
    rows = spec.settings.get("rows")
    first = Batching(rows) if rows else backend.batchings[0]
    answers = [plain(answer) for answer in backend.many(job["quality"], first)] if job["quality"] else []
    batching, rates = first, dict[str, float]()
    if job["stream"] and not rows:
        batching, rates = fastest_batching(backend, job["stream"], job["budget_s"])
    installed = closure(backend.distributions)
    return {
        "answers": answers,
        "batching": asdict(batching),
        "rates": rates,
        "versions": installed.versions,
        "install_bytes": installed.size_bytes,
        "model_bytes": sum(file.stat().st_size for file in backend.model_files()),
    }


def evaluate(job: Mapping[str, Any], entered: float) -> dict[str, Any]:
    """The answers to labelled rows, in a process of its own: its calls have other arguments than those timed."""
    spec = BackendSpec(**job["backend"])
    backend = _loaded(replace(spec, options={**spec.options, **job["options"]}))
    batching = Batching(**job["batching"])
    return {"answers": [plain(answer) for answer in backend.many(job["items"], batching)]}


def operations(job: Mapping[str, Any], entered: float) -> dict[str, Any]:
    """Floating point operations of one query of each shape, and the weights' bytes, as PyTorch counts them."""
    backend: Any = _loaded(BackendSpec(**job["backend"]))
    counted = {shape: backend.operations(query) for shape, query in job["queries"].items()}
    product_bytes = next(read for _, read in counted.values())
    return {"flops": {shape: count for shape, (count, _) in counted.items()}, "product_bytes": product_bytes}


def limits(job: Mapping[str, Any], entered: float) -> dict[str, Any]:
    """The machine's own limits."""
    from onnxpress_bench.limits import measure_limits

    return asdict(measure_limits(job["threads"]))


def block(job: Mapping[str, Any], entered: float) -> dict[str, Any]:
    """Cold start, then every scenario, then the peak of memory."""
    spec = BackendSpec(**job["backend"])
    backend: Backend = backend_class(spec.kind, spec.task)(spec)
    marks = [job["spawned_at"], entered]
    memory: list[int | None] = []
    steps: list[Callable[[], Any]] = [backend.load_libraries, backend.load]
    if job["first"] is not None:
        steps.append(lambda: backend.one(job["first"]))
    for step in steps:
        step()
        marks.append(time.monotonic())
        memory.append(resources.memory_bytes())
    parts = ("python", "import", "load", "first_call")
    samples = {f"cold_{part}_s": [last - first] for part, first, last in zip(parts, marks, marks[1:], strict=False)}
    samples |= {"cold_start_s": [marks[-1] - marks[0]], "memory_first_bytes": [float(resources.peak_memory_bytes())]}
    if memory[0] is not None and memory[1] is not None:
        samples["memory_model_bytes"] = [float(max(0, memory[1] - memory[0]))]

    from onnxpress_bench.scenarios import Work, scenario

    work = Work(**{**job["work"], "batching": Batching(**job["work"]["batching"])})
    spin, start, gpu = resources.spin_ms(), resources.read(), resources.gpu_energy_j()
    for name in job["scenarios"]:
        before, begin = resources.read(), time.perf_counter()
        samples |= scenario(name)(backend, work)
        used = resources.between(before, resources.read()).get("energy_j")
        if used is not None:
            samples[f"power_{name}_w"] = [used / (time.perf_counter() - begin)]
    noise = resources.between(start, resources.read())
    after, gpu_after = resources.spin_ms(), resources.gpu_energy_j()
    noise |= {"spin_before_ms": spin, "spin_after_ms": after}
    if gpu is not None and gpu_after is not None:
        noise["gpu_energy_j"] = gpu_after - gpu
    samples["memory_peak_bytes"] = [float(resources.peak_memory_bytes())]
    group = resources.cgroup_peak_bytes()
    if group is not None:
        noise["cgroup_peak_bytes"] = float(group)
    return {"samples": {name: _rounded(some) for name, some in samples.items()}, "noise": noise}


def _rounded(samples: list[float]) -> list[float]:
    """Six significant digits: no clock here has more, and what is kept is what was reported."""
    return [float(f"{value:.6g}") for value in samples]


def serve(job: Mapping[str, Any], entered: float) -> dict[str, Any]:
    """One replica of a service: open-loop queries from a common moment on, so that replicas run side by side."""
    backend = _loaded(BackendSpec(**job["backend"]))

    from onnxpress_bench.scenarios.server import serve as run
    from onnxpress_bench.scenarios.server import unit_gaps

    batching = Batching(job["rows"])
    gaps = unit_gaps(job["queries"], job["seed"])
    items = [job["items"][i % len(job["items"])] for i in range(len(gaps))]
    for size in (1, job["rows"]):
        backend.many(items[:size], batching)
    ready = time.monotonic()
    time.sleep(max(0.0, job["start_at"] - ready))
    times, _ = run(backend, items, gaps, job["rate_per_s"], batching, bound_ms=job["bound_ms"])
    return {
        "latencies_ms": times,
        "ready_s": ready - job["spawned_at"],
        "late_s": max(0.0, ready - job["start_at"]),
        "memory_peak_bytes": resources.peak_memory_bytes(),
    }


def _loaded(spec: BackendSpec) -> Backend:
    backend = backend_class(spec.kind, spec.task)(spec)
    backend.load_libraries()
    backend.load()
    return backend


JOBS: Mapping[str, Callable[[Mapping[str, Any], float], dict[str, Any]]] = {
    "prepare": prepare,
    "pilot": pilot,
    "evaluate": evaluate,
    "operations": operations,
    "limits": limits,
    "block": block,
    "serve": serve,
}


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
