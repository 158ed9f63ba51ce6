"""The words that specs are written in. Knows no task and no architecture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A graph's input or output: dtype as numpy names it, and axes, named where they vary."""

    name: str
    dtype: str
    axes: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph: its name in the artifact, what goes in and what comes out, in order."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
