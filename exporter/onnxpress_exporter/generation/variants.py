"""Quantized variants of verified graphs that write text: made, judged, timed, saved, or refused with the reason.

Knows neither PyTorch nor where the reference's answers come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir

from onnxpress.engine.choice import suits
from onnxpress.engine.machine import features
from onnxpress.engine.session import Session
from onnxpress.format.manifest import Manifest, Speed, Variant
from onnxpress.format.precisions import REFERENCE
from onnxpress.generation.decoders.models import ENCODER, decoder_model, encoder_decoder_model
from onnxpress.text.tokenizer import Tokenizer
from onnxpress_exporter import timing
from onnxpress_exporter.add_variants import Outcome, Say
from onnxpress_exporter.errors import PassError, VerificationFailed
from onnxpress_exporter.generation.cases import Case, Reader
from onnxpress_exporter.generation.inputs import Arrays, decoder_inputs, encoder_inputs
from onnxpress_exporter.generation.judge import Judge
from onnxpress_exporter.generation.small import small
from onnxpress_exporter.generation.through_graphs import Graphs
from onnxpress_exporter.generation.verify import Expected, verify
from onnxpress_exporter.passes.graph import nodes, weights_of
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import Integers, Scheme
from onnxpress_exporter.quantize.flow import Settings
from onnxpress_exporter.quantize.judge import Verdict
from onnxpress_exporter.quantize.plan import Plan
from onnxpress_exporter.quantize.thresholds import thresholds_of
from onnxpress_exporter.quantize.variants import Variants
from onnxpress_exporter.write import describe
from onnxpress_exporter.write.save import save

Files = Mapping[str, Path]

#: (rows, tokens) that are timed: a prompt, and one token after it; after an encoder one token, and one of each beam.
TIMED: tuple[tuple[int, int], ...] = ((1, 128), (1, 1))
TIMED_AFTER_ENCODER: tuple[tuple[int, int], ...] = ((1, 1), (4, 1))

#: More weights are not rounded for integer products: that takes a second for every million.
MOST_INTEGERS = 200_000_000


@dataclass(frozen=True, slots=True)
class Writing:
    """What is the same for all variants of an artifact: its manifest, how texts become cases, and what ends a text."""

    manifest: Manifest
    reader: Reader
    ends: tuple[int, ...]

    def graphs(self, session: Session, name: str) -> Graphs:
        """The runtime's own model over a session; nothing that was read is remembered."""
        encodes = ENCODER in self.manifest.graphs
        model = encoder_decoder_model(self.manifest, session) if encodes else decoder_model(self.manifest, session, 0)
        return Graphs(model, name, self.reader.start, self.ends)


def reader_of(manifest: Manifest, tokenizer: Tokenizer, start: int | None) -> Reader:
    """How the artifact's texts become cases."""
    settings = manifest.generation
    return Reader(tokenizer, None if settings is None else settings.max_length, start)


def add_variants(
    writing: Writing,
    folder: Path,
    fp32: Mapping[str, onnx_ir.Model],
    plain: Session,
    expected: Expected,
    wanted: Sequence[str],
    settings: Settings,
    say: Say,
) -> Outcome:
    """Make, judge and save variants.

    Args:
        folder: where new graphs go, in `onnx/`; it holds the fp32 variant's files already.
        fp32, plain: the graphs of that variant, and a session of them.
        expected: the answers of PyTorch, or of the fp32 variant itself.
    """
    say("asking the reference")
    write = writing.graphs(plain, REFERENCE).write
    judge = Judge(expected.reference, writing.reader.judged(write), write if writing.reader.start is not None else None)
    inputs = _Calibration(writing, plain)
    variants, refused = {}, {}
    for precision in wanted:

        def tell(what: str, precision: str = precision) -> None:
            say(f"{precision}: {what}")

        try:
            made = _make(writing, folder, fp32, precision, inputs, judge, settings, tell)
            if isinstance(made, str):
                refused[precision] = made
                continue
            tell("verifying")
            variants[precision] = _finished(writing, folder, precision, made, expected, plain, tell)
        except (PassError, VerificationFailed) as error:
            refused[precision] = str(error)
            for path in _files_of(folder, fp32, precision):
                path.unlink(missing_ok=True)
    return Outcome(variants, refused)


@dataclass(frozen=True, slots=True)
class _Made:
    verdict: Verdict
    written: Mapping[str, tuple[Path, ...]]
    models: Mapping[str, onnx_ir.Model]
    scheme: Scheme
    rounds: tuple[str, ...]
    limits: Mapping[str, float]


class _Calibration:
    """Inputs of each graph on real texts, made when they are first asked for."""

    def __init__(self, writing: Writing, plain: Session) -> None:
        self._writing, self._plain = writing, plain
        self._cases: list[Case] | None = None

    def of(self, graph: str) -> list[Arrays]:
        """One run's inputs for each text."""
        if self._cases is None:
            self._cases = self._writing.reader.calibration(self._writing.graphs(self._plain, REFERENCE).write)
        if graph == ENCODER:
            return [encoder_inputs(case) for case in self._cases]
        manifest = self._writing.manifest
        shared = manifest.generation is not None and manifest.generation.cache == "shared"
        found = []
        for case in self._cases:
            encoded = {} if case.source is None else self._plain.run(encoder_inputs(case), ENCODER)
            found.append(decoder_inputs(manifest.graphs[graph], case, shared, encoded))
        return found


