"""Queries and documents of a model with a vector for each token: how they are read, and which of their tokens count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.format.manifest import TokenVectors
from onnxpress.samples import Sample

QUERY, DOCUMENT = "query", "document"
ROLES = (QUERY, DOCUMENT)


def check_role(role: str) -> None:
    """Refuse what is no role of a text.

    Raises:
        InputError: it is none.
    """
    if role not in ROLES:
        raise InputError(f"role is {role!r:.60}; it must be one of {', '.join(ROLES)}, or None.")


def longest(settings: TokenVectors, role: str | None) -> int | None:
    """The most tokens of a text in its role, special tokens among them; None: the model's limit."""
    if role != QUERY:
        return settings.document_length if role == DOCUMENT else None
    if settings.expansion_id is None:
        return settings.query_length
    if settings.expansion_fixed:
        return settings.expansion_length
    return None if settings.query_length is None else max(settings.query_length, settings.expansion_length)


def as_role(sample: Sample, settings: TokenVectors, role: str | None) -> Sample:
    """The sample as it is read in its role. Its context says which of its tokens count: bool (tokens,)."""
    if role == QUERY and settings.expansion_id is not None:
        sample = _expanded(sample, settings, settings.expansion_id)
    ids = sample.arrays["input_ids"]
    if (role or DOCUMENT) in settings.skipped_in and settings.skipped_ids:
        return replace(sample, context=~np.isin(ids, settings.skipped_ids))
    return replace(sample, context=np.ones(len(ids), dtype=bool))


def _expanded(sample: Sample, settings: TokenVectors, token: int) -> Sample:
    missing = settings.expansion_length - sample.cost
    if missing <= 0:
        return sample
    sees = np.ones(sample.cost, dtype=np.int64)
    arrays: dict[str, NDArray[np.int64]] = {
        name: np.pad(array, (0, missing), constant_values=token if name == "input_ids" else 0)
        for name, array in sample.arrays.items()
    }
    arrays["attention_mask"] = np.pad(sees, (0, missing), constant_values=int(settings.attends_to_expansion))
    return Sample(arrays, settings.expansion_length)
