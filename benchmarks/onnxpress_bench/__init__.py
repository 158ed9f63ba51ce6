"""onnxpress_bench: an artifact measured against PyTorch, in fresh processes, with quality beside speed.

>>> print(render(compare(Path("artifact-folder"))))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxpress_bench.comparison import Comparison

__all__ = ["compare", "render"]

# The imports below are inside the functions because every worker imports this package, and would otherwise count
# them as part of its backend's cold start.


def compare(
    artifact_folder: Path,
    checkpoint: str | None = None,
    quick: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Measure all variants of an artifact against the PyTorch checkpoint it was made from, or `checkpoint`.

    Args:
        quick: five short blocks, about a minute for a small model; otherwise ten longer ones.
        progress: called before each process with what it does, how many are done, and how many there will be.

    Raises:
        OnnxpressError: as `onnxpress_bench.run.run`.
    """
    from dataclasses import replace

    from onnxpress import Artifact
    from onnxpress_bench.run import run, settings_for
    from onnxpress_bench.subject import of_artifact
    from onnxpress_bench.workloads import workload_of

    artifact = Artifact.open(artifact_folder)
    settings = replace(settings_for(quick), scenarios=workload_of(artifact.manifest.task).usual)
    return run(of_artifact(artifact, checkpoint, settings), settings, progress=progress)


def render(comparison: Comparison) -> str:
    """The comparison as tables for a terminal."""
    from onnxpress_bench.report import terminal

    return terminal.render(comparison)
