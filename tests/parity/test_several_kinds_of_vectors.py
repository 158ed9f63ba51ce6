"""Models that give a dense vector, a sparse one and one for each token in one pass (BGE-M3), against FlagEmbedding's
formulas, which are written here once more."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.checkpoint import open_checkpoint
from onnxpress_exporter.tasks.loading import infer_task, suited_row
from tests.fixtures.tiny import HIDDEN
from tests.parity.texts import SENTENCES

TEXTS = [*SENTENCES[:6], "", "fox fox fox", " . , ", "the quick brown fox, " * 40]
ALL = ("dense", "sparse", "tokens")
WIDTH = 12


def several_checkpoint(bare: Path, folder: Path, *, pickled: bool = False, library: bool = True) -> Path:
    """The files of BAAI/bge-m3: a transformer, sentence-transformers' files of its dense vectors, and two layers."""
    import torch
    from safetensors.torch import save_file

    shutil.copytree(bare, folder, ignore=shutil.ignore_patterns("1_Pooling", "modules.json"))
    generator = torch.Generator().manual_seed(0)
    for name, out in (("sparse_linear", 1), ("colbert_linear", WIDTH)):
        layer = {"weight": torch.randn(out, HIDDEN, generator=generator), "bias": torch.randn(out, generator=generator)}
        if pickled:
            torch.save(layer, folder / f"{name}.pt")
        else:
            save_file(layer, folder / f"{name}.safetensors")
    if library:
        kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
        modules = [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (path, kind) in enumerate(kinds)
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        pooling = {
            "word_embedding_dimension": HIDDEN,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": False,
        }
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def _theirs(folder: Path, text: str) -> dict[str, Any]:
    """EncoderOnlyEmbedderM3ModelForInference and M3Embedder.encode_single_device, for one text."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    layers = {
        name: load_file(folder / f"{name}.safetensors") if (folder / f"{name}.safetensors").is_file()
        else torch.load(folder / f"{name}.pt", weights_only=True)
        for name in ("sparse_linear", "colbert_linear")
    }  # fmt: skip
    inputs = tokenizer(
        [text], truncation=True, max_length=model.config.max_position_embeddings - 2, return_tensors="pt"
    )
    with torch.no_grad():
        states = model(**inputs).last_hidden_state[0]
    weighed, vectors = (states @ layer["weight"].T + layer["bias"] for layer in layers.values())
    unused = {tokenizer.cls_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
    weights: dict[int, float] = {}
    for number, weight in zip(inputs["input_ids"][0].tolist(), torch.relu(weighed)[:, 0].tolist(), strict=True):
        if number not in unused and weight > weights.get(number, 0):
            weights[number] = weight
    normalize = torch.nn.functional.normalize
    return {
        "dense": normalize(states[0], dim=-1).numpy(),
        "sparse": weights,
        "tokens": normalize(vectors[1:], dim=-1).numpy(),
    }


def _scores(query: dict[str, Any], document: dict[str, Any]) -> list[float]:
    """compute_dense_score, compute_lexical_matching_score and colbert_score."""
    common = set(query["sparse"]) & set(document["sparse"])
    best = (query["tokens"] @ document["tokens"].T).max(axis=1)
    return [
        float(query["dense"] @ document["dense"]),
        sum(query["sparse"][number] * document["sparse"][number] for number in common),
        float(best.mean()) if len(best) else 0.0,
    ]


@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("architecture", ["xlm_roberta"])
def test_all_kinds_of_one_pass(
    tiny: Callable[..., Path], shared: Path, ours: Callable[..., Any], architecture: str, library: bool
) -> None:
    bare = tiny(architecture, "feature-extraction")
    folder = shared / f"several-{architecture}-{library}"
    if not folder.exists():
        several_checkpoint(bare, folder, library=library)
    pipe = ours(folder, "sentence-similarity")
    together, dense = pipe(TEXTS, kinds=ALL), pipe(TEXTS)
    expected = [_theirs(folder, text) for text in TEXTS]
    for text, obtained, vector, theirs in zip(TEXTS, together, dense, expected, strict=True):
        alone = pipe(text, kinds=ALL)
        for vectors in (obtained, alone):
            assert list(vectors) == list(ALL)
            np.testing.assert_allclose(vectors["dense"], theirs["dense"], atol=1e-5)
            np.testing.assert_allclose(vectors["tokens"], theirs["tokens"], atol=1e-5)
            assert vectors["sparse"]["indices"].tolist() == sorted(theirs["sparse"])
            values = [theirs["sparse"][number] for number in sorted(theirs["sparse"])]
            np.testing.assert_allclose(vectors["sparse"]["values"], values, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(vector, theirs["dense"], atol=1e-5)
    assert any(theirs["sparse"] for theirs in expected)
    parts = np.array([_scores(expected[0], theirs) for theirs in expected])
    np.testing.assert_allclose(pipe.score(TEXTS[0], TEXTS), parts.mean(axis=1), atol=1e-4, rtol=1e-4)
    weighed = pipe.score(TEXTS[0], TEXTS, weights={"dense": 0.4, "sparse": 0.2, "tokens": 0.4})
    np.testing.assert_allclose(weighed, parts @ [0.4, 0.2, 0.4], atol=1e-4, rtol=1e-4)
    only = pipe.score(TEXTS[0], TEXTS, weights={"sparse": 1})
    np.testing.assert_allclose(only, parts[:, 1], atol=1e-4, rtol=1e-4)
    compared = pipe({"source_sentence": TEXTS[0], "sentences": TEXTS[1:3]}, kinds=ALL)
    np.testing.assert_allclose(compared, parts[1:3].mean(axis=1), atol=1e-4, rtol=1e-4)


def test_pickled_layers_are_read_with_leave_alone(tiny: Callable[..., Path], tmp_path: Path) -> None:
    folder = several_checkpoint(tiny("xlm_roberta", "feature-extraction"), tmp_path / "pickled", pickled=True)
    checkpoint = open_checkpoint(folder)
    assert infer_task(checkpoint) == "sentence-similarity"
    model = _loaded(checkpoint)
    with pytest.raises(UnsupportedCheckpoint, match=r"sparse_linear\.pt is a pickle"):
        suited_row("sentence-similarity", checkpoint).by_rows(model)
    allowed = open_checkpoint(folder, allow_pickled_weights=True)
    module = suited_row("sentence-similarity", allowed).by_rows(model)
    assert module.makes.weight.shape == (WIDTH, HIDDEN)


def test_code_in_pickled_layers_never_runs(tiny: Callable[..., Path], tmp_path: Path) -> None:
    folder = several_checkpoint(tiny("xlm_roberta", "feature-extraction"), tmp_path / "hostile", pickled=True)
    marker = tmp_path / "ran"

    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    (folder / "sparse_linear.pt").write_bytes(pickle.dumps({"weight": Runs()}))
    checkpoint = open_checkpoint(folder, allow_pickled_weights=True)
    with pytest.raises(UnsupportedCheckpoint, match="does not hold tensors alone"):
        suited_row("sentence-similarity", checkpoint).by_rows(_loaded(checkpoint))
    assert not marker.exists()


def _loaded(checkpoint: Any) -> Any:
    from onnxpress_exporter.tasks.loading import load_model

    return load_model(checkpoint, "sentence-similarity")
