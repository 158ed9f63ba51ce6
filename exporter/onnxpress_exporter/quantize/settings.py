"""What a user decides of quantized variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from onnxpress.errors import InputError
from onnxpress_exporter.judging.data import EvalData
from onnxpress_exporter.precisions.row import Thresholds

#: The type of the numbers: the variant's own, or integers of 8 bits, whatever its precision is.
INTEGER_CACHE = np.dtype(np.int8).name
CACHES = ("float", INTEGER_CACHE)

#: Is told what is being done, for a progress display.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """`thresholds`: a user's own, over the precision's. `repair_s`: no new attempt to repair begins after so many
    seconds. `keep_slow`: keep a variant that is neither smaller nor faster than fp32. `evaluation`: labelled rows, by
    whose metric variants are judged as well. `tune`: find the form of each variant that is fastest on this machine.
    `cache`: how a decoder's variants keep keys and values, one of CACHES."""

    thresholds: Thresholds = field(default_factory=dict)
    repair_s: float = 600.0
    keep_slow: bool = False
    evaluation: EvalData | None = None
    tune: bool = False
    cache: str = CACHES[0]

    def __post_init__(self) -> None:
        if self.cache not in CACHES:
            raise InputError(f"There is no cache {self.cache!r}; there are: {', '.join(CACHES)}.")
