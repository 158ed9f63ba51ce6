"""What the trained models of this repository write, in every precision: translations by BLEU, prose by perplexity."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import onnxpress
from onnxpress.layouts.artifact import Artifact
from onnxpress_exporter import export

MODELS = Path(__file__).resolve().parents[2] / "models"
sys.path.insert(0, str(MODELS))
from training.scores import bleu  # noqa: E402

ROWS = 80


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(MODELS / "tiny-translator", tmp_path_factory.mktemp("veltan") / "out", None, ("fp32", "int8", "q4"))


@pytest.mark.parametrize("precision", ["fp32", "int8", "q4"])
def test_translations_stay_as_good(translator: Artifact, precision: str) -> None:
    lines = (MODELS / "tiny-translator" / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:ROWS]
    rows = [json.loads(line) for line in lines]
    with onnxpress.pipeline(model=translator, precision=precision) as pipe:
        found = [one["translation_text"] for one in pipe([row["text"] for row in rows])]
    assert bleu(found, [row["translation"] for row in rows]) > 0.97


def test_prose_stays_as_likely(tmp_path: Path) -> None:
    made = export(MODELS / "tiny-lm", tmp_path / "out", None, ("fp32", "q8", "q4"))
    for precision, most in (("q8", 1.01), ("q4", 1.05)):
        quality = made.manifest.variants[precision].quality
        assert quality is not None and quality.measures["perplexity ratio"] < most
