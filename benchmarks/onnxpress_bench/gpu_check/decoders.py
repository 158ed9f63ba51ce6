"""A decoder's speed on the device beside transformers in half precision: the first token and many, one row and more.

Every candidate is given token ids on the host, and gives back the new ones on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.engine.providers import GRAPH_CAPTURE, provider_of
from onnxpress.engine.session import Session
from onnxpress.format.manifest import GraphInfo
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.models import as_stored
from onnxpress.generation.decoders.shared_model import SharedModel
from onnxpress.generation.generate import complete
from onnxpress.generation.settings import GenerationConfig
from onnxpress_bench.gpu_check.budget import Budget
from onnxpress_bench.gpu_check.place import Place
from onnxpress_bench.gpu_check.rows import SpeedRow
from onnxpress_bench.gpu_check.timed import Call, Effort, time_in_turn, why

Prompts = list[list[int]]
#: Prompts and how many new tokens to a call.
Write = Callable[[Prompts, int], Call]


def time_decoder(
    row: SpeedRow, graphs: Mapping[str, Path], info: GraphInfo, place: Place, effort: Effort, budget: Budget
) -> list[dict[str, Any]]:
    """One entry for each shape and number of new tokens, and one for memory. `graphs`: precision -> file."""
    candidates, memory, failures = _candidates(row, graphs, info, place)
    entries: list[dict[str, Any]] = [{"row": row.name, "kind": "memory", "device_bytes": memory, "failures": failures}]
    generator = np.random.default_rng(0)
    for rows, tokens in row.shapes:
        prompts: Prompts = generator.integers(1, int(row.config().vocab_size), (rows, tokens)).tolist()
        for new_tokens in (1, row.new_tokens):
            named = f"{row.name} {rows}x{tokens}, {new_tokens} new"
            runs = {name: write for name, write in candidates.items() if "compiled" not in name}
            # A call takes longer than a block where it writes many tokens: about 20 ms each.
            about_s = effort.about_s(len(runs)) + (effort.blocks + effort.warm_up_calls) * len(runs) * 0.02 * new_tokens
            if not budget.allows(named, about_s):
                continue
            compiled = {name: write for name, write in candidates.items() if "compiled" in name}
            if (rows, tokens) in row.compiled_shapes and budget.allows(
                f"{named}, compiled by PyTorch", about_s + row.compile_s * len(compiled)
            ):
                runs |= compiled
            timed, failures = time_in_turn({name: write(prompts, new_tokens) for name, write in runs.items()}, effort)
            entries.append(
                {
                    "row": row.name,
                    "kind": "times",
                    "batch": rows,
                    "tokens": tokens,
                    "new_tokens": new_tokens,
                    "base": timed[0].name if timed else "",
                    "times": [asdict(entry) for entry in timed],
                    "failures": failures,
                }
            )
    return entries


def _candidates(
    row: SpeedRow, graphs: Mapping[str, Path], info: GraphInfo, place: Place
) -> tuple[dict[str, Write], dict[str, int], list[str]]:
    """What is timed, transformers bf16 first, bytes of the device that each took until its first answer, failures."""
    import torch
    import transformers

    auto_class: Any = getattr(transformers, row.auto_class)
    candidates: dict[str, Write] = {}
    memory: dict[str, int] = {}
    failures: list[str] = []

    def add(name: str, make: Callable[[], Write]) -> None:
        before = place.used_bytes()
        try:
            write = make()
            write([[1, 2, 3]], 2)()
        except Exception as error:  # one that fails must not cost the others: the record names it
            failures.append(why(name, error))
        else:
            candidates[name] = write
            memory[name] = place.used_bytes() - before

    for name, dtype in (("transformers bf16", torch.bfloat16), ("transformers fp16", torch.float16)):
        model = auto_class.from_config(row.config(), dtype=dtype, attn_implementation="sdpa").eval().to(place.device)
        add(name, partial(_transformers, model, place, {}))
        # With a static cache `generate` compiles a step, where there is a GPU.
        candidates[f"{name}, compiled"] = _transformers(model, place, {"cache_implementation": "static"})
    captures: list[dict[str, Any]] = [{}, {GRAPH_CAPTURE: True}]
    if not any(option.name == GRAPH_CAPTURE for option in provider_of(place.device).options):
        captures = [{}]
    for precision, path in graphs.items():
        for options in captures:
            name = f"onnxpress {precision}" + (", captured" if options else "")
            add(name, partial(_ours, path, info, place, options))
    return candidates, memory, failures


def _transformers(model: Any, place: Place, settings: Mapping[str, Any]) -> Write:
    import torch

    def write(prompts: Prompts, new_tokens: int) -> Call:
        def run() -> object:
            with torch.inference_mode():
                ids = torch.tensor(prompts).to(place.device)
                return model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=new_tokens,
                    do_sample=False,
                    eos_token_id=None,
                    pad_token_id=0,
                    **settings,
                ).cpu()

        return run

    return write


def _ours(path: Path, info: GraphInfo, place: Place, options: Mapping[str, Any]) -> Write:
    session = Session({"model": path}, device=place.device, provider_options=options)
    graph = as_stored(read("model", info, "shared"), session)
    model = SharedModel(session, replace(graph, name="model"), prefix_bytes=0)

    def write(prompts: Prompts, new_tokens: int) -> Call:
        config = GenerationConfig(max_new_tokens=new_tokens)

        def run() -> object:
            decoder = model.start(len(prompts), len(prompts[0]) + new_tokens)
            try:
                return complete(decoder, prompts, config)
            finally:
                decoder.close()

        return run

    return write
