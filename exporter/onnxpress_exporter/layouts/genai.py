"""onnxruntime-genai's layout: graphs beside genai_config.json, which says how one of them is called.

Rows are padded on the right there, and keys and values are written in place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxpress.format.manifest import GenerationSettings, Manifest
from onnxpress.format.precisions import REFERENCE
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.names import DECODER, past_names
from onnxpress_exporter.layouts.growing import apply
from onnxpress_exporter.layouts.row import Adapted, Graphs, WrittenLayout, json_of
from onnxpress_exporter.passes.attention_mask import mask_on_the_right
from onnxpress_exporter.passes.every_score import every_score
from onnxpress_exporter.passes.rename_axes import rename_axes

CONFIG = "genai_config.json"

#: Families that the tool names itself; every other decoder is a "decoder" to it.
_TYPES = frozenset(
    {
        *("chatglm", "ernie4_5", "gemma", "gemma2", "gemma3_text", "granite", "internlm2", "llama", "mistral"),
        *("nemotron", "olmo", "phi", "phi3", "phimoe", "qwen2", "qwen3", "smollm3"),
    }
)
#: What it does where generation_config.json says nothing: one text, the best token each time.
_SEARCH: Mapping[str, Any] = {
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": True,
    "length_penalty": 1.0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
}
#: Where nothing bounds a row.
_LONGEST = 4096


def adapt(graphs: Graphs, generation: GenerationSettings) -> Adapted:
    """In place: what the decoder takes and returns.

    Raises:
        UnsupportedCheckpoint: the tool has no model of this kind.
    """
    if DECODER not in graphs or generation.cache not in ("shared", "growing"):
        raise UnsupportedCheckpoint(
            "onnxruntime-genai runs decoders that keep keys and values; of models that read a text first it has few, "
            "by graphs of their own: leave out --layout, or pass --layout optimum."
        )
    apply(graphs[DECODER], [mask_on_the_right, every_score, rename_axes])
    return Adapted(graphs, generation)


def finish(manifest: Manifest, folder: Path) -> None:
    """Write genai_config.json, for fp32, or else for the first variant."""
    variant = manifest.variants.get(REFERENCE) or next(iter(manifest.variants.values()))
    content = config_of(
        manifest,
        variant.graphs[DECODER].file,
        json_of(folder / "config.json"),
        json_of(folder / "generation_config.json"),
    )
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def config_of(manifest: Manifest, file: str, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The content of genai_config.json.

    Args:
        file: the decoder's graph.
        config: config.json.
        defaults: generation_config.json.
    """
    generation, graph, text = manifest.generation, manifest.graphs[DECODER], manifest.tokenizer
    assert generation is not None and text is not None
    inputs = {tensor.name: tensor for tensor in graph.inputs}
    _, heads, _, size = inputs[past_names(0)[0]].axes
    named = {name: name for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
    past = {f"past_{part}_names": f"past_key_values.%d.{part}" for part in ("key", "value")}
    present = {f"present_{part}_names": f"present.%d.{part}" for part in ("key", "value")}
    longest = generation.max_length or text.max_length or _LONGEST
    ends = defaults.get("eos_token_id", config.get("eos_token_id"))
    begins = defaults.get("bos_token_id", config.get("bos_token_id"))
    search = {name: defaults.get(name, usual) for name, usual in _SEARCH.items()}
    return {
        "model": {
            "type": manifest.model_type if manifest.model_type in _TYPES else "decoder",
            "vocab_size": graph.outputs[0].axes[-1],
            "context_length": longest,
            **({} if begins is None else {"bos_token_id": begins}),
            **({} if ends is None else {"eos_token_id": ends}),
            "pad_token_id": text.pad_token_id,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": file,
                "head_size": size,
                "hidden_size": _first(config, "hidden_size", "n_embd", "d_model"),
                "num_attention_heads": _first(config, "num_attention_heads", "n_head") or heads,
                "num_hidden_layers": sum(name.endswith(".key") for name in inputs),
                "num_key_value_heads": heads,
                "inputs": {**named, **past},
                "outputs": {"logits": "logits", **present},
            },
        },
        "search": {
            **search,
            "max_length": longest,
            "past_present_share_buffer": generation.cache == "shared",
        },
    }


def _first(config: Mapping[str, Any], *names: str) -> int | None:
    return next((number for name in names if isinstance(number := config.get(name), int)), None)


GENAI = WrittenLayout("genai", "onnxruntime-genai", "", adapt, reads=False, finish=finish)
