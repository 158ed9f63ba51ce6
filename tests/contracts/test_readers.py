"""What a reader says it knows is built, never traced; and a fault of a reader is an error, never a slower graph."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from onnxpress_exporter.errors import NotBuildable, ReaderError
from onnxpress_exporter.graphs import generating
from onnxpress_exporter.graphs.build import build_graphs
from onnxpress_exporter.graphs.build.reading import READERS, read
from onnxpress_exporter.graphs.generating import build
from onnxpress_exporter.graphs.names import CROSS_DECODER
from tests.fixtures import decoder_configs, decoders, encoder_decoder_configs, encoder_decoders

#: Name -> model_type, its config.
CASES: Mapping[str, tuple[str, dict[str, Any]]] = {**decoder_configs.CASES, **encoder_decoder_configs.CASES}
#: Of each model_type one config.
TYPES = {model_type: name for name, (model_type, _) in reversed(CASES.items())}
#: Options that say what a model is used for, not what it computes.
_USE = frozenset(
    {
        *("is_decoder", "is_encoder_decoder", "output_attentions", "output_hidden_states", "return_dict"),
        *("tie_encoder_decoder", "use_cache"),
    }
)
#: Options that readers do not know, which are traced.
UNKNOWN = {
    ("bloom", "apply_residual_connection_post_layernorm"),
    ("cohere", "use_qk_norm"),
    ("falcon", "alibi"),
    ("gemma3_text", "use_bidirectional_attention"),
    ("gpt2", "add_cross_attention"),
    ("opt", "layer_norm_elementwise_affine"),
    ("phi", "qk_layernorm"),
    ("stablelm", "qk_layernorm"),
}
#: Of model_types that look at what an encoder of another kind has read, and those that may, a config of a decoder.
LOOKING: Mapping[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "add_cross_attention": True},
    "mbart": {"d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "add_cross_attention": True},
    "trocr": {"d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "add_cross_attention": True},
}
#: Model_types that hear, which are built with an encoder of sounds: tests/parity/test_whisper.py.
HEARING = ("whisper",)


def test_every_reader_has_a_case() -> None:
    assert {model_type.replace("-", "_") for model_type in (*TYPES, *LOOKING, *HEARING)} == READERS


@pytest.mark.parametrize("model_type", LOOKING)
def test_a_decoder_that_looks_is_built_with_what_it_looks_at_alone(model_type: str, no_tracing: None) -> None:
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    kind = CONFIG_MAPPING[model_type]
    config = {**LOOKING[model_type], **ids, "vocab_size": 60}
    for option, value in {**_booleans(kind(**config)), "is_decoder": True}.items():
        turned = value if option in (*_USE, "add_cross_attention") else not value
        model = decoders.tiny(kind(**{**config, "is_encoder_decoder": False, option: turned}))
        graphs = build_graphs(read(model, looks=True))
        assert list(graphs) == [CROSS_DECODER], option
        with pytest.raises(NotBuildable, match="its layers look at what an encoder has read"):
            read(model)


def _booleans(config: Any) -> dict[str, bool]:
    return {name: value for name, value in config.to_dict().items() if isinstance(value, bool)}


def model_of(model_type: str, config: dict[str, Any]) -> torch.nn.Module:
    kind = CONFIG_MAPPING[model_type](**config)
    return (encoder_decoders if kind.is_encoder_decoder else decoders).tiny(kind)


@pytest.fixture
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: torch.nn.Module, reason: str) -> None:
        raise NotBuildable(reason)

    monkeypatch.setattr(generating, "_traced", refuse)


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_built(name: str, no_tracing: None) -> None:
    built = build(model_of(*CASES[name]))
    assert (built.traced, built.cache) == (None, "shared")


@pytest.mark.parametrize("model_type", sorted(TYPES))
def test_every_option_is_known_or_named(model_type: str, no_tracing: None) -> None:
    """Each boolean of transformers' own config, turned over: built, or refused by the reader itself."""
    _, config = CASES[TYPES[model_type]]
    known = CONFIG_MAPPING[model_type](**config)
    options = [name for name in _booleans(known) if name not in _USE]
    unknown = set()
    for option in options:
        changed = model_of(model_type, {**config, option: not getattr(known, option)})
        try:
            build(changed)
        except NotBuildable:
            unknown.add((model_type, option))
    assert unknown == {row for row in UNKNOWN if row[0] == model_type}


@pytest.mark.parametrize("name", ["llama", "bart"])
def test_a_fault_of_a_reader_is_an_error(name: str, no_tracing: None) -> None:
    """Another version of transformers may call a weight otherwise: nothing is traced instead."""
    model = model_of(*CASES[name])
    layer = model.model.layers[0] if name == "llama" else model.model.decoder.layers[0]
    part = "input_layernorm" if name == "llama" else "fc1"
    setattr(layer, f"{part}_renamed", getattr(layer, part))
    delattr(layer, part)
    with pytest.raises(
        ReaderError, match=rf"The reader of '{name}' fails on {type(model).__name__}: .*{part}.*report it"
    ):
        build(model)


def test_a_field_that_a_config_lost_is_an_error(no_tracing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(*CASES["granite"])
    del model.config.__dict__["residual_multiplier"]
    monkeypatch.delattr(type(model.config), "residual_multiplier")
    with pytest.raises(ReaderError, match=r"The reader of 'granite' fails .*AttributeError.*residual_multiplier"):
        build(model)


@pytest.mark.parametrize("name", ["bart", "marian"])
def test_a_decoder_without_its_encoder_may_be_traced(name: str, no_tracing: None) -> None:
    model_type, config = CASES[name]
    model = decoders.tiny(CONFIG_MAPPING[model_type](**config, is_decoder=True, is_encoder_decoder=False))
    assert type(model).__name__.endswith("ForCausalLM")
    with pytest.raises(NotBuildable, match="it is read with its encoder only"):
        build(model)


def test_a_class_that_came_with_the_checkpoint_may_be_traced(no_tracing: None) -> None:
    model = model_of(*CASES["llama"])
    model.__class__ = types.new_class("OwnForCausalLM", (type(model),))
    del model.model.layers[1].input_layernorm
    with pytest.raises(
        NotBuildable, match="OwnForCausalLM came with the checkpoint, and its reader fails: LookupError"
    ):
        build(model)
