"""Kinds of processors, whose records stand apart: what is fast differs by the kernels that a processor has.

A record belongs to the first kind whose feature its machine has. Its folder in benchmarks/results/ has the kind's name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessorKind:
    """`name`: of its folder, and in conditions of targets; `title`: in headings; `feature`: one of
    `onnxpress.engine.machine.FEATURES`, or "" for what has none of them."""

    name: str
    title: str
    feature: str


#: The one with the fastest integer products first.
KINDS: tuple[ProcessorKind, ...] = (
    ProcessorKind("amx", "AMX", "amx"),
    ProcessorKind("avx512-vnni", "AVX-512 with VNNI", "avx512_vnni"),
    ProcessorKind("avx-vnni", "AVX2 with VNNI", "avx_vnni"),
    ProcessorKind("avx512", "AVX-512 without VNNI", "avx512"),
    ProcessorKind("avx2", "AVX2 without VNNI", "avx2"),
    ProcessorKind("i8mm", "Arm with I8MM", "i8mm"),
    ProcessorKind("dotprod", "Arm with dot products", "dotprod"),
    ProcessorKind("neon", "Arm with NEON", "neon"),
    ProcessorKind("other", "another processor", ""),
)


def kind_of_processor(features: Collection[str]) -> ProcessorKind:
    """The kind of a processor with these features."""
    return next(kind for kind in KINDS if not kind.feature or kind.feature in features)
