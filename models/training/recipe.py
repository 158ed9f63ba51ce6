"""What a trained model is made of and how it is written: folder, TOML, held-out examples.

The TOML is written by the run that trained the checkpoint, so its numbers are measured ones. It
does not know how any model is trained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

Example = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a run: held-out metrics by name, and the examples that are kept. `processor`: a tokenizer, or an
    image processor, saved beside the model."""

    model: PreTrainedModel
    processor: Any
    metrics: Mapping[str, float]
    heldout_rows: int
    examples: Mapping[str, Sequence[Example]]  # file name -> rows
    #: Where save_pretrained is not the whole folder; returns the file of the weights, if it is not model.safetensors.
    save: Callable[[Path], Path | None] | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named model: how to train it, and which metric has to reach which value."""

    name: str
    task: str
    seed: int
    metric: str
    target: float
    train: Callable[[int], Trained]
    # The loss of metric that a precision may cost before the artifact is refused.
    tolerances: Mapping[str, float]
    lower_is_better: bool = False

    def reached(self, value: float) -> bool:
        """Whether a held-out value is as good as the target."""
        return value <= self.target if self.lower_is_better else value >= self.target


def write(recipe: Recipe, trained: Trained, root: Path) -> int:
    """Write `root/NAME/` and `root/NAME.toml`; returns the bytes of the weights."""
    folder = root / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    if trained.save is None:
        trained.model.save_pretrained(folder)
        trained.processor.save_pretrained(folder)
    else:
        weights = trained.save(folder) or weights
    for name, rows in trained.examples.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / name).write_text(lines, encoding="utf-8")
    size = weights.stat().st_size
    text = _toml(recipe, trained, size)
    (root / f"{recipe.name}.toml").write_text(text, encoding="utf-8")
    return size


def _limits(processor: Any) -> Mapping[str, int]:
    """What a tokenizer knows and takes; nothing of an image processor."""
    if not isinstance(processor, PreTrainedTokenizerBase):
        return {}
    return {"vocabulary": len(processor), "max_length_tokens": processor.model_max_length}


def _toml(recipe: Recipe, trained: Trained, size_bytes: int) -> str:
    parameters = sum(p.numel() for p in trained.model.parameters())
    tables: list[tuple[str, Mapping[str, Any]]] = [
        (
            "",
            {
                "task": recipe.task,
                "architecture": type(trained.model).__name__,
                "checkpoint": recipe.name,
                "script": f"python models/train.py {recipe.name}",
                "seed": recipe.seed,
                "parameters": parameters,
                "size_bytes": size_bytes,
                **_limits(trained.processor),
            },
        ),
        (
            "heldout",
            {
                "metric": recipe.metric,
                "target": recipe.target,
                **({"lower_is_better": True} if recipe.lower_is_better else {}),
                "rows": trained.heldout_rows,
            },
        ),
        ("heldout.measured", {k: round(v, 4) for k, v in trained.metrics.items()}),
        ("tolerances.metric_loss", recipe.tolerances),
    ]
    lines = ["# Written by the run that trained the checkpoint."]
    for title, table in tables:
        if title:
            lines += ["", f"[{title}]"]
        lines += [f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """A name as TOML has it: with quotes where it is more than a word."""
    return name if name.replace("_", "").isalnum() else json.dumps(name)
