"""The gate of models that write text: scores and tokens, held against the reference's by the runtime's own decoders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from onnxpress.engine.session import Session
from onnxpress.format.manifest import Manifest, Quality, Speed
from onnxpress.generation.decoders.models import ENCODER, decoder_model, encoder_decoder_model
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines import build_pipeline
from onnxpress.text.tokenizer import Tokenizer, Truncation
from onnxpress_exporter.gate import timing
from onnxpress_exporter.gate.base import Arrays, fp32_in_words
from onnxpress_exporter.gate.cases import Case, Ends, MakesCases, Reader, listener, looker
from onnxpress_exporter.gate.expectations import Judge
from onnxpress_exporter.gate.graphs import Graphs
from onnxpress_exporter.gate.inputs import decoder_inputs, encoder_inputs, step_inputs
from onnxpress_exporter.gate.lengths import extent_of, weights_of
from onnxpress_exporter.gate.scores import Expected, Writes, verify
from onnxpress_exporter.judging.metrics import NEXT_TOKENS, Evaluation, Figures, beside_reference, score
from onnxpress_exporter.precisions.row import Thresholds
from onnxpress_exporter.quantize.thresholds import Verdict, misses

#: (rows, tokens) that are timed: a prompt, and one token after it; after an encoder one token, and one of each beam.
TIMED: tuple[tuple[int, int], ...] = ((1, 128), (1, 1))
TIMED_AFTER_ENCODER: tuple[tuple[int, int], ...] = ((1, 1), (4, 1))
#: Forms of a decoder alone are timed at one token after a long text, too: there attention decides. It is told as the
#: shape (1, FAR): no prompt is so long.
FAR = 2048
#: Tokens of a labelled row that are read.
LONGEST_ROW = 1024
#: A token of speech that is no text: a time.
_MARK = re.compile(r"<\|[^|]*\|>")
#: Tokens that are read before one is timed.
_BEFORE = 64


class WritingGate:
    """Holds the reference's scores.

    Args:
        artifact: its manifest tells what the graphs are, and its settings how texts are written; no variant is read.
        plain: the fp32 variant, opened. What it writes serves as a text as well as any.
        ends: the tokens that a decoder begins with, after an encoder, and that end a text.
        reference: PyTorch; None: the fp32 variant itself.
        rows: labelled rows of the artifact's task.
        forgets: whether the reference goes once it was asked: fp32 is not verified again.
    """

    def __init__(
        self,
        artifact: Artifact,
        tokenizer: Tokenizer,
        plain: Session,
        ends: Ends,
        reference: Writes | None = None,
        rows: Evaluation | None = None,
        *,
        forgets: bool = True,
    ) -> None:
        manifest = artifact.manifest
        self.rows = None if rows is None else rows.name
        limit = None if manifest.generation is None else manifest.generation.max_length
        self._manifest = manifest
        self._ends = ends
        self._encodes = ENCODER in manifest.graphs
        self._reader: MakesCases
        if (pictures := manifest.processors.image) is not None:
            asked = any(tensor.name == "input_ids" for tensor in manifest.graphs[ENCODER].inputs)
            self._reader = looker(pictures, limit, ends.start, tokenizer if asked else None)
        elif (sounds := manifest.processors.audio) is not None:
            self._reader = listener(sounds, limit, ends.start)
        else:
            self._reader = Reader(tokenizer, limit, ends.start if self._encodes else None)
        self._session = plain
        self._plain = self._graphs(plain, fp32_in_words(artifact.trust))
        # Whether PyTorch would write what the graph writes is asked by `verify`.
        write, weights = self._plain.write, weights_of(artifact)
        self._extent = extent_of(weights)
        self._expected = Expected(
            reference or self._plain,
            self._reader.verification(write),
            self._reader.far(weights, _vocabulary(manifest), write),
            self._extent,
        )
        self._artifact = artifact
        self._tokenizer = tokenizer
        self._evaluation = rows
        self._reference_score: Figures = {}
        self._forgets = forgets
        self._judge: Judge | None = None
        self._calibration: list[Case] = []

    def verify(self, precision: str, session: Session) -> Quality:
        """As `Gate` says."""
        return verify(precision, self._expected, self._graphs(session, precision))

    def prepare(self) -> None:
        """As `Gate` says."""
        write = self._plain.write
        self._judge = Judge(
            self._expected.reference,
            self._reader.judged(write, self._extent.judged),
            writes=self._encodes,
            read=self._said if self._manifest.processors.audio is not None else None,
        )
        # Texts are written by the fp32 graphs, which write what PyTorch does: that was verified.
        reads_on = self._evaluation is not None and self._evaluation.scorer is NEXT_TOKENS
        self._reference_score = self._score(self._session, self._expected.reference if reads_on else self._plain)
        if self._forgets:
            self._expected.forget_reference()

    def judge(self, session: Session, thresholds: Thresholds) -> Verdict:
        """As `Gate` says, once it is prepared."""
        assert self._judge is not None
        graphs = self._graphs(session, "variant")
        verdict = self._judge.measure(graphs, thresholds)
        if not verdict.figures:
            return verdict
        figures = {**verdict.figures, **beside_reference(self._reference_score, self._score(session, graphs))}
        return Verdict(figures, misses(figures, thresholds))

    def _score(self, session: Session, model: Writes) -> Figures:
        """The task's own metric; nothing without labelled rows."""
        rows = self._evaluation
        if rows is None:
            return {}
        if rows.scorer is NEXT_TOKENS:
            return score(rows, [self._preferred(model, prompt, text) for prompt, text in rows.items])
        task = self._artifact.manifest.task
        pipe = build_pipeline(task, self._artifact, session, self._tokenizer, "judged", {})
        return score(rows, list(pipe(iter(rows.items), read_ahead=pipe.window, **rows.options)))

    def _said(self, ids: Sequence[int]) -> str:
        """The text of tokens, without those that say what is wanted or when something was said."""
        special = self._tokenizer.special_ids()
        return _MARK.sub(" ", self._tokenizer.decode([token for token in ids if token not in special]))

    def _preferred(self, model: Writes, prompt: str, text: str) -> tuple[int, int]:
        """How many tokens of a text after a prompt the model prefers itself, and how many there are."""
        most = Truncation(min(self._reader.limit or LONGEST_ROW, LONGEST_ROW))
        ids = tuple(self._tokenizer.encode(prompt + text, truncation=most).ids)
        # A text alone has nothing before its first token; a prompt may end in a token that ends every text.
        known = max(1, _shared(ids, self._tokenizer.encode(prompt, truncation=most).ids) if prompt else 1)
        if len(ids) <= known:
            return 0, 0
        best = model.logits(Case("row", ids))[known - 1 : -1].argmax(axis=1)
        return int((best == np.array(ids[known:])).sum()), len(ids) - known

    def inputs(self, graph: str) -> Sequence[Arrays]:
        """As `Gate` says."""
        if not self._calibration:
            self._calibration = self._reader.calibration(self._plain.write, self._extent.calibration)
        if graph == ENCODER:
            return [encoder_inputs(case) for case in self._calibration]
        cache = None if self._manifest.generation is None else self._manifest.generation.cache
        shared, info = cache == "shared", self._manifest.graphs[graph]
        if cache == "state":
            run = partial(self._session.run, graph=graph)
            return [arrays for case in self._calibration for arrays in step_inputs(info, case, run)]
        arrays = []
        for case in self._calibration:
            encoded = {} if case.source is None else self._session.run(encoder_inputs(case), ENCODER)
            arrays.append(decoder_inputs(info, case, shared, encoded))
        return arrays

    def speed(self, session: Session, plain: Session | None) -> Speed | None:
        """As `Gate` says: of reading a prompt, and of one token after it."""
        work = self._work({timing.VARIANT: session} | ({} if plain is None else {timing.PLAIN: plain}))
        return timing.measure(work.calls, work.shapes)

    def work(self, sessions: Mapping[str, Session]) -> timing.Work:
        """As `Gate` says: a prompt, one token after it, and one after a long text."""
        work, generation = self._work(sessions), self._manifest.generation
        limit = None if generation is None else generation.max_length
        reads_far = generation is not None and generation.cache == "shared" and not self._encodes
        if reads_far and (limit is None or limit > FAR):
            return replace(work, shapes=[*work.shapes, (1, FAR)])
        return work

    def _work(self, sessions: Mapping[str, Session]) -> timing.Work:
        """A prompt, and one token after it."""
        models = {name: self._graphs(session, name) for name, session in sessions.items()}
        case, limit = self._expected.longest, next(iter(models.values())).limit
        timed = TIMED if case.source is None else TIMED_AFTER_ENCODER
        return timing.Work(
            lambda batch, tokens: {name: _timed(graphs, case, batch, tokens) for name, graphs in models.items()},
            [shape for shape in timed if limit is None or limit > TIMED[0][1]],
        )

    def _graphs(self, session: Session, name: str) -> Graphs:
        """Open the runtime's own model over a session; it remembers nothing that it has read."""
        model = (
            encoder_decoder_model(self._manifest, session)
            if self._encodes
            else decoder_model(self._manifest, session, 0)
        )
        return Graphs(model, name, self._reader.start, self._ends.ends)


