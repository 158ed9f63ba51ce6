"""multiple-choice: which of several texts goes on from a prompt; the graph scores one pair of them in each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from onnxpress.format.manifest import Manifest, TensorInfo
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.figures import (
    Answers,
    Compare,
    Figures,
    batch_disagreement,
    compare_labels,
    equal_labels,
)
from onnxpress_exporter.judging.metrics import Evaluation, Scorer
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes
from onnxpress_exporter.tasks.sequence_rows import beside_first_separator, counts_separators

if TYPE_CHECKING:
    import torch

#: Choices of one judged prompt.
_CHOICES = 4

_PROMPTS = ("prompt", "context", "ctx", "sent1", "startphrase", "premise", "question", "article")
_LABELS = ("label", "labels", "answer", "target")
_ENDINGS = tuple(f"ending{place}" for place in range(_CHOICES))


def _outputs(model: Any) -> tuple[TensorInfo, ...]:
    """One logit a row; what makes scores of them is the softmax over one prompt's rows."""
    return (TensorInfo("logits", "float32", ("batch", 1)),)


def _by_rows(model: Any) -> torch.nn.Module:
    """Let the model take one choice for each prompt: int64 (batch, sequence), not (batch, choices, sequence)."""
    import torch

    class Pairs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint, self.config = model, model.config
            self.set_attn_implementation = model.set_attn_implementation

        def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            if counts_separators(model):
                _, inputs["global_attention_mask"] = beside_first_separator(model, inputs["input_ids"])
            return {"logits": self.checkpoint(**{name: ids[:, None] for name, ids in inputs.items()}).logits}

    return Pairs().eval()


def _items(texts: Sequence[str], manifest: Manifest) -> list[Any]:
    """The first half of each text, and the second halves of this one and of those after it, in another order each."""
    halves = [_halves(text) for text in texts]
    items = []
    for place, (prompt, _) in enumerate(halves):
        choices = [halves[(place + step) % len(halves)][1] for step in range(_CHOICES)]
        turn = place % _CHOICES
        items.append({"prompt": prompt, "choices": [*choices[turn:], *choices[:turn]]})
    return items


def _halves(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    return text[:middle], text[middle:]


def _compare(reference: Answers, answers: Answers, compare: Compare = compare_labels) -> Figures:
    """[{"index", "choice", "score"}, ...] for each prompt."""
    return compare(_by_index(reference), _by_index(answers))


def _by_index(answers: Answers) -> list[Any]:
    return [[{"label": entry["index"], "score": entry["score"]} for entry in answer] for answer in answers]


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    items, targets = [], []
    for row in rows:
        choices = _choices(row)
        items.append({"prompt": cells.text(row["prompt"]), "choices": choices})
        targets.append(choices.index(cells.label(row["label"], choices)))
    return Evaluation(name, Scorer(("accuracy",), _accuracy), items, targets)


def _choices(row: Mapping[str, Cell]) -> list[str]:
    if "choices" in row:
        choices = cells.several(row["choices"], cells.text, "texts")
        return choices if len(choices) > 1 else row["choices"].fail("two choices or more")
    begun = f"{cells.text(row['beginning'], empty=True)} " if "beginning" in row else ""
    return [f"{begun}{cells.text(row[ending])}" for ending in _ENDINGS]


def _accuracy(answers: Sequence[Any], targets: Sequence[int]) -> dict[str, float]:
    right = [answer[0]["index"] == target for answer, target in zip(answers, targets, strict=True)]
    return {"accuracy": sum(right) / len(right)}


MULTIPLE_CHOICE = ExportTask(
    name="multiple-choice",
    head=Head("AutoModelForMultipleChoice", ("ForMultipleChoice",)),
    outputs=_outputs,
    by_rows=_by_rows,
    postprocessing=no_postprocessing,
    probes=Probes(pairs=True),
    items=_items,
    compare=_compare,
    beside_others=batch_disagreement(partial(_compare, compare=equal_labels)),
    metric=Metric(
        (
            {"prompt": _PROMPTS, "choices": ("choices", "endings", "options", "candidates"), "label": _LABELS},
            # SWAG's: what every ending begins with stands in a column of its own.
            {
                "prompt": _PROMPTS,
                "beginning": ("sent2",),
                **{ending: (ending,) for ending in _ENDINGS},
                "label": _LABELS,
            },
            {"prompt": _PROMPTS, **{ending: (ending,) for ending in _ENDINGS}, "label": _LABELS},
        ),
        _evaluation,
    ),
)
