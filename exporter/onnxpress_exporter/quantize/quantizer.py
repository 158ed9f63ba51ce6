"""One precision of one model: plan, build, judge, repair; a variant that passed, or the best that failed.

A model that reads has one graph, whose sites are treated one by one from the start. One that writes has graphs that may
be large: they are stored by a scheme, one product after the other, and treated site by site only where that fails.
Graphs are written where they belong, and removed again where they did not pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress.engine.session import Session
from onnxpress.format.adopted import Adapter
from onnxpress.format.variants import CACHE
from onnxpress_exporter.errors import PassError
from onnxpress_exporter.passes.integer_cache import cached, integer_cache
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import Blocks, IntegerConvolution, Integers, Thresholds, Treatment
from onnxpress_exporter.quantize.calibration import Channels, watch_cache
from onnxpress_exporter.quantize.plan import Attempt, Place, Plan, first_attempts, scheme_attempts
from onnxpress_exporter.quantize.repair import Found, search
from onnxpress_exporter.quantize.settings import INTEGER_CACHE, Say, Settings
from onnxpress_exporter.quantize.sites import LEAST_WEIGHTS, LEAST_WIDTH, Site
from onnxpress_exporter.quantize.storage import Storage
from onnxpress_exporter.quantize.thresholds import Verdict, thresholds_of
from onnxpress_exporter.quantize.unsaved import opened
from onnxpress_exporter.write.save import save

Arrays = Mapping[str, NDArray[Any]]

#: Rows on which the harm of one site is measured: few, for it is done for every site. Beyond so many numbers of all
#: their outputs, or so many multiplications, no row is added to the least that will do.
HARM_ROWS, LEAST_HARM_ROWS = 24, 2
HARM_NUMBERS, HARM_MULTIPLICATIONS = 20_000_000, 50_000_000_000

#: Where a graph that writes has more weights, integer products' are rounded each for itself: for channels that make up
#: for each other's errors, correlations as large as the weights would have to be known and inverted.
MOST_INTEGERS = 200_000_000


class Judges(Protocol):
    """The part of a gate that quantization uses."""

    def judge(self, session: Session, thresholds: Thresholds) -> Verdict:
        """The figures of a variant's answers, and what they miss."""

    def inputs(self, graph: str) -> Sequence[Arrays]:
        """What a graph takes of real texts, one row each, none of which is judged."""


@dataclass(frozen=True, slots=True)
class Made:
    """Graphs that passed, or did not: `verdict` tells. `files`: graph -> where it was saved; `plan`: how each site is
    stored; `treatments`: product -> how, where it is not the usual way; `limits`: the thresholds it was held against;
    `rounds`: what was tried."""

    plan: Plan
    graphs: Mapping[str, onnx_ir.Model]
    files: Mapping[str, tuple[Path, ...]]
    verdict: Verdict
    rounds: tuple[str, ...]
    treatments: Mapping[str, str]
    limits: Mapping[str, float]


