"""The artifact that onnxpress is measured with; a checkpoint is exported once, and anew when the exporter changes."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec

#: What is measured here says itself how far its answers are from PyTorch's; random weights would never pass.
_NO_LIMITS = {
    **dict.fromkeys(("next-token agreement", "among the reference's first 5", "token agreement"), 0.0),
    **dict.fromkeys(("scores' correlation", "scores' correlation, untrained"), -1.0),
    **dict.fromkeys(("perplexity ratio", "divergence"), 1e30),
}


def prepare(spec: BackendSpec) -> BackendSpec:
    """The spec with `settings["converted"]`: the artifact's folder, which a checkpoint is exported to."""
    is_artifact = (Path(spec.folder) / "onnxpress.json").is_file()
    return replace(
        spec, settings={**spec.settings, "converted": spec.folder if is_artifact else str(export_checkpoint(spec))}
    )


def export_checkpoint(spec: BackendSpec) -> Path:
    """The checkpoint's artifact with the variant that is measured."""
    import onnxpress_exporter
    from onnxpress import Artifact
    from onnxpress_bench import environments
    from onnxpress_exporter.flow import quantize
    from onnxpress_exporter.quantize.settings import Settings

    source, precision = Path(spec.folder), spec.settings["precision"]
    digest = hashlib.sha256()
    for file in sorted(Path(onnxpress_exporter.__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    for file in sorted(source.glob("*.safetensors")):
        digest.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    store = environments.home() / "models" / "artifacts"
    folder = store / f"{source.name}-{digest.hexdigest()[:12]}"
    if not (folder / "onnxpress.json").is_file():
        for old in store.glob(f"{source.name}-*"):
            shutil.rmtree(old)
        store.mkdir(parents=True, exist_ok=True)
        onnxpress_exporter.export(source, folder, spec.task, ("fp32",), force=True)
    if precision not in Artifact.open(folder).manifest.variants:
        quantize(folder, [precision], settings=Settings(thresholds=_NO_LIMITS, keep_slow=True))
    return folder


def open_pipeline(spec: BackendSpec, folder: str) -> Any:
    """The task's pipeline of one variant."""
    from onnxpress import pipeline

    precision = spec.settings["precision"]
    return pipeline(spec.task, folder, precision=precision, device=spec.device, threads=spec.threads, **spec.options)


def variant_paths(folder: str, precision: str) -> list[Path]:
    """The files of a variant's graphs."""
    from onnxpress import Artifact

    artifact = Artifact.open(folder)
    graphs = artifact.manifest.variants[precision].graphs.values()
    return [artifact.folder / name for files in graphs for name in (files.file, *files.external)]
