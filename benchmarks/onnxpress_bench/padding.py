"""How much of what was computed for a stream was padding. Pure: lengths in, a share out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxpress.engine.providers import parse_device, provider_of
from onnxpress.pipelines.batching import plan
from onnxpress_bench.backends import BackendSpec, Batching, backend_class, in_batches


def padding_share(spec: BackendSpec, batching: Batching, items: Sequence[Any], tokens: Sequence[int]) -> float | None:
    """Padding tokens over all tokens computed: 0 is perfect. None: the backend's batches are its own secret.

    Args:
        tokens: of each item, special ones included.
    """
    if not getattr(backend_class(spec.kind, spec.task), "pads", True):
        return 0.0
    if batching.rows is not None:
        batches = in_batches(items, batching)
    elif spec.kind == "onnxpress":
        batches = plan(list(tokens[: len(items)]), provider_of(parse_device(spec.device)).budget_tokens)
    else:
        return None
    real = sum(tokens[: len(items)])
    computed = sum(len(batch) * max(tokens[index] for index in batch) for batch in batches)
    return 1 - real / computed
