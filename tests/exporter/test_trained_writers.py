"""What the trained models of this repository write, in every precision: translations by BLEU, prose by perplexity."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.format.fidelity import answers_of
from onnxpress.generation.decoders.models import decoder_model
from onnxpress.generation.generate import complete
from onnxpress.generation.requests import Request
from onnxpress.generation.scheduler import Scheduler, opener
from onnxpress.generation.settings import GenerationConfig
from onnxpress.layouts.artifact import Artifact
from tests.conftest import Exported

MODELS = Path(__file__).resolve().parents[2] / "models"
sys.path.insert(0, str(MODELS))
from training.scores import bleu  # noqa: E402

ROWS = 80


@pytest.fixture(scope="module")
def translator(exported: Exported) -> Artifact:
    return exported(MODELS / "tiny-translator", None, ("fp32", "int8", "q4"))


@pytest.mark.parametrize("precision", ["fp32", "int8", "q4"])
def test_translations_stay_as_good(translator: Artifact, precision: str) -> None:
    lines = (MODELS / "tiny-translator" / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:ROWS]
    rows = [json.loads(line) for line in lines]
    with onnxpress.pipeline(model=translator, precision=precision) as pipe:
        found = [one["translation_text"] for one in pipe([row["text"] for row in rows])]
    assert bleu(found, [row["translation"] for row in rows]) > 0.97


@pytest.fixture(scope="module")
def prose(exported: Exported) -> Artifact:
    return exported(MODELS / "tiny-lm", None, ("fp32", "q8", "q4"))


def test_four_bits_keep_the_choices_of_prose(prose: Artifact) -> None:
    """The smallest storage, which keeps three of four, is passed over for one that keeps what the row asks."""
    variant = prose.manifest.variants["q4"]
    assert variant.quality is not None and variant.quality.measures["next-token agreement"] >= 0.85
    assert "next-token agreement 0.7" in variant.repair[0] and variant.repair[-1].endswith("passed")
    assert answers_of("q4", variant) == "close" and "close to the original" in (prose.folder / "README.md").read_text()


def test_prose_stays_as_likely(prose: Artifact) -> None:
    for precision, most in (("q8", 1.01), ("q4", 1.05)):
        quality = prose.manifest.variants[precision].quality
        assert quality is not None and quality.measures["perplexity ratio"] < most


@pytest.mark.parametrize(("precision", "rows"), [("fp32", 1), ("q8", 1), ("q4", 2)])
def test_prose_is_the_same_beside_others_that_come_and_go(prose: Artifact, precision: str, rows: int) -> None:
    """Greedy and drawn texts of the trained model, which join a scheduler while others write.

    A single row of 4-bit products goes through another kernel, which rounds otherwise: there a text is compared with
    what it is beside itself, and never writes alone.
    """
    with onnxpress.pipeline(model=prose, precision=precision, threads=1) as pipe:
        model = decoder_model(pipe.manifest, pipe.session, prefix_bytes=0)
        lines = (MODELS / "tiny-lm" / "texts.jsonl").read_text(encoding="utf-8").splitlines()[:20]
        ids = list(pipe.processor.tokenizer.encode(" ".join(json.loads(line)["text"] for line in lines)).ids)
        calls: list[dict[str, Any]] = [{}, {"do_sample": True, "seed": 3}, {"repetition_penalty": 1.3}]
        requests = [
            Request(
                ids[40 * place : 40 * place + 5 + 37 * place % 200],
                GenerationConfig(max_new_tokens=8 + 5 * place, **calls[place % 3]),
            )
            for place in range(12)
        ]
        scheduler = Scheduler(opener(model), model.limit, rows=4)
        companion = scheduler.admit(Request(ids[:9], GenerationConfig(max_new_tokens=400)))
        written: dict[int, list[int]] = defaultdict(list)
        waiting = list(requests)
        while waiting or scheduler.rows > 1:
            if waiting and scheduler.waiting < 2:
                scheduler.admit(waiting.pop(0))
            for request, event in scheduler.step():
                written[request].append(int(event.token or 0))
        assert scheduler.busy, "the companion writes to the end"
        for number, request in enumerate(requests, companion + 1):
            texts = complete(model.start(rows, len(request.prompt)), [request.prompt] * rows, request.config)
            assert written[number] == list(texts[0][0].ids)
