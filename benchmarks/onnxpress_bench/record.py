"""A comparison as JSON lines: the run, its blocks with all raw samples, and the summary; and back.

Line 1 has "type": "run" with everything that holds for the whole run; then one line "block" for each process, in the
order they ran; then one line "summary" with the figures that the report shows. The format is versioned: a reader
refuses a `format_version` that it does not know. docs/bench-record.md describes the fields.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onnxpress.errors import ArtifactError
from onnxpress.format.files import write_file
from onnxpress.format.schema import decode, encode
from onnxpress_bench.comparison import Comparison, Run
from onnxpress_bench.errors import BenchError
from onnxpress_bench.measures import summarize

FORMAT = "onnxpress-bench"
FORMAT_VERSION = 2


def to_lines(comparison: Comparison) -> str:
    """The record as text."""
    head = {key: value for key, value in encode(comparison).items() if key != "runs"}
    lines: list[dict[str, Any]] = [{"type": "run", "format": FORMAT, "format_version": FORMAT_VERSION, **head}]
    lines += [{"type": "block", **encode(run)} for run in comparison.runs]
    lines.append({"type": "summary", "rows": [finite(asdict(row)) for row in summarize(comparison)]})
    return "".join(json.dumps(line) + "\n" for line in lines)


def finite(value: Any) -> Any:
    """JSON knows no infinity: the end of an interval that has none is null."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_record(comparison: Comparison, path: Path) -> None:
    """Whole or not at all."""
    write_file(path, to_lines(comparison).encode())


def read_record(path: Path) -> Comparison:
    """The comparison that `write_record` wrote. The summary is made anew from the samples.

    Raises:
        BenchError: the file is not there, is no record, or is one of another version.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise _no_record(path) from None
    if not lines or not all(isinstance(line, dict) for line in lines) or lines[0].get("format") != FORMAT:
        raise _no_record(path)
    head = dict(lines[0])
    version = head.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise BenchError(
            f"{path} has format version {version}; this onnxpress reads {FORMAT_VERSION}. Use the onnxpress that "
            f"wrote it ({head.get('versions', {}).get('onnxpress', 'unknown')}), or measure again."
        )
    for name in ("type", "format"):
        del head[name]
    try:
        runs = [
            encode(decode(Run, {key: value for key, value in line.items() if key != "type"}, f"line {number}"))
            for number, line in enumerate(lines[1:], start=2)
            if line.get("type") == "block"
        ]
        return decode(Comparison, {**head, "runs": runs}, "line 1")
    except ArtifactError as error:
        raise BenchError(f"{path} is a damaged record: {str(error).removesuffix(' Export again.')}") from None


def _no_record(path: Path) -> BenchError:
    return BenchError(
        f"{path} is not a record of `onnxpress bench`. Write one with `onnxpress bench ... --json {path}`."
    )
