"""The whole comparison, readable on one screen: pilots, then blocks in random order, then the record.

This process imports neither torch nor onnxruntime: everything measured happens in workers. It prints nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.engine.machine import usable_cores
from onnxpress.format.schema import decode
from onnxpress_bench import environments
from onnxpress_bench.answers import compare_answers
from onnxpress_bench.backends import BackendSpec, Batching, Kind, kind_of
from onnxpress_bench.comparison import BASE, BackendInfo, Comparison, Failure, Run, Settings
from onnxpress_bench.errors import BenchError, WorkerFailed
from onnxpress_bench.limits import Limits
from onnxpress_bench.machine import describe_machine, versions
from onnxpress_bench.padding import padding_share
from onnxpress_bench.process import OURS, Interpreter, ask
from onnxpress_bench.subject import Subject
from onnxpress_exporter.judging.metrics import score

#: Called before each worker with what it does, how many are done and how many there will be.
Progress = Callable[[str, int, int], None]

QUALITY_ITEMS = 32
MIN_STREAM_ITEMS = 16
PILOT_S = 2.0

#: Scenarios that take the stream of mixed lengths, and so need to know how fast each backend is with it.
_STREAMED = frozenset({"mixed", "offline", "server", "rate", "overload"})


def settings_for(quick: bool, blocks: int | None = None, threads: int | None = None, seed: int = 0) -> Settings:
    """The usual durations, or the short ones."""
    chosen = threads or usable_cores()
    if quick:
        return Settings(blocks or 5, 0.5, 1.0, 2.0, threads=chosen, seed=seed, control=False, server_queries=100)
    return Settings(blocks or 10, 2.0, 3.0, 6.0, threads=chosen, seed=seed)


def run(
    subject: Subject,
    settings: Settings,
    *,
    command: str = "",
    measure_limits: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Measure a subject's backends.

    Raises:
        BenchError: no backend could be measured.
        KeyboardInterrupt: before anything was measured. After that, the record says `interrupted`.
    """
    with ExitStack() as stack:
        return _Bench(subject, settings, progress or _silent, stack).run(command, measure_limits)


