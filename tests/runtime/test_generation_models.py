"""From an artifact's manifest to the model that its graphs make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onnxpress.engine.session import Session
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GenerationSettings, GraphInfo, Manifest
from onnxpress.generation.decoders.cross import CrossModel
from onnxpress.generation.decoders.growing import GrowingDecoder
from onnxpress.generation.decoders.models import decoder_model, encoder_decoder_model
from onnxpress.generation.decoders.rows import RowsDecoder
from onnxpress.generation.decoders.shared import SharedDecoder
from tests.fixtures import decoder_graphs as graphs
from tests.fixtures.manifests import manifest


def of(cache: str, **infos: GraphInfo) -> Manifest:
    return replace(manifest(), graphs=infos, generation=GenerationSettings(cache, 50))  # type: ignore[arg-type]


MADE: dict[str, tuple[Callable[[Path], GraphInfo], type]] = {
    "shared": (graphs.shared_decoder, SharedDecoder),
    "growing": (graphs.growing_decoder, GrowingDecoder),
    "state": (graphs.state_decoder, RowsDecoder),
    "none": (graphs.whole_decoder, RowsDecoder),
}


@pytest.mark.parametrize("cache", MADE)
def test_decoders(cache: str, tmp_path: Path) -> None:
    make, kind = MADE[cache]
    found = of(cache, model=make(tmp_path / "model.onnx"))
    model = decoder_model(found, Session({"model": tmp_path / "model.onnx"}, threads=1))
    assert type(model.start(1, 5)) is kind
    assert model.limit == 50
    assert model.start(1, 5).prefill(0, [1, 2]).shape == (1, graphs.VOCABULARY)


@pytest.mark.parametrize("cache", ["shared", "growing"])
def test_encoder_decoders(cache: str, tmp_path: Path) -> None:
    make = graphs.shared_decoder if cache == "shared" else graphs.growing_decoder
    paths = {"encoder_model": tmp_path / "e.onnx", "decoder_model_merged": tmp_path / "d.onnx"}
    decoder = make(paths["decoder_model_merged"], cross=True)
    found = of(cache, encoder_model=graphs.encoder(paths["encoder_model"]), decoder_model_merged=decoder)
    model = encoder_decoder_model(found, Session(paths, threads=1))
    assert type(model) is CrossModel
    assert model.limit == 50
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    assert model.encode(ids, np.ones_like(ids), 5).step(np.array([1, 2])).shape == (2, graphs.VOCABULARY)


def test_artifacts_that_have_no_such_model(tmp_path: Path) -> None:
    plain = graphs.shared_decoder(tmp_path / "a.onnx")
    cross = graphs.shared_decoder(tmp_path / "b.onnx", cross=True)
    session = Session({"model": tmp_path / "a.onnx"}, threads=1)
    for call, found, reason in (
        (decoder_model, manifest(), "no graph 'model' that continues text"),
        (encoder_decoder_model, of("shared", model=plain), "no graph 'decoder_model_merged'"),
        (decoder_model, of("shared", model=cross), "wants an encoder's"),
        (encoder_decoder_model, of("shared", decoder_model_merged=cross), "of an encoder"),
        (decoder_model, of("growing", model=plain), "cannot give"),
    ):
        with pytest.raises(UnsupportedFormat, match=reason):
            call(found, session)
