"""Describes each precision to the runtime: the suffix of its files, the machines it suits, its usual speed.

One row each, in the order in which variants are listed. How a variant is made stands in the exporter's row of the same
name (`onnxpress_exporter.precisions`). Nothing else is keyed by a precision's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: The precision that all others are made from and compared with.
REFERENCE = "fp32"


@dataclass(frozen=True, slots=True)
class UsualTime:
    """Time over fp32's, where nothing was measured.

    `reading`: of models that only read. `writing`: of those that write one token at a time, whose time is that of
    reading the weights. `rewriting`: of those with an encoder beside, which usually step several beams together.
    """

    reading: float
    writing: float
    rewriting: float


@dataclass(frozen=True, slots=True)
class Precision:
    """`suffix`: of its graph files, as transformers.js names them. `targets`: the machines it suits, as the manifest
    tells them: "cpu", "cuda", or "cpu:FEATURE" with a feature of `machine.features`. `usual`: device family -> time.
    `dtypes`: other libraries' names of numbers that are stored so."""

    name: str
    suffix: str
    targets: tuple[str, ...]
    usual: Mapping[str, UsualTime]
    dtypes: tuple[str, ...] = ()


# On a processor, weights without integer products save memory, not time. Without integer products in the processor,
# fp32 is faster than int8; without a GPU, numbers of 16 bits are slower than everything.
_ROWS = (
    Precision(
        name=REFERENCE,
        suffix="",
        targets=("cpu",),
        usual={"cpu": UsualTime(1.0, 1.0, 1.0), "cuda": UsualTime(1.0, 1.0, 1.0)},
        dtypes=("float32", "float"),
    ),
    Precision(
        name="fp16",
        suffix="_fp16",
        targets=("cuda",),
        usual={"cpu": UsualTime(2.0, 2.0, 2.0), "cuda": UsualTime(0.5, 0.5, 0.5)},
        dtypes=("float16", "half"),
    ),
    Precision(
        name="int8",
        suffix="_int8",
        targets=("cpu:avx2", "cpu:avx512_vnni", "cpu:avx_vnni", "cpu:dotprod"),
        usual={"cpu": UsualTime(0.65, 0.5, 0.5), "cuda": UsualTime(2.0, 2.0, 2.0)},
    ),
    Precision(
        name="q8",
        suffix="_quantized",
        targets=("cpu",),
        usual={"cpu": UsualTime(1.2, 0.5, 0.7), "cuda": UsualTime(1.2, 1.2, 1.2)},
    ),
    Precision(
        name="q4",
        suffix="_q4",
        targets=("cpu",),
        usual={"cpu": UsualTime(1.2, 0.35, 0.6), "cuda": UsualTime(1.2, 1.2, 1.2)},
    ),
    Precision(
        name="q4f16",
        suffix="_q4f16",
        targets=("cuda",),
        usual={"cpu": UsualTime(2.5, 2.5, 2.5), "cuda": UsualTime(0.8, 0.4, 0.4)},
    ),
)

#: name -> row, in the usual order.
PRECISIONS: Mapping[str, Precision] = MappingProxyType({row.name: row for row in _ROWS})
