"""What a layout is to the exporter: how another tool wants files and graphs. Knows no tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir

from onnxpress.format.manifest import GenerationSettings, Manifest

Graphs = Mapping[str, onnx_ir.Model]


@dataclass(frozen=True, slots=True)
class Adapted:
    """Graphs of a model that writes, and how they are called."""

    graphs: Graphs
    generation: GenerationSettings


#: Graphs as they were built, how they are called -> as the tool calls them.
Adapt = Callable[[Graphs, GenerationSettings], Adapted]


@dataclass(frozen=True, slots=True)
class WrittenLayout:
    """One layout.

    Args:
        name: what people type.
        about: what it is for, in a line.
        folder: where graphs are, in the artifact; "" is the artifact itself.
        adapt: of a model that writes. Raises UnsupportedCheckpoint where the tool has no such model.
        reads: whether it has models that do not write.
        finish: writes the tool's own files beside those of every artifact; takes the manifest with the variants that
            there are, and the folder.
    """

    name: str
    about: str
    folder: str
    adapt: Adapt
    reads: bool = True
    finish: Callable[[Manifest, Path], None] = lambda manifest, folder: None


def as_built(graphs: Graphs, generation: GenerationSettings) -> Adapted:
    """Graphs as this runtime calls them."""
    return Adapted(graphs, generation)


def json_of(path: Path) -> dict[str, Any]:
    """What a settings file in an artifact says; empty where there is none."""
    import json

    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content