class Quantizer:
    """Makes the variants of a model.

    Args:
        fp32: the verified graphs to quantize, by name; they are not changed.
        roles: what each of them does in the model.
        others: further graphs of the artifact, by name, already saved: they stay in fp32.
        folder: where new graphs are saved.
        writes: whether the model writes text.
        adapters: what stands between graphs of another tool and those who call them.
    """

    def __init__(
        self,
        fp32: Mapping[str, onnx_ir.Model],
        roles: Mapping[str, str],
        others: Mapping[str, Path],
        folder: Path,
        gate: Judges,
        settings: Settings,
        *,
        writes: bool,
        adapters: Mapping[str, Adapter] = MappingProxyType({}),
    ) -> None:
        self._fp32 = fp32
        self._roles = roles
        self._others = others
        self._folder = folder
        self._gate = gate
        self._settings = settings
        self._writes = writes
        self._adapters = adapters
        # Graphs that write may be large. They are watched as a whole only where products become integer products.
        self._stores = {name: Storage(graph, large=writes) for name, graph in fp32.items()}
        self._watched: dict[str, Storage] = {} if writes else self._stores
        self._sites: dict[Place, Site] = {
            (name, site.value): site for name, store in self._stores.items() for site in store.sites
        }
        self._inputs: dict[str, Sequence[Arrays]] = {}
        self._expected: dict[str, list[Arrays]] = {}
        self._cached: dict[str, Mapping[str, Channels]] = {}

    def make(self, precision: str, say: Say) -> Made:
        """The variant of `precision`, repaired as far as needed and possible; `verdict` tells whether it passed.

        Raises:
            PassError: a graph that cannot be made so.
        """
        limits = {**thresholds_of(precision), **self._settings.thresholds}
        self._check_cache(precision)
        models: dict[str, onnx_ir.Model] = {}
        files: dict[str, tuple[Path, ...]] = {}

        def judge(attempt: Attempt) -> Verdict:
            remove(files)
            for name in self._fp32:
                models[name] = self._build(name, precision, attempt, say)
                files[name] = save(models[name], self._folder / f"{name}{PRECISIONS[precision].suffix}.onnx")
            if self._writes:
                say("judging")
            with closing(
                Session(
                    {name: written[0] for name, written in files.items()} | dict(self._others), adapters=self._adapters
                )
            ) as session:
                return self._gate.judge(session, limits)

        try:
            attempts = self._attempts(precision, say)
            self._check_stored_so(precision, attempts[0].plan)
            outcome = search(
                attempts,
                PRECISIONS[precision].ladder,
                {place: site.products for place, site in self._sites.items()},
                judge,
                lambda plan: self._harm(plan, precision),
                time_s=self._settings.repair_s,
                say=say,
            )
            self._check_stored_so(precision, outcome.plan)
        except BaseException:
            remove(files)
            raise
        used = {name: limits[name] for name in outcome.verdict.figures if name in limits}
        return Made(
            outcome.plan,
            models,
            files,
            outcome.verdict,
            outcome.rounds,
            self._treatments(precision, attempts, outcome),
            used,
        )

    def _attempts(self, precision: str, say: Say) -> list[Attempt]:
        row = PRECISIONS[precision]
        if self._writes:
            return scheme_attempts(row, self._fp32, self._roles, self._sites)
        if row.ladder:
            for name in self._fp32:
                self._watch(name, say)
                if row.has_integers:
                    self._stores[name].balance()
        return first_attempts(row, self._sites, lambda place: self._stores[place[0]].one_range_will_do(place[1]))

    def _check_stored_so(self, precision: str, plan: Plan) -> None:
        """Refuse a variant that would have its precision in name only.

        Raises:
            PassError: it is made of integer products, and no product would be one.
        """
        row = PRECISIONS[precision]
        if row.has_integers and not any(isinstance(how, Integers | IntegerConvolution) for how in plan.values()):
            products = sum(len(site.products) for site in self._sites.values())
            raise PassError(
                f"no product would be one of integers: {products} have weights enough for it ({LEAST_WIDTH} inputs and "
                f"{LEAST_WEIGHTS:,} weights)" + (", and their answers need more" if products else "")
            )

    def _check_cache(self, precision: str) -> None:
        """Refuse a cache of integers where there is none to have.

        Raises:
            PassError: the variant computes in 16 bits, or no graph writes keys and values in place.
        """
        if self._settings.cache != INTEGER_CACHE:
            return
        if PRECISIONS[precision].half:
            raise PassError(
                f"its cache is one of 16 bits; --cache {INTEGER_CACHE} is for variants that run on a processor"
            )
        if not any(cached(graph) for graph in self._fp32.values()):
            raise PassError(f"--cache {INTEGER_CACHE}: no graph of this model keeps keys and values in place")

    def _build(self, name: str, precision: str, attempt: Attempt, say: Say) -> onnx_ir.Model:
        plan = {value: treatment for (graph, value), treatment in attempt.plan.items() if graph == name}
        store, inputs = self._store(name, plan, say)
        row = PRECISIONS[precision]
        model = store.build(plan, attempt.tables, passes=row.passes, half=row.half, inputs=inputs, say=say)
        if self._settings.cache == INTEGER_CACHE:
            integer_cache(model, self._largest_cached(name, say))
        return model

    def _largest_cached(self, name: str, say: Say) -> Mapping[str, Channels]:
        """How large each channel of a graph's keys and values gets on real texts."""
        if name not in self._cached:
            values = cached(self._fp32[name])
            inputs = self._calibration(name) if values else ()
            self._cached[name] = watch_cache(self._fp32[name], values, inputs, say)
        return self._cached[name]

    def _store(self, name: str, plan: Mapping[str, Treatment], say: Say) -> tuple[Storage, Sequence[Arrays]]:
        """What makes a graph of a plan, and the real texts that it looks at meanwhile."""
        if any(isinstance(treatment, Integers | IntegerConvolution) for treatment in plan.values()):
            self._watch(name, say)
            return self._watched[name], ()
        # 8 bits need no help.
        four = self._writes and any(isinstance(how, Blocks) and how.bits == 4 for how in plan.values())
        return self._stores[name], self._calibration(name) if four else ()

    def _watch(self, name: str, say: Say) -> None:
        if name not in self._watched:
            self._watched[name] = Storage(self._fp32[name], large=self._stores[name].weights > MOST_INTEGERS)
        store = self._watched[name]
        store.watch(self._calibration(name), lambda share: say(f"watching real inputs, {share:.0%}"))

    def _calibration(self, name: str) -> Sequence[Arrays]:
        if name not in self._inputs:
            self._inputs[name] = self._gate.inputs(name)
        return self._inputs[name]

    def _harm(self, plan: Plan, precision: str) -> float:
        """Squared difference of a graph's outputs from fp32's, over fp32's variance, of one site treated so."""
        (((name, value), treatment),) = plan.items()
        store, inputs = self._store(name, {value: treatment}, lambda what: None)
        model = store.with_plan({value: treatment}, inputs)
        expected = self._outputs(name)
        difference = spread = 0.0
        with opened(name, model) as session:
            for arrays, wanted in zip(self._calibration(name), expected, strict=False):
                obtained = session.run(arrays, name)
                for output, array in wanted.items():
                    difference += float(np.square(obtained[output] - array).sum())
                    spread += float(np.square(array - array.mean()).sum())
        harm = difference / max(spread, 1e-30)
        return harm if np.isfinite(harm) else float(np.finfo(np.float64).max)

    def _outputs(self, name: str) -> list[Arrays]:
        """Run the fp32 graph on the first inputs, and keep its outputs."""
        if name not in self._expected:
            rows: list[Arrays] = []
            numbers, each = 0, self._stores[name].multiplications
            with opened(name, self._fp32[name]) as session:
                for arrays in self._calibration(name)[:HARM_ROWS]:
                    outputs = {
                        output: array
                        for output, array in session.run(arrays, name).items()
                        if np.issubdtype(array.dtype, np.floating)
                    }
                    rows.append(outputs)
                    numbers += sum(array.size for array in outputs.values())
                    enough = numbers > HARM_NUMBERS or len(rows) * each > HARM_MULTIPLICATIONS
                    if enough and len(rows) >= LEAST_HARM_ROWS:
                        break
            self._expected[name] = rows
        return self._expected[name]

    def _apart(self, name: str) -> Mapping[str, int]:
        return self._watched[name].apart if name in self._watched else {}

    def _treatments(self, precision: str, attempts: Sequence[Attempt], outcome: Found) -> dict[str, str]:
        """Describe the products that are not treated as the rest."""
        row = PRECISIONS[precision]
        treatments: dict[str, str] = {}
        if self._settings.cache == INTEGER_CACHE:
            treatments[CACHE] = "integers of 8 bits, with a scale for each channel of each head"
        if not row.ladder:
            return treatments
        if not self._writes:
            for store in self._stores.values():
                treatments |= store.skipped
        for place, site in self._sites.items():
            treatment = outcome.plan.get(place)
            if isinstance(treatment, Integers) and (counts := self._apart(place[0])) and site.products[0] in counts:
                treatments |= {
                    name: f"of {site.width} channels, {counts[name]} in {row.compute}" for name in site.products
                }
            if treatment in [attempt.plan.get(place) for attempt in attempts]:
                continue
            if treatment is None:
                treatments |= dict.fromkeys(site.products, f"kept in {row.compute}: the answers need it")
            else:
                treatments |= dict.fromkeys(site.products, f"{treatment}: the answers need it")
        return treatments


def remove(files: Mapping[str, tuple[Path, ...]]) -> None:
    """Delete the files of graphs."""
    for paths in files.values():
        for path in paths:
            path.unlink(missing_ok=True)
