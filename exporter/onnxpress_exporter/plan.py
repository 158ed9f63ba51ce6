"""The plan of an export, once its source is read: its graphs, the reference whose answers count, the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir

from onnxpress.engine.session import Session
from onnxpress.format.manifest import GraphFiles, GraphInfo, Manifest
from onnxpress.format.precisions import REFERENCE
from onnxpress.pipelines.query_routes import QUERY_ROLE
from onnxpress_exporter.gate.base import Gate
from onnxpress_exporter.quantize.settings import Settings

#: Writes what a layout has beside the files of every artifact, by a manifest with all its variants, into the folder.
Beside = Callable[[Manifest, Path], None]


def no_files_beside(manifest: Manifest, folder: Path) -> None:
    """This project's own layout has none."""


#: What graphs do whose weights stay as they are: they are small, or all convolutions, or no judged text goes through.
KEPT_WHOLE = ("head", "vocoder", QUERY_ROLE)


@dataclass(frozen=True, slots=True)
class Part:
    """One graph of a model: its name in the artifact, what it takes, returns and does, and whether it is quantized."""

    name: str
    info: GraphInfo
    graph: onnx_ir.Model
    quantizable: bool = True

    @property
    def role(self) -> str:
        """What the graph does in the model."""
        return self.info.role


@dataclass(frozen=True, slots=True)
class Plan:
    """An export whose fp32 graphs are saved.

    Attributes:
        manifest: what it says but for files, and what is still to be measured.
        folder: where the artifact is made; the files of its fp32 variant, tokenizer and settings are there.
        parts: the fp32 graphs.
        plain: the fp32 variant, opened.
        gate: holds the answers of PyTorch, or of the fp32 variant itself.
        settings: what the user decided.
        compared: whether the gate's reference is another than the fp32 variant, which is to be held against it.
        adds: whether the artifact was there before, so that without a new variant there is nothing to write.
        beside: writes what the layout has beside; takes the manifest with all its variants, and the folder.
    """

    manifest: Manifest
    folder: Path
    parts: tuple[Part, ...]
    plain: Session
    gate: Gate
    settings: Settings
    compared: bool = True
    adds: bool = False
    beside: Beside = no_files_beside

    @property
    def graphs_folder(self) -> Path:
        """Where the artifact keeps its graphs."""
        return (self.folder / next(iter(self.fp32.values())).file).parent

    @property
    def task(self) -> str:
        """What the model does."""
        return self.manifest.task

    @property
    def writes(self) -> bool:
        """Whether it writes text."""
        return self.manifest.generation is not None

    @property
    def fp32(self) -> dict[str, GraphFiles]:
        """Where the fp32 variant keeps its graphs."""
        return dict(self.manifest.variants[REFERENCE].graphs)
