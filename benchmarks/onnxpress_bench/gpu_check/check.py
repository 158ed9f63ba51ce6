"""The check as a whole: every row in turn while there is time, and the record, a line as soon as a row is done.

The record is JSON lines: a line "run" for everything, lines "parity" and "speed", and a line "summary" at the end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onnxpress.engine.machine import processor_name
from onnxpress_bench.gpu_check.budget import Budget
from onnxpress_bench.gpu_check.decoders import time_decoder
from onnxpress_bench.gpu_check.encoders import time_encoder
from onnxpress_bench.gpu_check.hollow import fill
from onnxpress_bench.gpu_check.parity import check_parity
from onnxpress_bench.gpu_check.place import Place
from onnxpress_bench.gpu_check.prepared import ARTIFACTS, MODELS, graph_file, prepared
from onnxpress_bench.gpu_check.rows import COVERED, ParityRow, Rows, SpeedRow
from onnxpress_bench.gpu_check.timed import REHEARSED, Effort
from onnxpress_bench.machine import describe_machine, versions
from onnxpress_bench.record import finite

FORMAT, FORMAT_VERSION = "onnxpress-gpu-check", 1
#: Beside the usual packages.
PACKAGES = ("onnxpress", "onnxruntime", "onnxruntime-gpu", "tokenizers", "numpy", "torch", "transformers")

Entry = dict[str, Any]
Write = Callable[[Mapping[str, Any]], None]
Say = Callable[[str], None]


def check(folder: Path, rows: Rows, place: Place, budget: Budget, write: Write, say: Say) -> Entry:
    """Run every row, hand each entry to `write`, and return the summary."""
    refused, graphs = prepared(folder)
    write(_head(rows, place, budget))
    failures: list[str] = []

    def run(what: str, kind: str, about_s: float, measure: Callable[[], Iterable[Entry]]) -> None:
        if not budget.allows(what, about_s):
            return
        say(what)
        try:
            entries = list(measure())
        except Exception as error:  # one row that fails must not cost the others: the record names it
            entries = [{"row": what, "failures": [f"{type(error).__name__}: {error}"]}]
        for entry in entries:
            write({"type": kind, **entry})
            failures.extend(f"{what}, {entry.get('precision', kind)}: {why}" for why in entry.get("failures", ()))

    def parity(row: ParityRow) -> list[Entry]:
        return check_parity(
            row, folder / ARTIFACTS / row.name, folder / MODELS / row.checkpoint, refused[row.name], place
        )

    def speed(row: SpeedRow) -> list[Entry]:
        paths = {precision: graph_file(folder, row, precision) for precision in row.precisions}
        for path in paths.values():
            fill(path)
        effort = REHEARSED if place.rehearses else Effort()
        if row.writes:
            return time_decoder(row, paths, graphs[row.name], place, effort, budget)
        return time_encoder(row, paths, place, effort, budget)

    for answers in rows.parity:
        run(answers.name, "parity", answers.about_s, partial(parity, answers))
    for shape in rows.speed:
        run(shape.name, "speed", 20.0, partial(speed, shape))
    summary = {
        "type": "summary",
        "passed": not failures,
        "failures": failures,
        "left_out": budget.left_out,
        "seconds": round(budget.spent_s, 1),
    }
    write(summary)
    return summary


def writer(path: Path) -> Write:
    """A function that appends a line to a new file, which holds all lines so far whenever the check ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")

    def write(entry: Mapping[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(dict(entry))) + "\n")

    return write


def _head(rows: Rows, place: Place, budget: Budget) -> Entry:
    return {
        "type": "run",
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        # A machine that was prepared for this check alone may lack what describes it.
        "machine": asdict(describe_machine()) if find_spec("psutil") else {"processor": processor_name()},
        "gpu": place.describe(),
        "rehearsal": place.rehearses,
        "versions": versions(PACKAGES),
        "budget_s": budget.seconds,
        "tasks_without_a_row": COVERED,
        "not_built_yet": list(rows.unavailable),
    }
