"""A start from which a small encoder finds equal words at once: queries made of the same weights
as keys attend to what is equal. Learning that from nothing takes thousands of steps, and every
task on two texts (question and passage, query and document, claim and premise) needs it.
"""

from __future__ import annotations

import torch
from torch import nn


def attend_to_equals(model: nn.Module, layers: int, scale: float = 1.2) -> None:
    """Give query and key of the first `layers` attention modules (DeBERTa's names) the same random
    weights, in place."""
    found = [(module.query_proj, module.key_proj) for module in model.modules() if hasattr(module, "query_proj")]
    for query, key in found[:layers]:
        if not (isinstance(query, nn.Linear) and isinstance(key, nn.Linear)):
            raise TypeError(f"{type(model).__name__} has no linear query_proj and key_proj")
        weight = torch.randn_like(query.weight) * scale / query.in_features**0.5
        query.weight.data.copy_(weight)
        key.weight.data.copy_(weight)
