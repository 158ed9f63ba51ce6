"""A checkpoint as onnxruntime-genai's model builder builds it. Runs in the peer's environment."""

from __future__ import annotations

import json
from pathlib import Path

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import run_tool


def build(spec: BackendSpec, target: Path) -> None:
    """The builder's command, as its documentation gives it."""
    cache = target / "cache"
    run_tool(
        *("-m", "onnxruntime_genai.models.builder", "-i", spec.folder, "-o", str(target)),
        *("-p", spec.settings["precision"], "-e", "cpu", "-c", str(cache)),
    )
    if cache.is_dir():
        cache.rmdir()
    # An end-of-text token would end it, and the rest would be padding that costs nothing. An empty list is only taken
    # from the file.
    file = target / "genai_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["model"]["eos_token_id"] = []
    file.write_text(json.dumps(config, indent=1), encoding="utf-8")
