"""Tunes a variant for this machine: makes its forms, times them in turn, and keeps the fastest that the gate passes.

What is written beside the variant's graphs is one form's graphs at most for each machine that it was tuned on; the
weights stay where they are. What was measured, and where, is kept whatever comes out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir

from onnxpress.engine.machine import features, processor_name, usable_cores
from onnxpress.engine.providers import CPU, is_here
from onnxpress.engine.session import Session
from onnxpress.errors import OnnxpressError
from onnxpress.format.fidelity import answers_of
from onnxpress.format.manifest import FormTime, Quality, Tuning, Variant, VariantForm
from onnxpress.format.model import Adapter
from onnxpress.format.variants import CONTROL, DEFAULT_FORM
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.gate.base import Gate
from onnxpress_exporter.passes.constant_ranges import row_ranges
from onnxpress_exporter.passes.integer_products import Range
from onnxpress_exporter.quantize.settings import Say
from onnxpress_exporter.tuning.constants import Ranges, most_that_pass, ranked_ranges
from onnxpress_exporter.tuning.contest import compared, promising, winners
from onnxpress_exporter.tuning.formulations import FORMULATIONS, Formulation
from onnxpress_exporter.tuning.turns import FINAL, HEAT, Effort, Timer, time_in_turn
from onnxpress_exporter.tuning.written_forms import Graphs, WrittenForms

#: Forms whose graphs are open at once, beside the default one's.
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Tuner:
    """Finds forms for the variants of one artifact.

    Attributes:
        folder: where the artifact is made; the files of its variants are there.
        rewritable: the names of the graphs that may be rewritten.
        adapters: what stands between graphs of another tool and those who call them.
        gate: prepared.
        formulations: what is tried.
        timer: takes the times.
    """

    folder: Path
    rewritable: Collection[str]
    gate: Gate
    adapters: Mapping[str, Adapter]
    formulations: Sequence[Formulation] = FORMULATIONS
    timer: Timer = time_in_turn

    @property
    def _forms(self) -> WrittenForms:
        return WrittenForms(self.folder, self.rewritable, self.formulations)

    def tune(self, precision: str, variant: Variant, say: Say) -> Variant:
        """The variant with what was found on this machine, and the form that won, if one did."""
        written: dict[str, Graphs] = {}
        refused: dict[str, str] = {}
        try:
            constants = self._constants(precision, variant, say)
            rows = [row for row in self.formulations if row.device == CPU.family]
            for number, row in enumerate(rows):
                say(f"writing other forms, {number + 1} of {len(rows)}")
                self._forms.add((row,), variant, constants, written, refused)
                if row.name not in written and row.name not in refused:
                    # What finds nothing in the default form may find something between constant ranges.
                    self._forms.add(
                        [*(ranges for ranges in rows if ranges.constants), row], variant, constants, written, refused
                    )
            times = self._times(variant, written, refused, HEAT, say)
            passing = dict(self._that_pass(precision, variant, promising(times), written, refused, say))
            finalists = self._finalists(list(passing), variant, constants, written, refused)
            times |= self._times(variant, finalists, refused, FINAL, say)
            ranked = winners({name: times[name] for name in (DEFAULT_FORM, CONTROL, *finalists) if name in times})
            together = [name for name in ranked if name not in passing]
            passing |= dict(self._that_pass(precision, variant, together, written, refused, say))
            form = next(((name, passing[name]) for name in ranked if name in passing), None)
            devices = self._for_devices(precision, variant, constants, written, refused, say)
            here = {name: written[name] for name, form in devices.items() if is_here(form.device)}
            times |= {
                name: taken for name, taken in self._times(variant, here, refused, FINAL, say).items() if name in here
            }
            tuned = self._with(variant, form, devices, constants, times, refused)
        except BaseException:
            self._forms.remove(written, variant)
            raise
        self._forms.remove(written, tuned)
        return tuned

    def usual(self, precision: str, variant: Variant, say: Say) -> Variant:
        """The variant with the forms that run where nobody tuned it, if it has any that the gate passes."""
        forms = dict(variant.forms)
        if all(files.external for files in variant.graphs.values()):
            models = self._forms.models(variant).values()
            for row in self.formulations:
                places = [place for model in models if row.usual and (place := row.usual(model)) is not None]
                if places:
                    place = min(places, key=lambda place: place.cores)
                    forms |= {
                        name: replace(form, usual=place) for name, form in self._passed(row, precision, variant, say)
                    }
        return replace(variant, forms=forms)

    def _passed(
        self, row: Formulation, precision: str, variant: Variant, say: Say
    ) -> Iterator[tuple[str, VariantForm]]:
        """A formulation's form, untimed, with the files that are kept of it; nothing: the gate does not pass it."""
        written: dict[str, Graphs] = {}
        try:
            self._forms.add((row,), variant, {}, written, {})
            for name, form in self._that_pass(precision, variant, list(written), written, {}, say):
                yield name, self._forms.as_kept(name, form)
        finally:
            self._forms.remove(written, variant)

    def _constants(self, precision: str, variant: Variant, say: Say) -> Ranges:
        """The values that bear a constant range, if a formulation asks for them: as many as the gate passes."""
        row = next((row for row in self.formulations if row.constants), None)
        if row is None:
            return {}
        ranked = []
        for graph, files in variant.graphs.items():
            model = onnx_ir.load(self.folder / files.file)
            if graph in self.rewritable and row_ranges(model):
                ranked += [(graph, *entry) for entry in ranked_ranges(graph, model, self.gate.inputs(graph), say)]
        ranked.sort(key=lambda entry: entry[-1])

        def passes(entries: Sequence[tuple[str, str, Range, float]]) -> bool:
            say(f"judging constant ranges of {len(entries)}")
            models, _ = self._forms.rewritten((row,), variant, _by_graph(entries))
            graphs = self._forms.save(row.name, models, variant)
            try:
                with closing(self._session({**variant.graphs, **graphs})) as session:
                    self._judge(precision, variant, session)
            except OnnxpressError:
                return False
            finally:
                self._forms.remove({row.name: graphs}, variant)
            return True

        return _by_graph(most_that_pass(ranked, passes))

    def _finalists(
        self,
        ranked: Sequence[str],
        variant: Variant,
        constants: Ranges,
        written: dict[str, Graphs],
        refused: dict[str, str],
    ) -> dict[str, Graphs]:
        """The fastest form, it with the next one, and all that seem faster together; where two rewrite the same nodes,
        the faster of them does, and the other is for itself."""
        by_name = {row.name: row for row in self.formulations}
        counts = sorted({1, 2, len(ranked)}) if len(ranked) > 1 else range(1, len(ranked) + 1)
        names = []
        for count in counts:
            parts = dict.fromkeys(part for name in ranked[:count] for part in name.split("+"))
            names.append(self._forms.add([by_name[part] for part in parts], variant, constants, written, refused))
        if len(set(names)) == 1:
            names += ranked[1:2]
        return {name: written[name] for name in names if name in written}

    def _times(
        self, variant: Variant, forms: Mapping[str, Graphs], refused: dict[str, str], effort: Effort, say: Say
    ) -> dict[str, tuple[FormTime, ...]]:
        """Each form's times, and the default form's, which runs twice; forms that cannot run are told in `refused`.

        Both of the default form's are copies of its graphs: what is open elsewhere in this process would be shared.
        """
        times: dict[str, tuple[FormTime, ...]] = {}
        names = list(forms)
        for start in range(0, len(names), AT_ONCE):
            say(f"timing {'other forms' if effort is HEAT else 'the fastest'}, {start / len(names):.0%}")
            with ExitStack() as opened:
                sessions = {}
                for name in (DEFAULT_FORM, CONTROL):
                    copy = self._forms.save(name, self._forms.models(variant), variant)
                    opened.callback(self._forms.remove, {name: copy}, variant)
                    sessions[name] = opened.enter_context(closing(self._session({**variant.graphs, **copy})))
                for name in names[start : start + AT_ONCE]:
                    whole = {**variant.graphs, **forms[name]}
                    session = opened.enter_context(closing(self._session(whole, self._device_of(name))))
                    if (why := self._fails(session)) is None:
                        sessions[name] = session
                    else:
                        refused[name] = f"it does not run here: {why}"
                if len(sessions) > 2:
                    rounds = self.timer(self.gate, sessions, effort)
                    by_shape = [compared(rounds[shape], *shape) for shape in rounds]
                    times |= {name: tuple(shape[name] for shape in by_shape) for name in sessions if name not in times}
        return times

    def _session(self, graphs: Graphs, device: str = CPU.family) -> Session:
        return Session(
            {name: self.folder / files.file for name, files in graphs.items()},
            device=device if is_here(device) else CPU.family,
            adapters=self.adapters,
            alternates=True,
        )

    def _device_of(self, name: str) -> str:
        """The device that a form is for."""
        return next((row.device for row in self.formulations if row.name == name), CPU.family)

    def _fails(self, session: Session) -> str | None:
        """Why a form cannot run on this machine; None: it can."""
        try:
            work = self.gate.work({DEFAULT_FORM: session})
            work.calls(*work.shapes[0])[DEFAULT_FORM]()
        except OnnxpressError as error:
            return str(error)
        return None

    def _that_pass(
        self,
        precision: str,
        variant: Variant,
        ranked: Sequence[str],
        written: Mapping[str, Graphs],
        refused: dict[str, str],
        say: Say,
    ) -> Iterator[tuple[str, VariantForm]]:
        """Those of the forms whose answers the gate passes, as it judged the variant, in order."""
        about = {row.name: row.about for row in self.formulations}
        for name in ranked:
            say(f"judging the form {name}")
            try:
                with closing(self._session({**variant.graphs, **written[name]}, self._device_of(name))) as session:
                    quality = self._judge(precision, variant, session)
            except OnnxpressError as error:
                refused[name] = str(error)
                continue
            yield name, VariantForm("; ".join(about[part] for part in name.split("+")), written[name], quality)

    def _for_devices(
        self,
        precision: str,
        variant: Variant,
        constants: Ranges,
        written: dict[str, Graphs],
        refused: dict[str, str],
        say: Say,
    ) -> dict[str, VariantForm]:
        """The forms for other devices that the gate passes, on the device where it is here, or else on this processor;
        of variants with weights in files of their own."""
        forms = {}
        for row in self.formulations:
            if row.device == CPU.family or not all(files.external for files in variant.graphs.values()):
                continue
            self._forms.add((row,), variant, constants, written, refused)
            names = [row.name] if row.name in written else []
            for name, form in self._that_pass(precision, variant, names, written, refused, say):
                forms[name] = replace(form, device=row.device)
        return forms

    def _judge(self, precision: str, variant: Variant, session: Session) -> Quality:
        """What the gate measures of a form.

        Raises:
            VerificationFailed: its raw outputs are not the reference's.
            VariantRefused: it misses a threshold of its variant, or its answers are close where the variant's are the
                same.
        """
        quality = self.gate.verify(precision, session)
        known = variant.quality
        if known is None or not known.measure_limits:
            return quality
        verdict = self.gate.judge(session, known.measure_limits)
        if not verdict.passed:
            raise VariantRefused("; ".join(verdict.missed))
        figures = {name: float(f"{value:.6g}") for name, value in verdict.figures.items()}
        quality = replace(quality, measures=figures, measure_limits=known.measure_limits)
        if (answers_of(precision, variant), answers_of(precision, replace(variant, quality=quality))) == (
            "same",
            "close",
        ):
            raise VariantRefused("its answers are close, and the default form's are the same")
        return quality

    def _with(
        self,
        variant: Variant,
        form: tuple[str, VariantForm] | None,
        devices: Mapping[str, VariantForm],
        constants: Ranges,
        times: Mapping[str, tuple[FormTime, ...]],
        refused: Mapping[str, str],
    ) -> Variant:
        """The variant with this machine's tuning, in the place of an earlier one of such a machine."""
        tuning = Tuning(
            processor_name(),
            tuple(sorted(features())),
            usable_cores(),
            DEFAULT_FORM if form is None else form[0],
            times,
            refused,
        )
        others = [
            known for known in variant.tunings if (known.features, known.cores) != (tuning.features, tuning.cores)
        ]
        forms = dict(variant.forms)
        if form is not None:
            variant, graphs = self._forms.sharing(variant, form[0], form[1].graphs, constants)
            known = forms.get(form[0], form[1])
            forms[form[0]] = self._forms.as_kept(form[0], replace(form[1], graphs=graphs, usual=known.usual))
        for name, row in devices.items():
            forms[name] = self._forms.as_kept(name, row)
        used = {known.form for known in (*others, tuning)}
        forms = {
            name: row
            for name, row in forms.items()
            if name in used or row.usual is not None or (row.device != CPU.family and name not in refused)
        }
        tuned = replace(variant, forms=forms, tunings=(*others, tuning))
        self._forms.remove({name: row.graphs for name, row in variant.forms.items()}, tuned)
        return tuned


def _by_graph(entries: Sequence[tuple[str, str, Range, float]]) -> Ranges:
    """Ranges by graph, then by value, of entries of graph, value, range and harm."""
    ranges: dict[str, dict[str, Range]] = {}
    for graph, value, chosen, _ in entries:
        ranges.setdefault(graph, {})[value] = chosen
    return ranges
