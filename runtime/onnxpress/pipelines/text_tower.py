"""Vectors of texts beside pictures or sounds, from the graph that reads texts; those of late are remembered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.providers import provider_of
from onnxpress.errors import InputError
from onnxpress.math import normalize
from onnxpress.pipelines.batching import Limits, run_samples
from onnxpress.pipelines.collators import size_of
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.recent import Recent
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.samples import Batch, Sample

Vectors = NDArray[np.float32]

#: What the graph does in its model.
TEXT_ROLE = "text"

#: Vectors of single texts that are remembered: of 1024 numbers each, 32 MB.
TEXTS_KEPT = 8192

#: Several texts whose vectors are remembered as one array: calls with the same labels ask for the same one.
_SETS_KEPT = 16


class TextTower:
    """`embed(texts)` -> float32 (texts, dimensions), each of length 1. Thread-safe, picklable."""

    def __init__(self, model: LoadedModel) -> None:
        manifest = model.artifact.manifest
        self._session, self._graph = model.session, manifest.graph_name(TEXT_ROLE)
        info = manifest.graphs[self._graph]
        self._output = info.outputs[0].name
        self._dimensions = int(info.outputs[0].axes[-1])
        self._processor = TextProcessor(model)
        pairs = manifest.postprocessing.pairs
        self._cuts = pairs is not None and pairs.cuts
        budget = provider_of(model.session.device).budget_tokens
        width = size_of(info.inputs[0]).width
        most = None if width is None else max(1, budget // width)
        self._limits = Limits(budget, most, self._processor.collator.key)
        self._texts: Recent[tuple[str, bool], Vectors] = Recent(TEXTS_KEPT)
        self._sets: Recent[tuple[tuple[str, ...], bool], Vectors] = Recent(_SETS_KEPT)

    def embed(self, texts: Sequence[str], *, truncation: bool = False) -> Vectors:
        """float32 (texts, dimensions), not to be written to.

        Args:
            truncation: cut texts that are too long, which is always done where the model's own pipeline does.

        Raises:
            InputError: one is no text, or longer than the model takes.
        """
        cuts = truncation or self._cuts
        asked = (tuple(texts), cuts)
        try:
            known = self._sets.recall([asked])
        except TypeError:  # not hashable, so that one of them is no text
            known = {}
        if known:
            return known[asked]
        vectors = self._embedded(texts, cuts)
        self._sets.remember({asked: vectors})
        return vectors

    def samples(self, texts: Sequence[str], *, truncation: bool = False) -> list[Sample]:
        """The texts as the graph takes them.

        Raises:
            InputError: as of `embed`.
        """
        processor = self._processor
        cut = processor.truncation() if truncation or self._cuts else None
        rows = []
        checked = [processor.text(text) for text in texts]
        for text, encoding in zip(checked, processor.encodings(checked, truncation=cut), strict=True):
            limit = processor.limit()
            if limit is not None and len(encoding.ids) > limit:
                raise InputError(
                    f"The text {text!r:.60} has {len(encoding.ids)} tokens, and the model takes {limit} at most. Make "
                    "it shorter."
                )
            rows.append(processor.sample_of(encoding))
        return rows

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """A batch of texts, padded as the model wants it."""
        return self._processor.collator.collate(samples)

    def _embedded(self, texts: Sequence[str], cuts: bool) -> Vectors:
        known = self._texts.recall((text, cuts) for text in texts if isinstance(text, str))
        new = list(dict.fromkeys(text for text in texts if not isinstance(text, str) or (text, cuts) not in known))
        rows = run_samples(self.samples(new, truncation=cuts), self._run, self._limits)
        computed = {(text, cuts): row for text, row in zip(new, rows, strict=True)}
        self._texts.remember(computed)
        known |= computed
        vectors = np.array([known[text, cuts] for text in texts], np.float32).reshape(len(texts), self._dimensions)
        vectors.flags.writeable = False
        return vectors

    def _run(self, samples: Sequence[Sample]) -> list[Vectors]:
        outputs = self._session.run(self.collate(samples).arrays, graph=self._graph)
        return list(normalize(outputs[self._output][: len(samples)]))
