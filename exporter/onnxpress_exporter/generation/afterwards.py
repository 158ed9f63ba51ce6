"""Variants of a finished artifact that writes text, without PyTorch: its fp32 graphs are the reference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir

from onnxpress.engine.session import Session
from onnxpress.generation.decoders.models import ENCODER
from onnxpress.layouts.artifact import Artifact
from onnxpress_exporter.add_variants import Outcome, Say, tokenizer_of
from onnxpress_exporter.generation.files import GENERATION_CONFIG
from onnxpress_exporter.generation.variants import Writing, add_variants, reader_of
from onnxpress_exporter.generation.verify import Expected
from onnxpress_exporter.quantize.flow import Settings

#: In the order in which transformers looks for the token that a decoder begins with.
_STARTS = ("decoder_start_token_id", "bos_token_id")


def no_metric(task: str) -> str:
    """Why labelled rows are not taken."""
    return f"There is no metric of {task} for --eval-data yet. Leave it out: variants are judged on texts anyway."


def add_writing_variants(
    artifact: Artifact,
    folder: Path,
    fp32: Mapping[str, onnx_ir.Model],
    plain: Session,
    wanted: Sequence[str],
    settings: Settings,
    say: Say,
) -> Outcome:
    """Make, judge and save variants in `folder`, which holds the artifact's other files.

    Args:
        fp32, plain: the graphs of that variant, and a session of them.
    """
    manifest = artifact.manifest
    defaults: dict[str, Any] = {}
    if GENERATION_CONFIG in manifest.files:
        defaults = json.loads(artifact.file(GENERATION_CONFIG).read_text(encoding="utf-8"))
    start = None
    if ENCODER in manifest.graphs:
        start = next((_tokens(defaults.get(name))[0] for name in _STARTS if _tokens(defaults.get(name))), 0)
    reader = reader_of(manifest, tokenizer_of(artifact, artifact.folder), start)
    writing = Writing(manifest, reader, _tokens(defaults.get("eos_token_id")))
    reference = writing.graphs(plain, "the fp32 variant, verified against PyTorch")
    say("asking fp32")
    expected = Expected(reference, reader.verification(reference.write))
    return add_variants(writing, folder, fp32, plain, expected, wanted, settings, say)


def _tokens(value: Any) -> tuple[int, ...]:
    """One token, or several, or none."""
    return () if value is None else tuple(value) if isinstance(value, list) else (int(value),)
