"""An encoder's speed on the GPU beside PyTorch in half precision, and how far both are from PyTorch in float32.

PyTorch runs fp16 and bf16 with scaled dot-product attention, eager and compiled. Every candidate is given token ids on
the host, and gives back hidden states of 16 bits on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress import Artifact, Session
from onnxpress_bench.gpu_check.timed import time_in_turn

SHAPES: tuple[tuple[int, int], ...] = ((1, 16), (1, 128), (8, 128), (32, 128), (16, 512))
PRECISIONS = ("fp32", "fp16")

Arrays = Mapping[str, NDArray[Any]]


def check_encoder(checkpoint: Path, artifact: Path, shapes: tuple[tuple[int, int], ...] = SHAPES) -> dict[str, Any]:
    """Times of every candidate at each shape, errors over float32's range, and peak memory on the device in bytes."""
    import torch
    from transformers import AutoModel

    opened = Artifact.open(artifact)
    (graph,) = (name for name, info in opened.manifest.graphs.items() if "input_ids" in _names(info.inputs))
    inputs = _names(opened.manifest.graphs[graph].inputs)
    vocabulary = int(AutoModel.from_pretrained(checkpoint).config.vocab_size)
    reference = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval().cuda()
    candidates: dict[str, Callable[[Arrays], NDArray[Any]]] = {}
    for name, dtype in (("pytorch fp16", torch.float16), ("pytorch bf16", torch.bfloat16)):
        model = AutoModel.from_pretrained(checkpoint, dtype=dtype, attn_implementation="sdpa").eval().cuda()
        candidates[name] = _eager(model)
        candidates[f"{name}, compiled"] = _eager(torch.compile(model, dynamic=False))
    sessions = {}
    for precision in PRECISIONS:
        if precision in opened.manifest.variants:
            session = sessions[precision] = Session(opened.graphs(precision), device="cuda")
            candidates[f"onnxpress {precision}"] = _graph(session, graph)
    rows = []
    for batch, length in shapes:
        arrays = _ids(batch, length, vocabulary, inputs)
        expected = _eager(reference)(arrays).astype(np.float32)
        spread = float(expected.max() - expected.min())
        errors = {}
        for name, run in candidates.items():
            errors[name] = float(np.abs(run(arrays).astype(np.float32) - expected).max()) / spread
        timed = time_in_turn({name: _bound(run, arrays) for name, run in candidates.items()})
        rows.append(
            {"batch": batch, "length": length, "times": [asdict(entry) for entry in timed], "largest_errors": errors}
        )
    record = {"shapes": rows, "device_memory_bytes": _used_memory()}
    for session in sessions.values():
        session.close()
    return record


def _names(tensors: Any) -> list[str]:
    return [tensor.name for tensor in tensors]


def _ids(batch: int, length: int, vocabulary: int, names: list[str]) -> dict[str, NDArray[Any]]:
    """Random ids without padding, int64 (batch, length)."""
    generator = np.random.default_rng(0)
    every = {
        "input_ids": generator.integers(1000 % vocabulary, vocabulary, (batch, length)),
        "attention_mask": np.ones((batch, length), np.int64),
        "token_type_ids": np.zeros((batch, length), np.int64),
    }
    return {name: every[name] for name in names}


def _eager(model: Any) -> Callable[[Arrays], NDArray[Any]]:
    import torch

    def run(arrays: Arrays) -> NDArray[Any]:
        with torch.inference_mode():
            ids = {name: torch.from_numpy(array).cuda(non_blocking=True) for name, array in arrays.items()}
            hidden = model(**ids).last_hidden_state
            result: NDArray[Any] = (
                hidden.to(torch.float32 if hidden.dtype == torch.float32 else torch.float16).cpu().numpy()
            )
        return result

    return run


def _graph(session: Session, graph: str) -> Callable[[Arrays], NDArray[Any]]:
    def run(arrays: Arrays) -> NDArray[Any]:
        result: NDArray[Any] = session.run(arrays, graph)["last_hidden_state"]
        return result

    return run


def _bound(run: Callable[[Arrays], NDArray[Any]], arrays: Arrays) -> Callable[[], object]:
    return lambda: run(arrays)


def _used_memory() -> int:
    """Bytes in use on the device, by every library of this process and all others."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return int(total - free)
