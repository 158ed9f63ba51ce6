"""A start from which a small encoder finds equal words at once: queries made of the same weights
as keys attend to what is equal. Learning that from nothing takes thousands of steps, and every
task on two texts (question and passage, query and document, claim and premise) needs it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def attend_to_equals(projections: Iterable[tuple[nn.Linear, nn.Linear]], scale: float = 1.2) -> None:
    """Give each (query, key) pair of projections the same random weights, in place."""
    for query, key in projections:
        weight = torch.randn_like(query.weight) * scale / query.in_features**0.5
        query.weight.data.copy_(weight)
        key.weight.data.copy_(weight)