def _make(
    writing: Writing,
    folder: Path,
    fp32: Mapping[str, onnx_ir.Model],
    precision: str,
    inputs: _Calibration,
    judge: Judge,
    settings: Settings,
    say: Say,
) -> _Made | str:
    """The first scheme that passes, or why none does."""
    limits = {**thresholds_of(precision), **settings.thresholds}
    rounds: list[str] = []
    row, roles = PRECISIONS[precision], {name: graph.role for name, graph in writing.manifest.graphs.items()}
    for scheme in row.schemes:
        if scheme.integers and not scheme.integers & set(roles.values()):
            continue  # a decoder alone: the rest is q8
        models, written = {}, {}
        for name, graph in fp32.items():
            if roles[name] in scheme.integers:
                models[name] = _integers(graph, precision, inputs.of(name), say)
            else:
                watched = inputs.of(name) if scheme.body is not None and scheme.body.bits == 4 else []
                models[name] = small(graph, scheme, watched, say, half=row.half)
            written[name] = save(models[name], _path(folder, name, precision))
        say("judging")
        with opened({name: paths[0] for name, paths in written.items()}) as session:
            verdict = judge.measure(writing.graphs(session, precision), limits)
        told = "passed" if verdict.passed else "; ".join(verdict.missed)
        rounds.append(f"{scheme}: {told}")
        if verdict.passed:
            used = {name: limits[name] for name in verdict.figures if name in limits}
            return _Made(verdict, written, models, scheme, tuple(rounds) if len(rounds) > 1 else (), used)
        for paths in written.values():
            for path in paths:
                path.unlink()
    return "".join(f"\n      {line}" for line in rounds)


def _integers(graph: onnx_ir.Model, precision: str, inputs: Sequence[Arrays], say: Say) -> onnx_ir.Model:
    """8 bits by 8 bits, with a range for each row of every site.

    Raises:
        PassError: so many weights that rounding them would take too long.
    """
    arrays = (weights_of(node.inputs[1]) for node in nodes(graph, "MatMul"))
    weights = sum(one.size for one in arrays if one is not None)
    if weights > MOST_INTEGERS:
        raise PassError(f"{weights:,} weights are too many to round for integer products; q8 and q4 are for them.")
    variants = Variants(graph)
    variants.watch(inputs, lambda share: say(f"watching real inputs, {share:.0%}"))
    plan: Plan = {site.value: Integers() for site in variants.sites}
    say("rounding")
    return variants.build(precision, plan)


def _finished(
    writing: Writing,
    folder: Path,
    precision: str,
    made: _Made,
    expected: Expected,
    plain: Session,
    say: Say,
) -> Variant:
    with opened({name: paths[0] for name, paths in made.written.items()}) as session:
        graphs = writing.graphs(session, precision)
        quality = verify(precision, expected, graphs)
        variant = Variant(
            {name: describe.graph_files(made.models[name], paths, folder) for name, paths in made.written.items()},
            sum(path.stat().st_size for paths in made.written.values() for path in paths),
            targets=PRECISIONS[precision].targets,
            quality=replace(
                quality,
                measures={name: float(f"{value:.6g}") for name, value in made.verdict.figures.items()},
                measure_limits=made.limits,
            ),
            repair=made.rounds,
        )
        # A processor tells nothing of the speed that a variant for GPUs has there.
        if suits(variant, "cpu", features()):
            say("timing")
            variant = replace(variant, speed=speed(graphs, writing.graphs(plain, REFERENCE), expected.longest))
    return variant


def speed(graphs: Graphs, plain: Graphs | None, case: Case) -> Speed | None:
    """Time of reading a prompt, and of one token after it, beside fp32's; None on a busy machine."""

    def calls(batch: int, tokens: int) -> Mapping[str, Callable[[], object]]:
        ids = [case.ids[i % len(case.ids)] for i in range(TIMED[0][1])]
        row = Case("timed", tuple(ids), case.source)
        found: dict[str, Callable[[], object]] = {}
        for name, one in (("variant", graphs), (timing.PLAIN, plain)):
            if one is None:
                continue
            decoder = one.opened([row], 1)
            if tokens == 1:
                decoder.prefill(0, ids[:64])
            if batch > 1:
                decoder.select([0] * batch)

            def run(decoder=decoder, tokens=tokens) -> None:  # type: ignore[no-untyped-def]
                if tokens == 1:
                    decoder.step(np.array(ids[:1] * batch, np.int64))
                    for one in range(batch):
                        decoder.truncate(one, 64)
                else:
                    decoder.prefill(0, ids)
                    decoder.truncate(0, 0)

            found[name] = run
        return found

    limit = graphs.limit
    timed = TIMED if case.source is None else TIMED_AFTER_ENCODER
    return timing.measure_calls(calls, [shape for shape in timed if limit is None or limit > TIMED[0][1]])


def _path(folder: Path, graph: str, precision: str) -> Path:
    return folder / "onnx" / f"{graph}{PRECISIONS[precision].suffix}.onnx"


def _files_of(folder: Path, graphs: Mapping[str, onnx_ir.Model], precision: str) -> Iterator[Path]:
    for name in graphs:
        path = _path(folder, name, precision)
        yield from (path, path.with_name(f"{path.name}_data"))


@contextmanager
def opened(files: Files) -> Iterator[Session]:
    """A session of saved graphs, by name."""
    session = Session(files)
    try:
        yield session
    finally:
        session.close()
