"""Keys and values as integers of 8 bits: what attention answers over them, a variant that has them, refusals."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir
import pytest

import onnxpress
from onnxpress.cli.inspection import describe
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.variants import CACHE
from onnxpress.generation.decoders.models import decoder_model
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.flow import quantize
from onnxpress_exporter.passes.integer_cache import cached, integer_cache
from onnxpress_exporter.quantize.settings import Settings
from tests.exporter.test_form_passes import APART, grouped
from tests.fixtures.graphs import normal, run_all
from tests.fixtures.store import Store

MODEL = Path(__file__).parents[2] / "models" / "tiny-lm"
IN_INTEGERS = Settings(cache="int8")


def test_attention_over_integers_answers_nearly_the_same() -> None:
    usual, other = grouped(APART), grouped(APART)
    assert cached(other) == ["ok", "ov"]
    inputs = {name: normal(1, 6, width, seed=width) for name, width in (("q", 96), ("k", 32), ("v", 32))}
    inputs |= {"lengths": np.array([5], np.int32), "total": np.array(6, np.int32)}
    expected = run_all(usual, **inputs, pk=np.zeros((1, 2, 8, 16), np.float32), pv=np.zeros((1, 2, 8, 16), np.float32))
    largest = {name: np.abs(expected[name]).max(axis=(0, 2)) for name in ("ok", "ov")}
    assert integer_cache(other, largest) == 1
    assert {value.dtype for value in (*other.graph.inputs[3:5], *other.graph.outputs[1:])} == {onnx_ir.DataType.INT8}
    assert cached(other) == []
    obtained = run_all(other, **inputs, pk=np.zeros((1, 2, 8, 16), np.int8), pv=np.zeros((1, 2, 8, 16), np.int8))
    for name in ("ok", "ov"):
        scales = largest[name][None, :, None] / 127
        assert obtained[name][:, :, :6] * scales == pytest.approx(
            expected[name][:, :, :6], abs=0.51 * float(scales.max())
        )
    assert obtained["y"] == pytest.approx(expected["y"], abs=0.05)
    assert not np.array_equal(obtained["y"], expected["y"])


def test_a_variant_keeps_keys_and_values_in_a_quarter_of_the_memory(store: Store) -> None:
    plain = store.artifact(MODEL, precision=("fp32", "q8"))
    artifact = store.artifact(MODEL, precision=("fp32", "q8"), quantization=IN_INTEGERS)
    variant = artifact.manifest.variants["q8"]
    assert "8 bits" in variant.treatments[CACHE]
    assert "q8, keys and values: integers of 8 bits" in " ".join(describe(artifact.manifest).split())
    room = {}
    for name, source in (("float", plain), ("int8", artifact)):
        with closing(Session(source.graphs("q8"))) as session:
            model = decoder_model(source.manifest, session)
            room[name] = model.token_bytes  # type: ignore[attr-defined]
    assert room["float"] == 4 * room["int8"]
    prompts = ["def mean(values):", "The file is"]
    with onnxpress.pipeline(model=artifact.folder, precision="q8") as pipe:
        alone = [pipe(prompt, max_new_tokens=8, do_sample=False) for prompt in prompts]
        assert pipe(prompts, max_new_tokens=8, do_sample=False, batch_size=2) == alone


def test_a_cache_of_16_bits_stays_one(store: Store, tmp_path: Path) -> None:
    plain = store.artifact(MODEL)
    with pytest.raises(VariantRefused, match="its cache is one of 16 bits"):
        quantize(plain.folder, "fp16", tmp_path / "out", settings=IN_INTEGERS)
    with pytest.raises(InputError, match="no cache 'int3'; there are: float, int8"):
        replace(IN_INTEGERS, cache="int3")
