"""Rewrites manifests of older format versions in terms of the newest one.

Version 2 added to version 1, and version 3 to version 2, only fields that may be left out. Version 4 names each
graph's role and calls the tokenizer the processor of texts. Version 5 adds the features of a measured processor,
and where a variant was never verified: until then that was every GPU.
"""

from __future__ import annotations

from typing import Any

from onnxpress.errors import InvalidManifest, UnsupportedFormat

#: What versions 1 to 3 said by a graph's name alone. "model" continues text in artifacts that have `generation`.
_ROLES = {"model": "encoder", "head": "head", "encoder_model": "encoder", "decoder_model_merged": "decoder"}


def upgrade(value: dict[str, Any], version: int, newest: int, where: str) -> dict[str, Any]:
    """The JSON object of a manifest of format `version`, as format version `newest` says it. `value` stays as it is.

    Raises:
        InvalidManifest: a field is missing that every version has.
        UnsupportedFormat: a field is there that came with a later version, or a graph that no exporter wrote.
    """
    upgraded = value if version >= 4 else _to_version_4(value, version, where)
    upgraded = upgraded if version >= 5 else _never_on_a_gpu(upgraded)
    return upgraded if version == newest else {**upgraded, "format_version": newest}


def _never_on_a_gpu(value: dict[str, Any]) -> dict[str, Any]:
    variants = value.get("variants")
    if not isinstance(variants, dict):
        return value
    marked = {
        name: {**variant, "unverified_on": ["cuda"]}
        if isinstance(variant, dict) and variant.get("targets") == ["cuda"]
        else variant
        for name, variant in variants.items()
    }
    return {**value, "variants": marked}


def _to_version_4(value: dict[str, Any], version: int, where: str) -> dict[str, Any]:
    if "processors" in value:
        raise UnsupportedFormat(f"{where}: format version {version} has no field 'processors'. Export again.")
    if "tokenizer" not in value:
        raise InvalidManifest(f"{where}: the field 'tokenizer' is missing. Export again.")
    upgraded = {name: field for name, field in value.items() if name != "tokenizer"}
    upgraded["processors"] = {"text": value["tokenizer"]}
    graphs = value.get("graphs")
    if isinstance(graphs, dict):
        writes = value.get("generation") is not None
        upgraded["graphs"] = {name: _with_role(name, graph, writes, where) for name, graph in graphs.items()}
    return upgraded


def _with_role(name: str, graph: object, writes: bool, where: str) -> object:
    if name not in _ROLES:
        raise UnsupportedFormat(f"{where}: graphs.{name}: no exporter of that format wrote such a graph. Export again.")
    role = "decoder" if name == "model" and writes else _ROLES[name]
    return {**graph, "role": role} if isinstance(graph, dict) else graph
