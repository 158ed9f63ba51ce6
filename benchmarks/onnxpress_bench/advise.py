"""Which precision, threads, batches and replicas serve a demand on this machine: tried, not guessed.

A demand is a rate of requests and a bound on the 99th percentile of their latency. Candidates are tried as a service
would run them: replicas are processes side by side, requests arrive by a Poisson process, each replica with its share
of the rate, and latency counts from the intended arrival. Those that hold are pushed to their highest rate; the one
with most room wins, and is confirmed with other arrivals. Nothing is printed here, and nothing measured in this
process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from onnxpress import Artifact
from onnxpress.engine.machine import usable_cores
from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.errors import BenchError, WorkerFailed
from onnxpress_bench.machine import Machine, describe_machine
from onnxpress_bench.process import Worker
from onnxpress_bench.statistics import percentile
from onnxpress_bench.subject import check_installed, precisions_of
from onnxpress_bench.workloads.texts import OPTIONS, make_texts

#: Called before each trial with what it tries, how many are done and how many there will be at most.
Progress = Callable[[str, int, int], None]

#: Requests that wait are taken together up to so many rows, in batches of so many padded tokens.
BATCHES: Sequence[tuple[int, int]] = ((1, 512), (8, 512), (16, 1024))

#: Requests of one trial: enough for a 99th percentile, and not endlessly many.
FEWEST, MOST = 120, 4000

#: The highest rate is found to this factor.
PRECISION = 1.1

#: How many candidates are pushed to their highest rate, and how often the winner is confirmed.
FINALISTS, CONFIRMATIONS = 2, 3


@dataclass(frozen=True, slots=True)
class Demand:
    """`lengths`: of the requests' texts, as for `onnxpress bench --lengths`."""

    rate_per_s: float
    p99_ms: float
    lengths: str = "mixed"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """`replicas` processes with `threads` each; a replica takes up to `rows` waiting requests at once, and computes
    them in batches of at most `budget_tokens` padded tokens."""

    precision: str
    replicas: int
    threads: int
    rows: int
    budget_tokens: int

    def __str__(self) -> str:
        batch = "one at a time" if self.rows == 1 else f"up to {self.rows} together, budget {self.budget_tokens} tokens"
        return f"{self.precision}, {self.replicas} x {self.threads} threads, {batch}"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a candidate did at a rate. `within`: at least 99% of requests were answered within the bound; a trial that
    is lost ends early, so that its percentiles are lower bounds. `failure`: why it could not run."""

    candidate: Candidate
    rate_per_s: float
    within: bool
    requests: int = 0
    quickest_ms: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    memory_bytes: int | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """`best` None: no candidate meets the demand on this machine; then `highest_per_s` is the most that any of them
    sustains within the bound, 0 if the bound itself is out of reach. `trials`: the evidence, in the order it was
    taken; `confirmations`: of the winner, with other arrivals."""

    demand: Demand
    machine: Machine
    best: Candidate | None
    highest_per_s: float
    trials: tuple[Trial, ...]
    confirmations: tuple[Trial, ...]
    interrupted: bool = False


def advise(
    artifact: Artifact,
    demand: Demand,
    *,
    precisions: Sequence[str] = (),
    cores: int | None = None,
    trial_s: float = 8.0,
    progress: Progress | None = None,
) -> Advice:
    """Try the candidates and choose.

    Args:
        trial_s: how long requests arrive in one trial, at the demanded rate.

    Raises:
        BenchError: no candidate could run at all.
        MissingDependency: psutil or onnxruntime is not installed.
    """
    check_installed(("psutil", "jinja2", "onnxruntime"))
    inputs = make_texts(artifact, demand.seed, shapes=(), lengths=demand.lengths)
    tried = candidates(precisions_of(artifact, precisions), cores or usable_cores())
    show = progress or (lambda title, done, total: None)
    return _Trials(artifact, demand, inputs.stream, trial_s, show).choose(tried)


def candidates(precisions: Sequence[str], cores: int) -> list[Candidate]:
    """Every way to share the cores evenly among replicas, with every way to batch."""
    shares = [(replicas, cores // replicas) for replicas in range(1, cores + 1) if cores % replicas == 0]
    return [
        Candidate(precision, replicas, threads, rows, budget)
        for precision in precisions
        for replicas, threads in shares
        for rows, budget in BATCHES
    ]


class _Trials:
    """The trials of one demand."""

    def __init__(
        self, artifact: Artifact, demand: Demand, items: Sequence[object], trial_s: float, show: Progress
    ) -> None:
        self._artifact, self._demand, self._items, self._trial_s, self._show = artifact, demand, items, trial_s, show
        self._trials: list[Trial] = []
        self._load_s = 3.0
        self._total = 0

    def choose(self, tried: Sequence[Candidate]) -> Advice:
        machine = describe_machine()
        self._total = len(tried) + FINALISTS * 6 + CONFIRMATIONS
        confirmations: list[Trial] = []
        best, highest, interrupted = None, 0.0, False
        try:
            first = [self.trial(candidate, self._demand.rate_per_s) for candidate in tried]
            if all(trial.failure for trial in first):
                raise BenchError(f"Nothing could be tried. {first[0].candidate}: {first[0].failure}.")
            holding = [trial for trial in first if trial.within]
            # Of those that were lost, the one that lasted longest came nearest.
            lost = sorted((trial for trial in first if not trial.failure), key=lambda trial: -trial.requests)
            order = sorted(holding, key=lambda trial: trial.p99_ms or math.inf) or lost
            rates = {trial.candidate: self.highest(trial) for trial in order[:FINALISTS]}
            winner = max(rates, key=lambda candidate: (rates[candidate], -candidate.replicas))
            highest = rates[winner]
            if holding:
                best = winner
                seeds = range(self._demand.seed + 1, self._demand.seed + 1 + CONFIRMATIONS)
                confirmations = [self.trial(best, self._demand.rate_per_s, seed) for seed in seeds]
        except KeyboardInterrupt:
            if not self._trials:
                raise
            interrupted = True
        self._show("done", self._total, self._total)
        return Advice(self._demand, machine, best, highest, tuple(self._trials), tuple(confirmations), interrupted)

    def highest(self, known: Trial) -> float:
        """The highest rate that a candidate sustains, from what it did at the demanded one; 0: not even an eighth of
        it."""
        if known.quickest_ms is not None and known.quickest_ms > self._demand.p99_ms:
            return 0.0  # not even a request that met no other was in time
        low, high = (known.rate_per_s, math.inf) if known.within else (0.0, known.rate_per_s)
        for _ in range(6):
            # Outward in steps until one rate held and one was lost, then halfway between them.
            rate = low * 1.5 if math.isinf(high) else math.sqrt(low * high) if low else high / 1.6
            if high <= low * PRECISION or rate < known.rate_per_s / 64:
                break
            if self.trial(known.candidate, rate).within:
                low = rate
            else:
                high = rate
        return low

    def trial(self, candidate: Candidate, rate_per_s: float, seed: int | None = None) -> Trial:
        self._show(f"{candidate} at {rate_per_s:.4g}/s", min(len(self._trials), self._total), self._total)
        seed = self._demand.seed if seed is None else seed
        trial = self._run(candidate, rate_per_s, seed)
        self._trials.append(trial)
        return trial

    def _run(self, candidate: Candidate, rate_per_s: float, seed: int) -> Trial:
        requests = int(min(max(rate_per_s * self._trial_s, FEWEST), MOST))
        each = max(1, requests // candidate.replicas)
        job = {
            "do": "serve",
            "backend": asdict(self._spec(candidate)),
            "queries": each,
            "rows": candidate.rows,
            "rate_per_s": rate_per_s / candidate.replicas,
            "bound_ms": self._demand.p99_ms,
            # Replicas begin together, once the slowest of them has loaded.
            "start_at": time.monotonic() + self._load_s,
        }
        with ExitStack() as stack, ThreadPoolExecutor(candidate.replicas) as pool:
            workers = []
            for index in range(candidate.replicas):
                order = {"items": [*self._items[index:], *self._items[:index]], "seed": 1000 * seed + index}
                workers.append(stack.enter_context(Worker(job | order, threads=candidate.threads)))
            try:
                answers = list(pool.map(Worker.answer, workers))
            except WorkerFailed as error:
                return Trial(candidate, rate_per_s, False, failure=str(error))
        slowest_s = max(answer["ready_s"] for answer in answers)
        late = max(answer["late_s"] for answer in answers) > 0
        self._load_s = max(0.5 + 1.5 * slowest_s, 1.0)
        if late:  # they did not run side by side: once more, with the time that loading has shown to take
            return self._run(candidate, rate_per_s, seed)
        times = [latency_ms for answer in answers for latency_ms in answer["latencies_ms"]]
        p99 = percentile(times, 99)
        complete = len(times) == each * len(answers)
        return Trial(
            candidate,
            rate_per_s,
            within=complete and p99 <= self._demand.p99_ms,
            requests=len(times),
            quickest_ms=min(times),
            p50_ms=percentile(times, 50),
            p99_ms=p99,
            memory_bytes=sum(answer["memory_peak_bytes"] for answer in answers),
        )

    def _spec(self, candidate: Candidate) -> BackendSpec:
        task, folder = self._artifact.manifest.task, str(Path(self._artifact.folder))
        options = {**OPTIONS.get(task, {}), "budget_tokens": candidate.budget_tokens}
        settings = {"precision": candidate.precision}
        return BackendSpec(
            str(candidate), "onnxpress", task, folder, candidate.threads, options=options, settings=settings
        )
