"""The argument `return_tensors`: as what a task gives arrays back."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError


def check_tensors(kind: Any) -> None:
    """Refuse a `return_tensors` that nothing is given back as.

    Raises:
        InputError: it is neither "np", "pt", True, False nor None, or PyTorch was not imported.
    """
    if kind not in (None, False, True, "np", "pt"):
        raise InputError(
            f'return_tensors is {kind!r}; pass "np" for arrays, "pt" for PyTorch\'s tensors, or leave it out for '
            "nested lists."
        )
    if kind == "pt" and "torch" not in sys.modules:
        raise InputError('return_tensors="pt" is for programs that have imported torch; pass "np" for arrays.')


def as_tensors(array: NDArray[np.float32], kind: Any) -> Any:
    """An array as `return_tensors` says: itself, a tensor of PyTorch, or nested lists."""
    if kind == "pt":
        return sys.modules["torch"].from_numpy(array)
    return array if kind else array.tolist()
