"""Describes each precision to the runtime: the suffix of its files, the machines it suits, its usual speed.

One row each, in the order in which variants are listed. How a variant is made stands in the exporter's row of the same
name (`onnxpress_exporter.precisions`). Nothing else is keyed by a precision's name.

Other tools write files with more suffixes than ours: `SUFFIXES` lists them all, with the precision that each is like.
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
    `dtypes`: other libraries' names of numbers that are stored so. `operators`: those that a graph of it has, whoever
    made it; `half`: whether its other numbers are of 16 bits."""

    name: str
    suffix: str
    targets: tuple[str, ...]
    usual: Mapping[str, UsualTime]
    dtypes: tuple[str, ...] = ()
    operators: frozenset[str] = frozenset()
    half: bool = False


#: Products with weights of four bits, as tools' builders make them.
_OF_FOUR_BITS = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"})

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
        half=True,
    ),
    Precision(
        name="int8",
        suffix="_int8",
        targets=("cpu:avx2", "cpu:avx512_vnni", "cpu:avx_vnni", "cpu:dotprod"),
        usual={"cpu": UsualTime(0.65, 0.5, 0.5), "cuda": UsualTime(2.0, 2.0, 2.0)},
        operators=frozenset({"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul"}),
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
        operators=_OF_FOUR_BITS,
    ),
    Precision(
        name="q4f16",
        suffix="_q4f16",
        targets=("cuda",),
        usual={"cpu": UsualTime(2.5, 2.5, 2.5), "cuda": UsualTime(0.8, 0.4, 0.4)},
        operators=_OF_FOUR_BITS,
        half=True,
    ),
)

#: name -> row, in the usual order.
PRECISIONS: Mapping[str, Precision] = MappingProxyType({row.name: row for row in _ROWS})


@dataclass(frozen=True, slots=True)
class Suffix:
    """What a graph file's suffix means in other tools' folders.

    `name`: of the variant, ours where it is one of ours. `like`: the precision of ours whose size and speed it has.
    `targets`: the machines it suits. `loss`: what such files were measured to lose, "" for nothing.
    """

    suffix: str
    name: str
    like: str
    targets: tuple[str, ...] = ("cpu", "cuda")
    loss: str = ""


# Measured on MiniLM: vectors of files that each tool wrote, beside PyTorch's.
_ONE_RANGE = "of MiniLM, such files' vectors have a cosine of 0.92 to 0.99 (at worst 0.85) to the original's"
_FOUR_BITS = "of MiniLM, such files' vectors have a cosine of 0.94 (at worst 0.89) to the original's"
_FEWER_BITS = "it has fewer bits than 4, and nothing was measured of such files"
#: What the answers of a file whose ranges are those of a whole batch were measured to depend on what stands beside.
BATCH_LOSS = f"{_ONE_RANGE}, and of 0.91 to 0.96 to those of the same text in a batch"

_VNNI = ("cpu:avx512_vnni", "cpu:avx_vnni")
_ALL_SUFFIXES = (
    Suffix("", REFERENCE, REFERENCE),
    # optimum's and sentence-transformers' optimization levels: the fourth has numbers of 16 bits.
    *(Suffix(f"_{level}", level, REFERENCE) for level in ("O1", "O2", "O3")),
    Suffix("_optimized", "optimized", REFERENCE),
    Suffix("_fp16", "fp16", "fp16"),
    Suffix("_O4", "O4", "fp16"),
    Suffix("_int8", "int8", "int8", loss=_ONE_RANGE),
    Suffix("_uint8", "uint8", "int8", loss=_ONE_RANGE),
    Suffix("_quantized", "q8", "q8", loss=_ONE_RANGE),
    Suffix("_qint8_avx512_vnni", "qint8_avx512_vnni", "int8", _VNNI, _ONE_RANGE),
    Suffix("_qint8_avx512", "qint8_avx512", "int8", ("cpu:avx512",), _ONE_RANGE),
    Suffix("_qint8_arm64", "qint8_arm64", "int8", ("cpu:dotprod", "cpu:neon"), _ONE_RANGE),
    Suffix("_quint8_avx2", "quint8_avx2", "int8", ("cpu:avx2",), _ONE_RANGE),
    Suffix("_q4", "q4", "q4", loss=_FOUR_BITS),
    Suffix("_bnb4", "bnb4", "q4", loss=_FOUR_BITS),
    Suffix("_q4f16", "q4f16", "q4f16", loss=_FOUR_BITS),
    *(Suffix(f"_{name}", name, "q4", loss=_FEWER_BITS) for name in ("q2", "q1")),
    *(Suffix(f"_{name}", name, "q4f16", loss=_FEWER_BITS) for name in ("q2f16", "q1f16")),
)

#: Variant -> what its suffix means, those that are most exact first.
SUFFIXES: Mapping[str, Suffix] = MappingProxyType({row.name: row for row in _ALL_SUFFIXES})


def like(variant: str) -> Precision:
    """The precision that a variant is, or, of another tool's, is like; fp32 for names that nobody knows."""
    row = SUFFIXES.get(variant)
    return PRECISIONS[REFERENCE if row is None else row.like]


def suffix_of(stem: str) -> Suffix:
    """What the longest known suffix of a file's name without ".onnx" means; that of fp32 where there is none."""
    return max((row for row in SUFFIXES.values() if stem.endswith(row.suffix)), key=lambda row: len(row.suffix))
