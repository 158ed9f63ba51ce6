"""The samples of verification as rows of token ids, and the batches they make. Knows neither torch nor a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from onnxpress.format.manifest import GraphInfo
from onnxpress.pipelines.collators import PadTokens, token_ids, token_sample
from onnxpress.samples import Sample as TokenSample
from onnxpress.text.tokenizer import Encoding, Tokenizer, Truncation
from onnxpress_exporter.gate.lengths import LONGEST_TOKENS
from onnxpress_exporter.gate.outputs import Collated, Named
from onnxpress_exporter.judging.samples import Sample, far_text, samples
from onnxpress_exporter.tasks.row import Probes

Check = Callable[[Sample, Encoding, int], None]


class Probe:
    """The task's samples, tokenized as the runtime does it; those without any token are left out.

    Args:
        probes: which samples.
        far: tokens of one sample that is as long as the model takes, None: without one.
        graph: whose inputs the batches have.
        check: called with each sample, its encoding and the limit it was cut at.
    """

    def __init__(
        self, probes: Probes, graph: GraphInfo, tokenizer: Tokenizer, far: int | None = None, check: Check | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._dtypes = {tensor.name: tensor.dtype for tensor in graph.inputs}
        self.limit = min(tokenizer.settings.max_length or LONGEST_TOKENS, LONGEST_TOKENS)
        mask = tokenizer.settings.special_tokens.get("mask") if probes.masked else None
        self.samples: list[Named] = []

        def add(sample: Sample, limit: int, *, alone: bool = False) -> None:
            encoding = tokenizer.encode(sample.text, sample.pair, truncation=Truncation(limit))
            if check is not None:
                check(sample, encoding, limit)
            if encoding.ids:
                self.samples.append(Named(sample.name, token_sample(encoding.ids, encoding.type_ids), alone))

        usual = samples(pairs=probes.pairs, mask_token=None if mask is None else mask.text)
        for sample in usual:
            add(sample, self.limit)
        if far is not None:
            # As the last sample is: a pair where the task takes pairs.
            add(replace(usual[-1], name=f"{far} tokens, as many as are verified", text=far_text(far)), far, alone=True)

    @property
    def longest(self) -> Sequence[int]:
        """The token ids of the longest sample."""
        return token_ids(max(self.samples, key=lambda sample: sample.row.cost).row)

    def collate(self, rows: Sequence[TokenSample]) -> Collated:
        """Rows as the graph takes them, padded as the tokenizer's settings say."""
        settings = self._tokenizer.settings
        collator = PadTokens(
            tuple(self._dtypes),
            settings.pad_token_id,
            settings.pad_token_type_id,
            settings.padding_side,
            dtypes=self._dtypes,
        )
        batch = collator.collate(rows)
        return Collated(batch.arrays, batch.spans)