class _Bench:
    """One run at work: what its steps share."""

    def __init__(self, subject: Subject, settings: Settings, show: Progress, stack: ExitStack) -> None:
        self._subject, self._settings, self._show = subject, settings, show
        self._packages = stack.enter_context(environments.packages_folder())
        self._specs = list(subject.specs)
        self._base = next((spec.name for spec in self._specs if spec.name == BASE), self._specs[0].name)
        self._copies: dict[str, str] = {}
        if settings.control:
            # The copy is of a backend that is quick, for it costs as much again.
            original = next((spec for spec in self._specs if spec.kind == "onnxpress"), self._specs[-1])
            self._copies = {f"{original.name} (control)": original.name}
            self._specs += [replace(original, name=name) for name in self._copies]
        self._failures: list[Failure] = []
        self._pilots: dict[str, dict[str, Any]] = {}

    def run(self, command: str, measure_limits: bool) -> Comparison:
        created, machine = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), describe_machine()
        self._steps = len(self._specs) * (1 + self._settings.blocks) + measure_limits
        limits = self._limits() if measure_limits else None
        self._pilot_all()
        if not self._pilots:
            reasons = " ".join(f"{failure.backend}: {failure.message}." for failure in self._failures)
            raise BenchError(f"Nothing could be measured. {reasons}")
        flops, product_bytes = self._flops()
        count = self._stream_items()
        order, runs, interrupted = self._blocks(count)
        subject = self._subject
        return Comparison(
            task=subject.task,
            model=subject.model,
            checkpoint=subject.checkpoint,
            same_weights=self._same_weights(),
            command=command,
            created=created,
            machine=machine,
            versions=versions(),
            settings=self._settings,
            base=self._base,
            unit=subject.inputs.unit,
            stream_items=count,
            tokens=subject.inputs.tokens,
            flops=flops,
            product_bytes=product_bytes,
            limits=limits,
            backends=tuple(self._info(spec, count) for spec in self._specs),
            order=order,
            runs=runs,
            failures=tuple(self._failures),
            interrupted=interrupted,
            cache_bytes=subject.settings.get("cache_bytes"),
        )

    # The steps.

    def _limits(self) -> Limits | None:
        self._show("the machine's limits", 0, self._steps)
        threads = self._settings.threads
        try:
            return decode(Limits, ask({"do": "limits", "threads": threads}, threads=threads), "limits")
        except WorkerFailed as error:
            self._failures.append(Failure("limits", None, str(error)))
            return None

    def _pilot_all(self) -> None:
        """One process to prepare and one to look, for each backend; a copy takes over what its original found."""
        for done, spec in enumerate(self._specs):
            original = self._copies.get(spec.name)
            if original is not None:
                if original in self._pilots:
                    self._pilots[spec.name] = self._pilots[original]
                continue
            self._show(f"{spec.name}: checking answers", done, self._steps)
            try:
                self._pilots[spec.name] = self._pilot(spec)
            except BenchError as error:  # a worker that failed, or an environment that is not there
                self._failures.append(Failure(spec.name, None, str(error)))

    def _pilot(self, spec: BackendSpec) -> dict[str, Any]:
        """Answers, batchings and sizes of a backend; with labelled rows the task's own metric, too."""
        ask = self._asker(spec)
        # The one worker that may ask the Hub.
        backend = ask({"do": "prepare", "backend": asdict(self._located(spec))}, offline=False)["backend"]
        inputs, evaluation = self._subject.inputs, self._subject.evaluation
        streamed = bool(_STREAMED & set(self._settings.scenarios))
        quality, stream = inputs.judged or inputs.stream[:QUALITY_ITEMS], inputs.stream if streamed else []
        job = {"do": "pilot", "backend": backend, "quality": quality, "stream": stream, "budget_s": PILOT_S}
        pilot = {"backend": backend, "scores": {}, **ask(job)}
        if evaluation is not None:
            asked = {"items": evaluation.items, "options": evaluation.options}
            rows = ask({"do": "evaluate", "backend": backend, "batching": pilot["batching"], **asked})["answers"]
            pilot["scores"] = score(evaluation, rows)
        return pilot

    def _asker(self, spec: BackendSpec) -> Callable[..., Any]:
        """Asks a worker in the backend's own environment."""
        peer = _kind(spec).peer
        interpreter = OURS if peer is None else Interpreter(environments.interpreter(peer), self._packages)
        return partial(ask, threads=self._settings.threads, interpreter=interpreter)

    def _located(self, spec: BackendSpec) -> BackendSpec:
        """A peer is given the checkpoint's own folder, and one of its own for what it converts."""
        kind = _kind(spec)
        store = environments.home() / "models"
        if kind.peer is None:
            origin = "artifacts" if kind.reads == "artifact" else "adapted"
            return replace(spec, workspace=str(store / origin / spec.kind.replace(":", ".").partition("-")[0]))
        if not hasattr(self, "_resolved"):
            adapted = str(store / "adapted" / BASE)
            plain = replace(spec, name="checkpoint", kind=BASE, workspace=adapted)
            job = {"do": "prepare", "backend": asdict(plain)}
            self._resolved: dict[str, Any] = ask(job, threads=1, offline=False)["backend"]
        folder, settings = self._resolved["folder"], self._resolved["settings"]
        workspace = store / f"{_fingerprint(Path(folder), settings['fingerprint'])}-{spec.task}" / spec.kind
        workspace.parent.mkdir(parents=True, exist_ok=True)
        return replace(spec, folder=folder, workspace=str(workspace), settings={**settings, **spec.settings})

    def _flops(self) -> tuple[dict[str, float], float | None]:
        """PyTorch's count; without PyTorch there is none."""
        if BASE not in self._pilots or not self._subject.inputs.shapes:
            return {}, None
        queries = {shape: some[0] for shape, some in self._subject.inputs.shapes.items()}
        job = {"do": "operations", "backend": self._pilots[BASE]["backend"], "queries": queries}
        try:
            counts = ask(job, threads=self._settings.threads)
        except WorkerFailed:
            return {}, None  # an architecture that cannot be switched to the countable kernel: nothing else is lost
        return counts["flops"], counts["product_bytes"]

    def _blocks(self, count: int) -> tuple[tuple[tuple[str, ...], ...], tuple[Run, ...], bool]:
        settings, order, runs = self._settings, [], []
        dice = np.random.default_rng(settings.seed)
        try:
            for block in range(settings.blocks):
                failed = {failure.backend for failure in self._failures}
                names = [name for name in self._pilots if name not in failed and self._copies.get(name) not in failed]
                order.append(tuple(str(name) for name in dice.permutation(names)))
                for place, name in enumerate(order[-1]):
                    done = len(self._specs) * (1 + block) + place
                    self._show(f"{name}: block {block + 1} of {settings.blocks}", done, self._steps)
                    try:
                        runs.append(self._block(name, block, count))
                    except WorkerFailed as error:
                        self._failures.append(Failure(name, block, str(error)))
        except KeyboardInterrupt:
            if not runs:
                raise
            self._show("interrupted", self._steps, self._steps)
            return tuple(order), tuple(runs), True
        self._show("done", self._steps, self._steps)
        return tuple(order), tuple(runs), False

    def _block(self, name: str, block: int, count: int) -> Run:
        settings, inputs, pilot = self._settings, self._subject.inputs, self._pilots[name]
        server = {
            "queries": settings.server_queries,
            "seed": settings.seed,
            "rate_per_s": settings.server_rate_per_s,
            "p99_ms": settings.server_p99_ms,
        }
        job = {
            "do": "block",
            "backend": pilot["backend"],
            "first": inputs.first,
            "scenarios": settings.scenarios,
            "work": {
                "shapes": inputs.shapes,
                "stream": inputs.stream[:count],
                "uniform": inputs.uniform[: max(8, count // 4)],
                "batching": pilot["batching"],
                "latency_s": settings.latency_s,
                "warm_up_s": settings.warm_up_s,
                "tokenization": settings.tokenization,
                "parameters": {"server": server, **inputs.parameters},
            },
        }
        answer = self._asker(BackendSpec(**pilot["backend"]))(job)
        return Run(name, block, {key: tuple(some) for key, some in answer["samples"].items()}, answer["noise"])

    # What is known besides.

    def _info(self, spec: BackendSpec, count: int) -> BackendInfo:
        info = BackendInfo(spec.name, spec.kind, _kind(spec).about, control_of=self._copies.get(spec.name))
        pilot, inputs = self._pilots.get(spec.name), self._subject.inputs
        if pilot is None:
            return info
        batching, padding = Batching(**pilot["batching"]), None
        if "mixed" in self._settings.scenarios:
            padding = padding_share(spec, batching, inputs.stream[:count], inputs.stream_tokens)
        known = {name: pilot[name] for name in ("rates", "versions", "model_bytes", "install_bytes")}
        return replace(info, batching=str(batching), quality=self._quality(spec.name), padding_share=padding, **known)

    def _quality(self, name: str) -> Mapping[str, float | None]:
        answers, figures = self._pilots[name]["answers"], dict(self._pilots[name]["scores"])
        if self._base in self._pilots and name != self._base and answers:
            figures = compare_answers(self._subject.task, self._pilots[self._base]["answers"], answers) | figures
        return {figure: value if math.isfinite(value) else None for figure, value in figures.items()}

    def _stream_items(self) -> int:
        """As many as the slowest backend, at its best batching, runs in the time for the stream."""
        rates = [max(pilot["rates"].values()) for pilot in self._pilots.values() if pilot["rates"]]
        wanted = int(min(rates, default=0) * self._settings.stream_s)
        return min(max(MIN_STREAM_ITEMS, wanted), len(self._subject.inputs.stream))

    def _same_weights(self) -> bool | None:
        settings = self._pilots[BASE]["backend"]["settings"] if BASE in self._pilots else {}
        measured, expected = settings.get("weights_sha256"), self._subject.weights_sha256
        return None if measured is None or expected is None else bool(measured == expected)


def _kind(spec: BackendSpec) -> Kind:
    kind = kind_of(spec.kind)
    assert kind is not None  # the spec was made from it
    return kind


def _fingerprint(folder: Path, weights_sha256: str | None) -> str:
    """Of all that a conversion is made from: the weights, or when their files were written, and what is beside."""
    digest = sha256((weights_sha256 or "").encode())
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        small = file.suffix in (".json", ".model", ".txt", ".py")
        known = file.stat()
        content = (
            file.read_bytes() if small else f"{known.st_size} {0 if weights_sha256 else known.st_mtime_ns}".encode()
        )
        digest.update(file.name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]


def _silent(title: str, done: int, total: int) -> None:
    """No progress shown."""
