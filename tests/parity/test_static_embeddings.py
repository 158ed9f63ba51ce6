"""Tables of tokens (StaticEmbedding, model2vec) against sentence-transformers."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.checkpoint import open_checkpoint
from onnxpress_exporter.source.static_embeddings import read_table
from onnxpress_exporter.tasks.loading import infer_task, load_model
from tests.parity.texts import SENTENCES

TEXTS = [*SENTENCES[:6], "", "fox", " . , ", "the quick brown fox, " * 40]
DIMENSIONS = 16


def _checkpoint(bare: Path, folder: Path, tensors: dict[str, Any], place: str = "") -> Path:
    """The files of a tokenizer and a table. `place`: of the module's, within the folder."""
    from safetensors.torch import save_file

    (folder / place).mkdir(parents=True)
    shutil.copyfile(bare / "tokenizer.json", folder / place / "tokenizer.json")
    save_file(tensors, folder / place / "model.safetensors")
    (folder / "1_Normalize").mkdir()
    (folder / "1_Normalize" / "config.json").write_text("{}")
    kinds = [(place or ".", "StaticEmbedding"), ("1_Normalize", "Normalize")]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def _tokens(bare: Path) -> int:
    from tokenizers import Tokenizer

    return int(Tokenizer.from_file(str(bare / "tokenizer.json")).get_vocab_size())


def _random(*shape: int) -> Any:
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _check(pipe: Any, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = SentenceTransformer(str(folder), device="cpu")
    expected = theirs.encode(TEXTS)
    together = pipe.encode(TEXTS)
    np.testing.assert_allclose(together, expected, atol=1e-6)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(pipe(text), vector, atol=1e-6)
    assert not pipe("").any()
    np.testing.assert_allclose(
        pipe.similarity(together, together), theirs.similarity(expected, expected).numpy(), atol=1e-5
    )


def test_static_embedding(tiny: Callable[..., Path], shared: Path, ours: Callable[..., Any]) -> None:
    """Its tokenizer cuts texts, as the file says, and the module has a folder of its own."""
    bare, folder = tiny("bert", "feature-extraction"), shared / "static"
    if not folder.exists():
        _checkpoint(bare, folder, {"embedding.weight": _random(_tokens(bare), DIMENSIONS)}, "0_StaticEmbedding")
        path = folder / "0_StaticEmbedding" / "tokenizer.json"
        limit = {"direction": "Right", "max_length": 20, "strategy": "LongestFirst", "stride": 0}
        path.write_text(json.dumps({**json.loads(path.read_text()), "truncation": limit}))
    pipe = ours(folder, "sentence-similarity")
    assert pipe.max_seq_length == 20
    _check(pipe, folder)


def test_model2vec(tiny: Callable[..., Path], shared: Path, ours: Callable[..., Any]) -> None:
    """Rows that tokens share, and a weight for each token."""
    import torch

    bare, folder = tiny("bert", "feature-extraction"), shared / "model2vec"
    if not folder.exists():
        tokens = _tokens(bare)
        tensors = {
            "embeddings": _random(50, DIMENSIONS),
            "mapping": torch.arange(tokens) % 50,
            "weights": torch.linspace(0.1, 2, tokens, dtype=torch.float64),
        }
        _checkpoint(bare, folder, tensors)
        config = {"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": DIMENSIONS}
        (folder / "config.json").write_text(json.dumps(config))
    _check(ours(folder, "sentence-similarity"), folder)


def test_other_tasks_are_refused(tiny: Callable[..., Path], tmp_path: Path) -> None:
    bare = tiny("bert", "feature-extraction")
    checkpoint = open_checkpoint(
        _checkpoint(bare, tmp_path / "static", {"embedding.weight": _random(_tokens(bare), DIMENSIONS)})
    )
    assert infer_task(checkpoint) == "sentence-similarity"
    with pytest.raises(UnsupportedCheckpoint, match="can be exported for sentence-similarity, not for"):
        load_model(checkpoint, "feature-extraction")


def test_tables_that_are_refused(tmp_path: Path) -> None:
    import torch

    table = torch.ones(4, 2)
    with pytest.raises(UnsupportedCheckpoint, match="holds a table of int8"):
        read_table({"embeddings": table.to(torch.int8)}, tmp_path)
    with pytest.raises(UnsupportedCheckpoint, match="names rows that its table does not have"):
        read_table({"embeddings": table, "mapping": torch.tensor([0, 4])}, tmp_path)
    with pytest.raises(UnsupportedCheckpoint, match="weights for 4 tokens"):
        read_table({"embeddings": table, "weights": torch.ones(3)}, tmp_path)
    with pytest.raises(UnsupportedCheckpoint, match="have no table"):
        read_table({"vectors": table}, tmp_path)
