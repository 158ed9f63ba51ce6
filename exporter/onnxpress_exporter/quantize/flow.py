"""One precision of one artifact: calibrate, plan, build, judge, repair; a variant that passed, or the best that failed.

Graphs are tried as files in a temporary folder. Nothing is written into an artifact here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress.engine.session import Session
from onnxpress_exporter.judging.data import EvalData
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import Thresholds
from onnxpress_exporter.quantize.judge import Judge, Verdict
from onnxpress_exporter.quantize.plan import Plan
from onnxpress_exporter.quantize.repair import Found, search
from onnxpress_exporter.quantize.thresholds import thresholds_of
from onnxpress_exporter.quantize.variants import Variants
from onnxpress_exporter.write.save import save

Arrays = Mapping[str, NDArray[Any]]
Say = Callable[[str], None]

#: Rows on which the harm of one site is measured: few, for it is done for every site.
HARM_ROWS = 24


@dataclass(frozen=True, slots=True)
class Settings:
    """`thresholds`: a user's own, over the precision's. `repair_s`: no new attempt to repair begins after so many
    seconds. `keep_slow`: keep a variant that is neither smaller nor faster than fp32. `evaluation`: labelled rows, by
    whose metric variants are judged as well."""

    thresholds: Thresholds = field(default_factory=dict)
    repair_s: float = 600.0
    keep_slow: bool = False
    evaluation: EvalData | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A graph that passed, or did not: `found` tells. `treatments`: product -> how, where it is not the cheapest way;
    `limits`: the thresholds it was held against."""

    model: onnx_ir.Model
    found: Found
    treatments: Mapping[str, str]
    limits: Mapping[str, float]


class Quantizer:
    """Makes the variants of one graph.

    Args:
        fp32: the verified graph, which is not changed.
        others: further graphs of the artifact, by name, already saved: they stay in fp32.
    """

    def __init__(self, fp32: onnx_ir.Model, others: Mapping[str, Path], judge: Judge, settings: Settings) -> None:
        self._variants = Variants(fp32)
        self._others = others
        self._judge = judge
        self._settings = settings
        self._inputs: Sequence[Arrays] | None = None
        self._expected: list[Arrays] = []

    def make(self, precision: str, say: Say) -> Made:
        """The variant of `precision`, repaired as far as needed and possible; `found.verdict` tells if it passed."""
        limits = {**thresholds_of(precision), **self._settings.thresholds}
        model: onnx_ir.Model | None = None

        def judge(plan: Plan) -> Verdict:
            nonlocal model
            model = self._variants.build(precision, plan)
            with opened(model, self._others) as session:
                return self._judge.measure(session, limits)

        if PRECISIONS[precision].ladder:
            self._calibrate(say)
            found = search(
                precision,
                self._variants.sites,
                judge,
                self._harm,
                self._variants.one_range_will_do,
                time_s=self._settings.repair_s,
                say=say,
            )
        else:
            say("judging")
            found = Found({}, judge({}))
        assert model is not None  # the plan found is the last one that was judged
        used = {name: limits[name] for name in found.verdict.figures if name in limits}
        return Made(model, found, self._treatments(precision, found.plan), used)

    def _calibrate(self, say: Say) -> None:
        if self._inputs is None:
            self._inputs = self._judge.calibration_inputs()
            self._variants.watch(self._inputs, lambda share: say(f"watching real inputs, {share:.0%}"))
            with opened(self._variants.fp32, self._others) as session:
                self._expected = [session.run(arrays) for arrays in self._inputs[:HARM_ROWS]]

    def _harm(self, plan: Plan) -> float:
        """Squared difference of the outputs from fp32's, over fp32's variance."""
        difference = spread = 0.0
        with opened(self._variants.with_plan(plan), self._others) as session:
            for arrays, expected in zip((self._inputs or ())[:HARM_ROWS], self._expected, strict=True):
                found = session.run(arrays)
                for name, value in expected.items():
                    difference += float(np.square(found[name] - value).sum())
                    spread += float(np.square(value - value.mean()).sum())
        harm = difference / max(spread, 1e-30)
        return harm if np.isfinite(harm) else float(np.finfo(np.float64).max)

    def _treatments(self, precision: str, plan: Plan) -> dict[str, str]:
        row = PRECISIONS[precision]
        if not row.ladder:
            return {}  # everything is treated alike
        told, ordinary = dict(self._variants.skipped), row.usual_treatments
        for site in self._variants.sites:
            treatment = plan.get(site.value)
            if treatment is None:
                told |= dict.fromkeys(site.products, f"kept in {row.compute}: the answers need it")
            elif treatment not in ordinary:
                told |= dict.fromkeys(site.products, f"{treatment}: the answers need it")
        return told


@contextmanager
def opened(model: onnx_ir.Model, others: Mapping[str, Path]) -> Iterator[Session]:
    """A session of a graph that is not in an artifact yet, beside the artifact's others."""
    with tempfile.TemporaryDirectory(prefix="onnxpress-quantize-") as folder:
        session = Session({"model": save(model, Path(folder) / "model.onnx")[0], **others})
        try:
            yield session
        finally:
            session.close()
