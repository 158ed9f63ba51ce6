"""What peers share before anything is measured: the checkpoint in PyTorch, and a place for what is made from it.

Runs in the peer's environment, in a process that nobody measures. Knows no peer.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec

#: task -> the class of transformers that loads its model.
AUTO_CLASSES: Mapping[str, str] = {
    "feature-extraction": "AutoModel",
    "sentence-similarity": "AutoModel",
    "text-classification": "AutoModelForSequenceClassification",
}

POOLINGS = (["mean"], ["cls"])

#: Settings that a conversion may depend on, besides the weights.
_SHAPING = (
    *("input_names", "max_length", "embedding", "model_type", "pad_token_id", "padding_side"),
    *("quantization", "graph_sha256"),
)


def check_servable(spec: BackendSpec) -> None:
    """Raises NotImplementedError where a sentence embedding is made in a way that peers' backends do not follow."""
    settings = spec.settings["embedding"]
    if spec.task != "sentence-similarity":
        return
    if spec.settings["has_head"] or settings["pooling"] not in POOLINGS:
        raise NotImplementedError("embeddings are pooled by mean or cls here, without layers after that")
    if settings["prompts"].get(settings["default_prompt_name"]) or settings["do_lower_case"]:
        raise NotImplementedError("texts are embedded as they are here, without a prompt and without lower-casing them")


def converted(spec: BackendSpec, libraries: Sequence[str], write: Callable[[Path], None]) -> BackendSpec:
    """The spec with `settings["converted"]`: the folder that `write` filled for the same task, settings and versions of
    `libraries`, now or in an earlier run.

    It gets its name when it is complete, so that what is there can be used.
    """
    from onnxpress.format.files import staged_folder

    known = [[spec.settings.get(name) for name in _SHAPING], [version(name) for name in libraries]]
    digest = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]
    folder = Path(spec.workspace) / f"{libraries[0]}-{version(libraries[0])}-{spec.task}-{digest}"
    if not folder.is_dir():
        with staged_folder(folder) as staging:
            write(staging)
    return replace(spec, settings={**spec.settings, "converted": str(folder)})


def torch_model(spec: BackendSpec) -> Any:
    """The checkpoint as transformers loads it, in float32."""
    import torch
    import transformers

    architecture, settings = spec.settings["architecture"], spec.settings
    encoder = spec.task == "sentence-similarity" and architecture.endswith("EncoderModel")
    loader = getattr(transformers, architecture if encoder else AUTO_CLASSES[spec.task])
    model = loader.from_pretrained(spec.folder, dtype=torch.float32, trust_remote_code=settings["trust_remote_code"])
    return model.eval()


def run_tool(*arguments: str) -> None:
    """Python, with arguments: "-m", a module, and its own.

    Raises:
        RuntimeError: it failed; the message is the last line that it said.
    """
    done = subprocess.run([sys.executable, *arguments], capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise RuntimeError(said[-1] if said else f"{arguments[1]} ended with exit code {done.returncode}")
