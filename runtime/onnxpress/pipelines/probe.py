"""A short call that every artifact of a task answers: to see that it does, and how long it takes. Knows no session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress.pipelines.payload import Body, Call
from onnxpress.pipelines.task import Task


def probe_of(row: Task, manifest: Manifest) -> Call:
    """The row's probe as a call of an artifact's pipeline: with its mask token, and languages where it needs some."""
    options = dict(row.probe_options)
    if row.writing is not None and manifest.generation is not None:
        options |= row.writing[1]
    if "tgt_lang" in options:
        options |= _languages(manifest)
    special = {} if manifest.tokenizer is None else manifest.tokenizer.special_tokens
    tokens = {kind: token.text for kind, token in special.items()}
    probe = row.probe if row.hearing is None or manifest.processors.audio is None else row.hearing[1]
    return row.call(_filled(probe, tokens), {name: value for name, value in options.items() if value is not None})


def _filled(body: Body, tokens: Mapping[str, str]) -> Any:
    """A body with the model's special tokens in the place of their kinds."""
    if isinstance(body, str):
        return body.replace("{mask}", tokens.get("mask", ""))
    if isinstance(body, Mapping):
        return {name: _filled(value, tokens) if isinstance(value, str) else value for name, value in body.items()}
    return body


def _languages(manifest: Manifest) -> Mapping[str, Any]:
    """Any two languages for a model that has to be told; for one that has its pairs as prefixes, no prefix."""
    languages = None if manifest.tokenizer is None else manifest.tokenizer.languages
    if languages is None:
        return {"prefix": ""}
    codes: Sequence[str] = tuple(languages.codes)
    wants_source = languages.source_position is not None and languages.default_source is None
    wants_target = languages.target is not None and languages.default_target is None
    return {"src_lang": codes[0] if wants_source else None, "tgt_lang": codes[-1] if wants_target else None}
