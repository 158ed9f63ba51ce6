"""The samples of verification as what graphs take, and the batches they make: token ids, pictures, sounds. Knows
neither torch nor a graph."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from onnxpress.audio.transform import SoundTransform
from onnxpress.errors import InputError
from onnxpress.format.manifest import GraphInfo
from onnxpress.format.pictures import ImageSettings
from onnxpress.format.sounds import SoundSettings
from onnxpress.image.opening import open_picture
from onnxpress.image.transform import Transform
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.collators import BOXES, PadTokens, Stack, size_of, token_ids, token_sample
from onnxpress.pipelines.pictures import picture_collator, picture_sample
from onnxpress.pipelines.sounds import sound_collator, sound_sample
from onnxpress.samples import Sample
from onnxpress.text.tokenizer import Encoding, Tokenizer, Truncation
from onnxpress_exporter.gate import timing
from onnxpress_exporter.gate.comparison import Arrays
from onnxpress_exporter.gate.lengths import LONGEST_TOKENS, far_tokens, weights_of
from onnxpress_exporter.gate.outputs import Collated, Named
from onnxpress_exporter.judging.pictures import verification_pictures
from onnxpress_exporter.judging.samples import Sample as TextSample
from onnxpress_exporter.judging.samples import far_text, samples
from onnxpress_exporter.judging.sounds import verification_sounds
from onnxpress_exporter.tasks.row import Probes

Check = Callable[[TextSample, Encoding, int], None]

#: Rows of at most this many tokens are batched together; longer ones meet in a batch of two.
SHORT_TOKENS = 64


class Probe(Protocol):
    """What a graph is asked. `samples`: awkward inputs; `shapes`: (batch, cost of a row) at which it is timed."""

    samples: list[Named]
    #: Whether samples of different sizes can share a batch, if the model allows.
    pads: bool

    @property
    def shapes(self) -> Sequence[tuple[int, int]]:
        """Batches and costs that suit the model."""

    def arrays(self, batch: int, cost: int) -> Arrays:
        """A batch of so many rows of this cost."""

    def collate(self, rows: Sequence[Sample]) -> Collated:
        """Samples as the graph takes them."""


class TextProbe:
    """As `Probe` says: the task's texts, tokenized as the runtime does it; those without any token are left out.

    Args:
        probes: which samples.
        far: tokens of one sample that is as long as the model takes, None: without one.
        graph: whose inputs the batches have.
        check: called with each sample, its encoding and the limit it was cut at.
    """

    pads = True

    def __init__(
        self, probes: Probes, graph: GraphInfo, tokenizer: Tokenizer, far: int | None = None, check: Check | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._size = size_of(graph.inputs[0])
        self._dtypes = {tensor.name: tensor.dtype for tensor in graph.inputs}
        self._generator = np.random.default_rng(0)
        self.limit = min(tokenizer.settings.max_length or LONGEST_TOKENS, LONGEST_TOKENS)
        mask = tokenizer.settings.special_tokens.get("mask") if probes.masked else None
        self.samples: list[Named] = []

        def add(sample: TextSample, limit: int, *, alone: bool = False) -> None:
            texts: list[Any] = [sample.text, sample.pair]
            if BOXES in self._dtypes:  # a box is a word's
                texts = [text and (text.split() or None) for text in texts]
                texts[0] = texts[0] or []
            encoding = tokenizer.encode(*texts, truncation=Truncation(limit))
            if check is not None:
                check(sample, encoding, limit)
            if encoding.ids:
                row = self._boxed(token_sample(encoding.ids, encoding.type_ids))
                self.samples.append(Named(sample.name, row, alone, short=row.cost <= SHORT_TOKENS))

        usual = samples(pairs=probes.pairs, mask_token=None if mask is None else mask.text)
        for sample in usual:
            add(sample, self.limit)
        if far is not None:
            # As the last sample is: a pair where the task takes pairs.
            add(replace(usual[-1], name=f"{far} tokens, as many as are verified", text=far_text(far)), far, alone=True)

    @property
    def shapes(self) -> Sequence[tuple[int, int]]:
        """(batch, tokens) at which graphs are timed."""
        limit = self._tokenizer.settings.max_length
        return [shape for shape in timing.SHAPES if limit is None or shape[1] <= limit]

    def arrays(self, batch: int, cost: int) -> Arrays:
        """Rows of so many tokens, of the ids of a real text."""
        ids = token_ids(max(self.samples, key=lambda sample: sample.row.cost).row)
        row = self._boxed(token_sample([ids[i % len(ids)] for i in range(cost)]))
        return self.collate([row] * batch).arrays

    def _boxed(self, row: Sample) -> Sample:
        """With boxes at random, one for each token, where the graph takes boxes: int64 (tokens, 4)."""
        if BOXES not in self._dtypes:
            return row
        corners = np.sort(self._generator.integers(0, 1001, (row.cost, 2, 2)), axis=1)
        return replace(row, arrays={**row.arrays, BOXES: corners.reshape(-1, 4)})

    def collate(self, rows: Sequence[Sample]) -> Collated:
        """Rows as the graph takes them, padded as the tokenizer's settings say."""
        settings = self._tokenizer.settings
        collator = PadTokens(
            tuple(self._dtypes),
            settings.pad_token_id,
            settings.pad_token_type_id,
            settings.padding_side,
            dtypes=self._dtypes,
            size=self._size,
        )
        batch = collator.collate(rows)
        return Collated(batch.arrays, batch.spans)