def _timed(graphs: Graphs, case: Case, batch: int, tokens: int) -> Callable[[], object]:
    """Make the function that reads a prompt, or one token of each row after it."""
    before = FAR if tokens == FAR else _BEFORE
    ids = [case.ids[i % len(case.ids)] for i in range(max(before, TIMED[0][1]))]
    decoder = graphs.opened([replace(case, ids=tuple(ids))], 1)

    def read() -> None:
        decoder.prefill(0, ids)
        decoder.truncate(0, 0)

    def step() -> None:
        decoder.step(np.array(ids[:1] * batch, np.int64))
        for row in range(batch):
            decoder.truncate(row, before)

    if tokens not in (1, FAR):
        return read
    decoder.prefill(0, ids[:before])
    if batch > 1:
        decoder.select([0] * batch)
    return step


def _vocabulary(manifest: Manifest) -> int:
    """Scores of one token, where a graph says how many."""
    outputs = [output for graph in manifest.graphs.values() for output in graph.outputs if output.name == "logits"]
    sizes = [size for output in outputs if isinstance(size := output.axes[-1], int)]
    return max(sizes, default=1)


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """Count the tokens with which both begin."""
    pairs = zip(first, second, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def ends_of(defaults: Mapping[str, object]) -> Ends:
    """Read the ends from the fields of `generation_config.json`."""
    # In the order in which transformers looks for the token that a decoder begins with.
    starts = [_tokens(defaults.get(name)) for name in ("decoder_start_token_id", "bos_token_id")]
    return Ends(next((tokens[0] for tokens in starts if tokens), 0), _tokens(defaults.get("eos_token_id")))


def _tokens(value: object) -> tuple[int, ...]:
    """Read a field that holds one token, several, or none."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(int, value))
    return (value,) if isinstance(value, int) else ()
