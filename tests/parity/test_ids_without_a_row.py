"""A tokenizer that knows more tokens than the model's table has rows: the same error in every precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import onnxpress
from onnxpress import InputError
from tests.fixtures.tiny import tiny_checkpoint

PRECISIONS = ("fp32", "int8", "q8", "q4")
EASY = {"label agreement": 0.0, "largest score difference": 2.0}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough for a table of integers, whose kernel answers for any id."""
    import transformers

    from onnxpress_exporter import export
    from onnxpress_exporter.quantize.settings import Settings

    folder = tmp_path_factory.mktemp("ids")
    tiny_checkpoint("bert", "text-classification", folder / "model", num_hidden_layers=1, hidden_size=320)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.add_tokens(["brandnew"])
    tokenizer.save_pretrained(folder / "model")
    settings = Settings(keep_slow=True, repair_s=0, thresholds=EASY)
    export(folder / "model", folder / "out", precision=PRECISIONS, quantization=settings)
    return folder / "out"


@pytest.mark.nightly
@pytest.mark.parametrize("precision", PRECISIONS)
def test_ids_without_a_row_are_refused(artifact: Path, precision: str) -> None:
    with onnxpress.pipeline("text-classification", artifact, precision=precision) as pipe:
        alone = pipe(["hello", "fox"])
        first, refused, last = pipe(["hello", "a brandnew fox", "fox"], on_error="return")
        assert [first["score"], last["score"]] == pytest.approx([answer["score"] for answer in alone], abs=1e-5)
        assert isinstance(refused, InputError) and "no row for the token 'brandnew'" in str(refused)
        rows = pipe.tokenizer.vocab_size
        for number in (rows, 10**12, -1):
            ids = np.array([[2, number, 3]])
            arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            with pytest.raises(InputError, match=f"no row for the token .*id {number}"):
                pipe.model(**arrays)
            with pytest.raises(InputError, match=rf"input_ids holds {number} at \[0, 1\]"):
                pipe.session.run(arrays)
