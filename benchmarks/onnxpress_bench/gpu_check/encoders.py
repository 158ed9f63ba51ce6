"""An encoder's speed on the device beside PyTorch in half precision, eager and compiled, with fused attention (SDPA).

Every candidate is given token ids on the host, and gives back hidden states on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.session import Session
from onnxpress_bench.gpu_check.budget import Budget
from onnxpress_bench.gpu_check.place import Place
from onnxpress_bench.gpu_check.rows import SpeedRow
from onnxpress_bench.gpu_check.timed import Effort, time_in_turn, why

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], object]


def time_encoder(
    row: SpeedRow, graphs: Mapping[str, Path], place: Place, effort: Effort, budget: Budget
) -> list[dict[str, Any]]:
    """One entry for each shape, and one for the memory that each candidate takes. `graphs`: precision -> file."""
    candidates, memory, failures = _candidates(row, graphs, place)
    entries: list[dict[str, Any]] = [{"row": row.name, "kind": "memory", "device_bytes": memory, "failures": failures}]
    vocabulary = int(row.config().vocab_size)
    for shape in row.shapes:
        batch, length = shape
        arrays = _ids(batch, length, vocabulary)
        runs = {name: run for name, run in candidates.items() if "compiled" not in name}
        about_s = effort.about_s(len(runs))
        if not budget.allows(f"{row.name} {batch}x{length}", about_s):
            continue
        compiled = {name: run for name, run in candidates.items() if "compiled" in name}
        if shape in row.compiled_shapes and budget.allows(
            f"{row.name} {batch}x{length}, compiled by PyTorch", about_s + row.compile_s * len(compiled)
        ):
            runs |= compiled
        timed, failures = time_in_turn({name: _bound(run, arrays) for name, run in runs.items()}, effort)
        entries.append(
            {
                "row": row.name,
                "kind": "times",
                "batch": batch,
                "tokens": length,
                "base": timed[0].name if timed else "",
                "times": [asdict(entry) for entry in timed],
                "failures": failures,
            }
        )
    return entries


def _candidates(
    row: SpeedRow, graphs: Mapping[str, Path], place: Place
) -> tuple[dict[str, Run], dict[str, int], list[str]]:
    """What is timed, PyTorch fp16 first, bytes of the device that each took until its first answer, and failures."""
    import torch
    import transformers

    auto_class: Any = getattr(transformers, row.auto_class)
    arrays = _ids(1, min(16, min(length for _, length in row.shapes)), int(row.config().vocab_size))
    candidates: dict[str, Run] = {}
    memory: dict[str, int] = {}
    failures: list[str] = []

    def add(name: str, make: Callable[[], Run]) -> None:
        before = place.used_bytes()
        try:
            run = make()
            run(arrays)
        except Exception as error:  # one that fails must not cost the others: the record names it
            failures.append(why(name, error))
        else:
            candidates[name] = run
            memory[name] = place.used_bytes() - before

    for name, dtype in (("PyTorch fp16", torch.float16), ("PyTorch bf16", torch.bfloat16)):
        model = auto_class.from_config(row.config(), dtype=dtype, attn_implementation="sdpa").eval()
        add(name, partial(_eager, model, place))
        candidates[f"{name}, compiled"] = _eager(place.compiled(model), place)
    for precision, path in graphs.items():
        add(f"onnxpress {precision}", partial(_opened, path, place))
    return candidates, memory, failures


def _ids(batch: int, length: int, vocabulary: int) -> dict[str, NDArray[Any]]:
    """Random ids without padding, int64 (batch, length)."""
    ids = np.random.default_rng(0).integers(1, vocabulary, (batch, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def _eager(model: Any, place: Place) -> Run:
    import torch

    model.to(place.device)

    def run(arrays: Arrays) -> object:
        with torch.inference_mode():
            ids = {name: torch.from_numpy(array).to(place.device, non_blocking=True) for name, array in arrays.items()}
            return model(**ids).last_hidden_state.cpu()

    return run


def _opened(path: Path, place: Place) -> Run:
    session = Session({"model": path}, device=place.device)
    return lambda arrays: session.run(arrays)["last_hidden_state"]


def _bound(run: Run, arrays: Arrays) -> Callable[[], object]:
    return lambda: run(arrays)