class StackProbe:
    """As `Probe` says, of pictures or of sounds: awkward ones, as the manifest's program makes them; those of a shape
    that it refuses are left out.

    Args:
        inputs: names and inputs.
        read: an input as a sample. It raises InputError where the program refuses it.
    """

    def __init__(self, inputs: Iterable[tuple[str, Any]], read: Callable[[Any], Sample], collator: Stack) -> None:
        self._collator = collator
        self.samples: list[Named] = []
        for title, raw in inputs:
            with suppress(InputError):
                self.samples.append(Named(title, read(raw)))
        self.pads = len({collator.key(sample.row) for sample in self.samples}) == 1
        # Otherwise they meet only those of their own size.
        self.samples = [replace(sample, short=self.pads) for sample in self.samples]

    def leave_out_refused(self, run: Callable[[Arrays], object]) -> None:
        """Forget inputs that the model itself cannot take, such as pictures smaller than what its convolutions look at.

        Args:
            run: the model, which raises RuntimeError of them, as PyTorch does.
        """
        taken: list[Named] = []
        refusal: RuntimeError | None = None
        for sample in self.samples:
            try:
                run(self.collate([sample.row]).arrays)
            except RuntimeError as error:
                refusal = error
            else:
                taken.append(sample)
        if refusal is not None and not taken:
            raise refusal
        self.samples = taken

    @property
    def shapes(self) -> Sequence[tuple[int, int]]:
        """(batch, cost) at which graphs are timed."""
        cost = self.samples[-1].row.cost
        return [(1, cost), (8, cost)]

    def arrays(self, batch: int, cost: int) -> Arrays:
        """A batch of one input."""
        return self.collate([self.samples[-1].row] * batch).arrays

    def key(self, row: Sample) -> Hashable:
        """Only inputs of one key meet."""
        return self._collator.key(row)

    def collate(self, rows: Sequence[Sample]) -> Collated:
        """Inputs one above the other."""
        return Collated(self._collator.collate(rows).arrays, (slice(None),) * len(rows))


def _of_pictures(settings: ImageSettings) -> StackProbe:
    transform = Transform(settings)
    return StackProbe(
        verification_pictures(),
        lambda picture: picture_sample(transform, open_picture(picture)),
        picture_collator(settings, padding=True),
    )


def _of_sounds(settings: SoundSettings) -> StackProbe:
    transform = SoundTransform(settings)
    return StackProbe(
        verification_sounds(settings.rate),
        lambda sound: sound_sample(transform, sound),
        sound_collator(settings, padding=True),
    )


class JointProbe:
    """As `Probe` says, of texts and pictures that one graph reads together: every text with a picture of one size, and
    every awkward picture with a short text."""

    def __init__(self, texts: TextProbe, pictures: StackProbe) -> None:
        self._texts, self._pictures = texts, pictures
        self.pads = True
        sizes = [sample.row for sample in pictures.samples]
        key = pictures.key(sizes[-1])
        alike = [row for row in sizes if pictures.key(row) == key]
        short = texts.samples[0].row
        pairs = [(text, alike[place % len(alike)]) for place, text in enumerate(texts.samples)]
        self.samples = [replace(text, row=_joined(text.row, picture)) for text, picture in pairs]
        self.samples += [replace(each, row=_joined(short, each.row), alone=True) for each in pictures.samples]

    @property
    def shapes(self) -> Sequence[tuple[int, int]]:
        """(batch, tokens of the question) at which graphs are timed."""
        return [(batch, tokens) for batch, tokens in self._texts.shapes if tokens <= _QUESTION_TOKENS]

    def arrays(self, batch: int, cost: int) -> Arrays:
        """A batch of one picture with a question of so many tokens."""
        pictures = self._pictures.collate([self._pictures.samples[-1].row] * batch).arrays
        return {**self._texts.arrays(batch, cost), **pictures}

    def collate(self, rows: Sequence[Sample]) -> Collated:
        """Rows as the graph takes them."""
        texts = [replace(row, cost=len(row.arrays["input_ids"])) for row in rows]
        batch = self._texts.collate(texts)
        return Collated({**batch.arrays, **self._pictures.collate([_picture(row) for row in rows]).arrays}, batch.spans)


#: Tokens of a question that is timed with a picture.
_QUESTION_TOKENS = 32

_OF_TEXT = ("input_ids", "token_type_ids")


def _joined(text: Sample, picture: Sample) -> Sample:
    return Sample({**text.arrays, **picture.arrays}, text.cost + picture.cost)


def _picture(row: Sample) -> Sample:
    return replace(row, arrays={name: array for name, array in row.arrays.items() if name not in _OF_TEXT})


def probe_of(
    artifact: Artifact, name: str, probes: Probes, tokenizer: Tokenizer | None, check: Check | None = None
) -> Probe:
    """What a graph of an artifact is asked.

    Args:
        name: the graph's.
        check: called with each text, its encoding and the limit it was cut at.

    Raises:
        InputError: the artifact says of neither texts, pictures nor sounds how they are read.
    """
    manifest = artifact.manifest
    graph, pictures, sounds = manifest.graphs[name], manifest.processors.image, manifest.processors.audio
    names = {tensor.name for tensor in graph.inputs}
    sees = pictures is not None and not names.isdisjoint(pictures.input_names)
    if pictures is not None and sees and "input_ids" not in names:
        return _of_pictures(pictures)
    if sounds is not None and not names.isdisjoint(sounds.input_names):
        return _of_sounds(sounds)
    if tokenizer is None:
        raise InputError(f"{artifact.folder}: it says of neither texts, pictures nor sounds how they are read.")
    far = far_tokens(tokenizer.settings.max_length, weights_of(artifact))
    texts = TextProbe(probes, graph, tokenizer, far, check)
    return JointProbe(texts, _of_pictures(pictures)) if pictures is not None and sees else texts
