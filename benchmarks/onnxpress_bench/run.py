"""The whole comparison, readable on one screen: pilots, then blocks in random order, then the record.

This process imports neither torch nor onnxruntime: everything measured happens in workers. It prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress import Artifact, MissingDependency
from onnxpress.artifact import choose_precision
from onnxpress.machine import usable_cores
from onnxpress.schema import encode
from onnxpress_bench.backends import BackendSpec, Batching
from onnxpress_bench.comparison import BASE, Comparison, Failure, Run, Settings
from onnxpress_bench.errors import BenchError, WorkerFailed
from onnxpress_bench.inputs import OPTIONS, Inputs, make_inputs
from onnxpress_bench.machine import describe_machine, versions
from onnxpress_bench.process import ask
from onnxpress_bench.quality import compare_answers
from onnxpress_bench.scenarios import SCENARIOS

#: Called before each worker with what it does, how many are done and how many there will be.
Progress = Callable[[str, int, int], None]

QUALITY_ITEMS = 32
MIN_STREAM_ITEMS = 32
PILOT_S = 2.0

_EXTRAS: Mapping[str, str] = {"psutil": "bench", "torch": "export", "transformers": "export", "onnxruntime": "cpu"}


@dataclass(frozen=True, slots=True)
class Trust:
    """What the user allows when the checkpoint is opened."""

    allow_pickled_weights: bool = False
    trust_remote_code: bool = False


def settings_for(quick: bool, blocks: int | None, threads: int | None, seed: int) -> Settings:
    """The usual durations, or the short ones."""
    chosen = threads or usable_cores()
    if quick:
        return Settings(blocks or 5, latency_s=0.5, warm_up_s=1.0, stream_s=2.0, threads=chosen, seed=seed)
    return Settings(blocks or 10, latency_s=2.0, warm_up_s=3.0, stream_s=6.0, threads=chosen, seed=seed)


def run(
    artifact: Artifact,
    checkpoint: str | None,
    settings: Settings,
    *,
    precisions: Sequence[str] = (),
    trust: Trust | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Comparison:
    """Measure `artifact`'s variants and PyTorch.

    Args:
        checkpoint: folder or Hub id of the PyTorch model; None: the one that the artifact was made from.
        precisions: variants to measure; empty: all that are there.

    Raises:
        BenchError: the checkpoint is not there, or no backend could be measured.
        MissingDependency: psutil, torch, transformers or onnxruntime is not installed.
        KeyboardInterrupt: before anything was measured. After that, the record says `interrupted`.
    """
    check_installed()
    show = progress or _silent
    specs = [_pytorch(artifact, checkpoint, settings, trust or Trust()), *_variants(artifact, precisions, settings)]
    inputs = make_inputs(artifact, settings.seed)
    created, machine = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), describe_machine()
    total = len(specs) * (1 + settings.blocks)

    failures: list[Failure] = []
    pilots: dict[str, dict[str, Any]] = {}
    for done, spec in enumerate(specs):
        show(f"{spec.name}: checking answers", done, total)
        try:
            pilots[spec.name] = _pilot(spec, inputs, settings)
        except WorkerFailed as error:
            failures.append(Failure(spec.name, None, str(error)))
    if not pilots:
        raise BenchError("Nothing could be measured. " + " ".join(f"{one.backend}: {one.message}." for one in failures))

    stream = inputs.stream[: _stream_items(pilots, settings)]
    order, runs, interrupted = [], [], False
    dice = np.random.default_rng(settings.seed)
    try:
        for block in range(settings.blocks):
            order.append([str(name) for name in dice.permutation([n for n in pilots if not _failed(n, failures)])])
            for name in order[-1]:
                done = len(specs) * (1 + block) + order[-1].index(name)
                show(f"{name}: block {block + 1} of {settings.blocks}", done, total)
                try:
                    runs.append(Run(name, block, _block(pilots[name], inputs, stream, settings)))
                except WorkerFailed as error:
                    failures.append(Failure(name, block, str(error)))
    except KeyboardInterrupt:
        if not runs:
            raise
        interrupted = True
    show("done", total, total)

    return Comparison(
        task=artifact.manifest.task,
        artifact=str(artifact.folder),
        checkpoint=specs[0].folder,
        same_weights=_same_weights(artifact, pilots),
        command=command,
        created=created,
        machine=machine,
        versions=versions(),
        settings=settings,
        unit=inputs.unit,
        stream_items=len(stream),
        tokens=inputs.tokens,
        backends=[spec.name for spec in specs],
        batchings={name: str(Batching(**pilot["batching"])) for name, pilot in pilots.items()},
        rates={name: pilot["rates"] for name, pilot in pilots.items()},
        quality=_quality(artifact.manifest.task, pilots),
        order=order,
        runs=runs,
        failures=failures,
        interrupted=interrupted,
    )


def _silent(title: str, done: int, total: int) -> None:
    """No progress shown."""


def check_installed() -> None:
    """Raises MissingDependency, naming the `pip install`, if something that is measured with is absent."""
    for package, extra in _EXTRAS.items():
        if find_spec(package) is None:
            raise MissingDependency(f"`onnxpress bench` needs {package}: `pip install 'onnxpress[{extra}]'`.")


def _pytorch(artifact: Artifact, checkpoint: str | None, settings: Settings, trust: Trust) -> BackendSpec:
    manifest, provenance = artifact.manifest, artifact.manifest.provenance
    source = provenance.source if checkpoint is None else checkpoint
    # A source without a commit was a folder; were it taken for a Hub id now, a stranger's model would be measured.
    if checkpoint is None and provenance.commit is None and not Path(source).is_dir():
        raise BenchError(
            f"{artifact.folder} was made from the folder {source}, which is not here. Name the PyTorch checkpoint with "
            "--checkpoint FOLDER_OR_HUB_ID."
        )
    post, tokenizer = manifest.postprocessing, manifest.tokenizer
    own = {
        "revision": (provenance.commit or provenance.revision) if checkpoint is None else None,
        "architecture": manifest.architecture,
        "has_head": "head" in manifest.graphs,
        "embedding": encode(post.embedding),
        "function_to_apply": post.function_to_apply,
        "max_length": tokenizer and tokenizer.max_length,
        **asdict(trust),
    }
    return _spec(artifact, BASE, "pytorch", source, settings, own)


def _variants(artifact: Artifact, precisions: Sequence[str], settings: Settings) -> list[BackendSpec]:
    """One backend for each precision asked for, or for each whose files are there."""
    manifest, folder = artifact.manifest, artifact.folder
    for precision in precisions:
        choose_precision(manifest, precision)
    present = [
        precision
        for precision, variant in manifest.variants.items()
        if all((folder / files.file).is_file() for files in variant.graphs.values())
    ]
    return [
        _spec(artifact, f"onnxpress {precision}", "onnxpress", str(folder), settings, {"precision": precision})
        for precision in (dict.fromkeys(precisions) or present)
    ]


def _spec(
    artifact: Artifact, name: str, kind: str, folder: str, settings: Settings, own: Mapping[str, Any]
) -> BackendSpec:
    task = artifact.manifest.task
    return BackendSpec(name, kind, task, folder, settings.threads, OPTIONS.get(task, {}), own)


def _pilot(spec: BackendSpec, inputs: Inputs, settings: Settings) -> dict[str, Any]:
    job = {
        "do": "pilot",
        "backend": asdict(spec),
        "quality": inputs.stream[:QUALITY_ITEMS],
        "stream": inputs.stream,
        "budget_s": PILOT_S,
    }
    # The one worker that may ask the Hub.
    return ask(job, threads=settings.threads, offline=False)


def _block(pilot: Mapping[str, Any], inputs: Inputs, stream: Sequence[Any], settings: Settings) -> dict[str, Any]:
    work = {
        "by_length": inputs.by_length,
        "stream": stream,
        "batching": pilot["batching"],
        "latency_s": settings.latency_s,
        "warm_up_s": settings.warm_up_s,
    }
    first = next(iter(inputs.by_length.values()))[0]
    job = {"do": "block", "backend": pilot["backend"], "first": first, "work": work, "scenarios": list(SCENARIOS)}
    samples: dict[str, Any] = ask(job, threads=settings.threads)["samples"]
    return samples


def _same_weights(artifact: Artifact, pilots: Mapping[str, Mapping[str, Any]]) -> bool | None:
    found = pilots[BASE]["backend"]["settings"]["weights_sha256"] if BASE in pilots else None
    return None if found is None else bool(found == artifact.manifest.provenance.weights_sha256)


def _stream_items(pilots: Mapping[str, Mapping[str, Any]], settings: Settings) -> int:
    """As many as the slowest backend, at its best batching, runs in the time for the stream."""
    slowest = min(max(pilot["rates"].values()) for pilot in pilots.values())
    return max(MIN_STREAM_ITEMS, int(slowest * settings.stream_s))


def _failed(name: str, failures: Sequence[Failure]) -> bool:
    return any(failure.backend == name for failure in failures)


def _quality(task: str, pilots: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    if BASE not in pilots:
        return {}
    reference = pilots[BASE]["answers"]
    return {name: compare_answers(task, reference, one["answers"]) for name, one in pilots.items() if name != BASE}
