"""Whether two results say the same: same structure, strings and integers, and floats within a tolerance."""

from __future__ import annotations

import json
from typing import Any

SCORE = 1e-4


def assert_alike(obtained: Any, expected: Any, *, tolerance: float = SCORE, where: str = "result") -> None:
    """Compare nested lists, tuples and mappings. `expected` may hold numpy numbers; `obtained` must be plain Python,
    with the same keys in the same order."""
    if isinstance(expected, dict):
        assert isinstance(obtained, dict), f"{where}: {obtained!r} instead of {expected!r}"
        assert list(obtained) == list(expected), f"{where}: keys {list(obtained)} instead of {list(expected)}"
        for key, value in expected.items():
            assert_alike(obtained[key], value, tolerance=tolerance, where=f"{where}[{key!r}]")
    elif isinstance(expected, (list, tuple)):
        assert isinstance(obtained, list), f"{where}: {obtained!r} instead of {expected!r}"
        assert len(obtained) == len(expected), f"{where}: {len(obtained)} items instead of {len(expected)}"
        for index, (ours, theirs) in enumerate(zip(obtained, expected, strict=True)):
            assert_alike(ours, theirs, tolerance=tolerance, where=f"{where}[{index}]")
    elif hasattr(expected, "dtype") or isinstance(expected, float):
        assert isinstance(obtained, float), f"{where}: {type(obtained).__name__} instead of float"
        assert abs(obtained - float(expected)) <= tolerance, f"{where}: {obtained} instead of {expected}"
    else:
        assert obtained == expected, f"{where}: {obtained!r} instead of {expected!r}"
        assert type(obtained) is type(expected), f"{where}: {type(obtained)} instead of {type(expected)}"


def assert_ranked_alike(obtained: Any, expected: Any, *, name: str = "label", tolerance: float = SCORE) -> None:
    """Two lists of all scored entries, best first: the same scores by name, and the same best entry unless the two
    best are so close that rounding decides."""
    ours, theirs = ({entry[name]: entry["score"] for entry in entries} for entries in (obtained, expected))
    assert_alike(ours, {key: theirs[key] for key in ours}, tolerance=tolerance)
    assert set(ours) == set(theirs)
    scores = [entry["score"] for entry in obtained]
    assert scores == sorted(scores, reverse=True)
    best = sorted(theirs.values(), reverse=True)
    if len(best) > 1 and best[0] - best[1] > 1e-3:
        assert obtained[0][name] == expected[0][name]


def assert_json(result: Any) -> None:
    """The result can be written as JSON and read back equal."""
    assert json.loads(json.dumps(result)) == result
