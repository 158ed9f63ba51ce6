"""Train the small models: `python models/train.py [NAME ...] [--out DIR]`.

Writes a checkpoint folder and a TOML per model and prints what each reached on held-out text.
Exits with 1 when a model misses its target.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

import click

_HERE = Path(__file__).resolve().parent
# Model name -> module with its recipe; a new model is one module and one row.
MODELS = {
    "tiny-sentiment": "sentiment",
    "tiny-ner": "ner",
    "tiny-qa": "qa",
    "tiny-embedder": "embedder",
    "tiny-topics-multilabel": "topics",
    "tiny-rating-regression": "rating",
    "tiny-nli": "nli",
    "tiny-reranker": "reranker",
    "tiny-mlm": "mlm",
    "tiny-lm": "lm",
    "tiny-translator": "translator",
    "tiny-digits-vit": "digits_vit",
    "tiny-digits-convnet": "digits_convnet",
    "tiny-sounds-ast": "sounds_ast",
    "tiny-words-ctc": "words_ctc",
    "tiny-words-whisper": "words_whisper",
    "tiny-shapes-segmenter": "shapes_segmenter",
    "tiny-shapes-detector": "shapes_detector",
    "tiny-shapes-captioner": "shapes_captioner",
    "tiny-words-ocr": "words_ocr",
    "tiny-shapes-clip": "shapes_clip",
    "tiny-voice": "voice",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(MODELS)))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=_HERE,
    help="Folder to write to; beside this script unless given.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
def main(names: tuple[str, ...], out: Path, threads: int) -> None:
    """Train the models NAMED, or all of them."""
    import torch
    from training.recipe import Recipe, write
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)
    rows, missed = [], []
    for name in names or MODELS:
        recipe: Recipe = importlib.import_module(f"recipes.{MODELS[name]}").RECIPE
        started = time.monotonic()
        trained = recipe.train(recipe.seed)
        seconds = time.monotonic() - started
        size = write(recipe, trained, out)
        for metric, value in trained.metrics.items():
            target = recipe.target if metric == recipe.metric else None
            rows.append((name, metric, value, target, trained.heldout_rows, size, seconds))
        if not recipe.reached(trained.metrics[recipe.metric]):
            missed.append(name)
    click.echo(f"{'model':<26}{'held-out metric':<24}{'value':>8}{'target':>8}{'rows':>7}{'kB':>7}{'s':>6}")
    for name, metric, value, target, count, size, seconds in rows:
        goal = "" if target is None else f"{target:.2f}"
        click.echo(f"{name:<26}{metric:<24}{value:>8.4f}{goal:>8}{count:>7}{size // 1000:>7}{seconds:>6.0f}")
    if missed:
        click.echo(f"Missed the target: {', '.join(missed)}.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
