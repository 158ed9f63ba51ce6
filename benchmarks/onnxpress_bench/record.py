"""A comparison as JSON, raw samples and summary together.

The format is versioned: readers refuse a `format_version` that they do not know. Pure: a comparison in, text out.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import summarize

FORMAT = "onnxpress-bench"
FORMAT_VERSION = 1


def to_json(comparison: Comparison) -> str:
    """The raw record and the figures made of it, indented, with a final newline."""
    rows = [asdict(row) for row in summarize(comparison)]
    value: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **asdict(comparison),
        "summary": rows,
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
