"""A Whisper checkpoint in CTranslate2's format. Runs in the peer's environment, in a process that nobody measures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import converted

#: Of the checkpoint, what faster-whisper reads beside the model.
_COPIED = ["preprocessor_config.json", "tokenizer.json"]


def prepare(spec: BackendSpec) -> BackendSpec:
    """Convert, and read which tokens the checkpoint never says."""
    if spec.settings["model_type"] != "whisper":
        raise NotImplementedError(f"faster-whisper runs Whisper, not {spec.settings['model_type']}")
    spec = converted(spec, ("ctranslate2", "torch", "transformers"), lambda target: _convert(spec, target))
    file = Path(spec.folder, "generation_config.json")
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    silenced = {"suppressed": known.get("suppress_tokens") or [], "blank": bool(known.get("begin_suppress_tokens"))}
    return replace(spec, settings={**spec.settings, **silenced})


def _convert(spec: BackendSpec, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    copied = [name for name in _COPIED if Path(spec.folder, name).is_file()]
    trust = spec.settings["trust_remote_code"]
    TransformersConverter(spec.folder, copy_files=copied, trust_remote_code=trust).convert(
        str(target), quantization="float32", force=True
    )
