"""onnxruntime-genai's layout: genai_config.json names the graph, what it takes and returns, and how texts are written.

What that file would have its own runtime load or switch on, such as a library of operators, stays unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from onnxpress.errors import CorruptFile, UnsupportedFormat
from onnxpress.format.model import Fact, Model
from onnxpress.graphcheck.scan import GraphFile
from onnxpress.layouts.caches import PAST, PRESENT
from onnxpress.layouts.files import Files
from onnxpress.layouts.foreign import CONFIG, GENERATION, describe
from onnxpress.layouts.graph_names import MODEL
from onnxpress.layouts.layout import Asked, Layout
from onnxpress.layouts.weights import precision_of

FILE = "genai_config.json"

#: Fields that name inputs, and outputs -> the manifest's names.
_INPUTS = {
    "input_ids": "input_ids",
    "attention_mask": "attention_mask",
    "position_ids": "position_ids",
    "past_key_names": f"{PAST}%d.key",
    "past_value_names": f"{PAST}%d.value",
    "past_names": f"{PAST}%d.key_value",
    "past_conv_names": f"{PAST}%d.conv",
    "past_recurrent_names": f"{PAST}%d.recurrent",
}
_OUTPUTS = {
    "logits": "logits",
    "present_key_names": f"{PRESENT}%d.key",
    "present_value_names": f"{PRESENT}%d.value",
    "present_names": f"{PRESENT}%d.key_value",
    "present_conv_names": f"{PRESENT}%d.conv",
    "present_recurrent_names": f"{PRESENT}%d.recurrent",
}
#: Settings of a search -> generation_config.json's.
_SEARCH = {
    **{
        name: name
        for name in (
            *("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram_size"),
            *("length_penalty", "num_beams", "num_return_sequences", "min_length", "max_length", "early_stopping"),
        )
    },
    "random_seed": "seed",
}
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
_SIZES = {
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "num_hidden_layers": "num_hidden_layers",
    "head_size": "head_dim",
}
#: What has its runtime load or do something else, anywhere in the file.
_UNREAD = ("custom_ops_library", "provider_options", "config_entries", "ep_library_path", "run_options")
#: More than any model takes, or has.
_MOST = 1 << 30


def read(files: Files, asked: Asked) -> Model | None:
    """What the files hold; None: there is no genai_config.json, or the caller wants other graphs.

    Raises:
        CorruptFile: it says what cannot be.
        UnsupportedFormat: the model is of a kind that is not run, or its graph is not what the file says.
    """
    if FILE not in files.names:
        return None
    settings = files.settings(FILE)
    model = _object(files, settings, "model")
    decoder = _object(files, model, "decoder")
    for part in ("encoder", "vision", "speech", "embedding"):
        if model.get(part):
            raise UnsupportedFormat(
                f"{files.folder / FILE}: the model has a part {part!r}; of this tool's models those are run that "
                "continue texts. Export the checkpoint with `onnxpress export`."
            )
    if decoder.get("pipeline"):
        raise UnsupportedFormat(f"{files.folder / FILE}: the decoder is cut into several graphs, which are not run.")
    name = decoder.get("filename")
    if not isinstance(name, str) or not name:
        raise CorruptFile(f"{files.folder / FILE}: model.decoder.filename names no graph file.")
    if asked.folder or any(file not in (name, f"{files.folder.name}/{name}") for file in asked.files):
        return None
    graph = files.graph(files.named(name, FILE))
    said = _names(files, decoder, graph)
    config = _config(files, model, decoder)
    if CONFIG not in files.names:
        files.make(CONFIG, json.dumps(config).encode())
    if GENERATION not in files.names or GENERATION in files.elsewhere:
        files.make(GENERATION, json.dumps(_generation(files, settings, config)).encode())
    facts = [Fact("model", str(config["model_type"]) or "not named", FILE)]
    if unread := sorted({word for word in _UNREAD if _says(settings, word)}):
        facts.append(Fact("left unread", ", ".join(unread), f"{FILE}; a folder loads no code and sets no options"))
    return describe(
        files, LAYOUT.name, {precision_of(graph): {MODEL: name}}, asked, said=said, facts=facts, made_of=FILE
    )


def _object(files: Files, parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, Mapping):
        raise CorruptFile(f"{files.folder / FILE}: it has no object {name!r}. Build the model again.")
    return value


def _names(files: Files, decoder: Mapping[str, Any], graph: GraphFile) -> dict[str, str]:
    """The graph's names, as templates with %d for a layer's number -> the manifest's.

    Raises:
        UnsupportedFormat: the graph has none of that name.
    """
    names = {}
    for side, table, there in (("inputs", _INPUTS, graph.inputs), ("outputs", _OUTPUTS, graph.outputs)):
        listed = decoder.get(side)
        for field, ours in table.items():
            theirs = listed.get(field) if isinstance(listed, Mapping) else None
            if not isinstance(theirs, str) or theirs.count("%d") != ours.count("%d"):
                continue
            pattern = re.escape(theirs).replace("%d", r"\d+")
            if not any(re.fullmatch(pattern, name) for name in there):
                raise UnsupportedFormat(
                    f"{files.folder / FILE}: model.decoder.{side}.{field} is {theirs!r}, and the graph has "
                    f"{', '.join(there[:8])}: one of them is of another model. Build the model again."
                )
            names[theirs] = ours
    return names


def _config(files: Files, model: Mapping[str, Any], decoder: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json would say.

    Raises:
        CorruptFile: a number is none, or none that a model has.
    """
    numbers = {"vocab_size": model.get("vocab_size"), "max_position_embeddings": model.get("context_length")}
    numbers |= {ours: decoder.get(name) for name, ours in _SIZES.items()}
    for name, value in numbers.items():
        if value is not None and not (type(value) is int and 0 < value <= _MOST):
            raise CorruptFile(f"{files.folder / FILE}: {value!r:.40} is no {name}. Build the model again.")
    tokens = {name: model.get(name) for name in _TOKENS}
    known = {name: value for name, value in (numbers | tokens).items() if value not in (None, [])}
    return {"model_type": str(model.get("type") or ""), **known}


def _generation(files: Files, settings: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """What generation_config.json would say. The tool writes early_stopping and the longest text that the model takes
    for every model: those are its own defaults, and say nothing."""
    search = settings.get("search")
    said = search if isinstance(search, Mapping) else {}
    content = {ours: said[name] for name, ours in _SEARCH.items() if said.get(name) is not None}
    if content.get("early_stopping") is True:
        del content["early_stopping"]
    if content.get("max_length") == config.get("max_position_embeddings"):
        content.pop("max_length", None)
    return {**content, **{name: config[name] for name in _TOKENS if name in config}}


def _says(value: Any, word: str) -> bool:
    """Whether a field of this name is anywhere in it, and holds something."""
    if isinstance(value, Mapping):
        return any((name == word and bool(inner)) or _says(inner, word) for name, inner in value.items())
    return isinstance(value, list) and any(_says(inner, word) for inner in value)


LAYOUT = Layout("onnxruntime-genai", (FILE, CONFIG), read)
