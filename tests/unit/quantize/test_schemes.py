"""How models that write are stored: what is tried of which graph."""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import Blocks
from onnxpress_exporter.quantize.plan import Place, scheme_attempts
from onnxpress_exporter.quantize.sites import Site, find_sites
from tests.fixtures.graphs import graph, normal


def product(output: str, columns: int) -> onnx_ir.Model:
    text = f"model (float[rows, 64] x) => (float[rows, {columns}] {output}) {{ {output} = MatMul (x, weights) }}"
    return graph(text, weights=normal(64, columns))


def sites_of(graphs: dict[str, onnx_ir.Model]) -> dict[Place, Site]:
    return {(name, site.value): site for name, model in graphs.items() for site in find_sites(model)}


def test_an_encoder_may_be_stored_more_exactly_than_the_decoder() -> None:
    graphs = {"encoder_model": product("states", 128), "decoder": product("hidden", 96), "last": product("logits", 80)}
    roles = {"encoder_model": "encoder", "decoder": "decoder", "last": "head"}
    attempts = scheme_attempts(PRECISIONS["q4"], graphs, roles, sites_of(graphs))
    bits = {
        attempt.title: tuple(how.bits for how in attempt.plan.values() if isinstance(how, Blocks))
        for attempt in attempts
    }
    four, eight = "4-bit weights in blocks of 32", "8-bit weights in blocks of 32"
    assert bits[four] == (4, 4, 4)
    assert bits[f"{four}, the scores' {eight}"] == (4, 4, 8)
    assert bits[f"{four}, the scores' and the encoder's {eight}"] == (8, 4, 8)
    exact = [title for title in bits if "encoder" in title]
    assert list(bits)[-len(exact) :] == exact, "what is smaller is tried before"


def test_what_is_about_encoders_is_not_tried_without_one() -> None:
    graphs = {"decoder": product("logits", 80)}
    attempts = scheme_attempts(PRECISIONS["q4"], graphs, {"decoder": "decoder"}, sites_of(graphs))
    assert attempts and not any("encoder" in attempt.title for attempt in attempts)
