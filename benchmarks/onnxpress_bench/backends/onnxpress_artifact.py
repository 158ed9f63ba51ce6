"""The artifact that onnxpress is measured with; a checkpoint is exported once, and anew when the exporter changes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import own_files

#: What is measured here says itself how far its answers are from PyTorch's; random weights would never pass.
_NO_LIMITS = {
    **dict.fromkeys(("next-token agreement", "among the reference's first 5", "token agreement"), 0.0),
    "letter agreement": 0.0,
    **dict.fromkeys(("scores' correlation", "scores' correlation, untrained"), -1.0),
    **dict.fromkeys(("perplexity ratio", "divergence", "word error"), 1e30),
}


def prepare(spec: BackendSpec) -> BackendSpec:
    """The spec of the artifact, which a checkpoint is exported to."""
    from onnxpress import Artifact

    folder = Path(spec.folder)
    if not (folder / "onnxpress.json").is_file():
        folder = _exported(spec)
    graphs = Artifact.open(folder).manifest.variants[spec.settings["precision"]].graphs.values()
    return own_files(spec, folder, [folder / name for files in graphs for name in (files.file, *files.external)])


def _exported(spec: BackendSpec) -> Path:
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
