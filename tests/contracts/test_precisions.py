"""Every row of the precisions, in both packages, and that nothing else is keyed by their names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from onnxpress.engine.machine import FEATURES
from onnxpress.format.fidelity import figure_of
from onnxpress.format.precisions import PRECISIONS as RUNTIME
from onnxpress.format.precisions import REFERENCE
from onnxpress_exporter.passes import find_pass
from onnxpress_exporter.precisions import PRECISIONS, QUANTIZED, loosest
from onnxpress_exporter.precisions.row import ONE_RANGE, Precision
from onnxpress_exporter.quantize.thresholds import parse_thresholds, thresholds_of

ROOT = Path(__file__).parents[2]
FAMILIES = {"cpu", "cuda"}
#: Where precisions may be named: their rows, and what a command line says of them.
ROWS = ("runtime/onnxpress/format/precisions.py", "exporter/onnxpress_exporter/precisions/")
HELP = ("runtime/onnxpress/cli/", "exporter/onnxpress_exporter/cli/")


def test_both_packages_know_the_same_precisions() -> None:
    assert list(PRECISIONS) == list(RUNTIME)
    assert next(iter(RUNTIME)) == REFERENCE and REFERENCE not in QUANTIZED
    assert all(PRECISIONS[name].runtime is row and row.name == name for name, row in RUNTIME.items())


def test_suffixes_differ() -> None:
    suffixes = [row.suffix for row in RUNTIME.values()]
    assert len(set(suffixes)) == len(suffixes) and RUNTIME[REFERENCE].suffix == ""
    assert all(suffix.startswith("_") for suffix in suffixes if suffix)


@pytest.mark.parametrize("name", RUNTIME)
def test_a_row_of_the_runtime_is_whole(name: str) -> None:
    row = RUNTIME[name]
    assert row.targets
    for target in row.targets:
        family, _, feature = target.partition(":")
        assert family in FAMILIES and (not feature or feature in FEATURES), target
    assert set(row.usual) == FAMILIES
    for times in row.usual.values():
        assert all(getattr(times, field.name) > 0 for field in fields(times))


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_row_of_the_exporter_is_whole(name: str) -> None:
    row = PRECISIONS[name]
    assert row.storage
    assert row.compute in PRECISIONS and not PRECISIONS[row.compute].ladder, "computes in what is not quantized itself"
    assert all(callable(find_pass(name)) for name in row.passes)
    assert row.suffix == RUNTIME[name].suffix and row.targets == RUNTIME[name].targets
    assert 0 < row.limits.batch_error <= row.limits.max_error <= 1
    assert 0 <= row.metric_loss < 0.1


@pytest.mark.parametrize("name", QUANTIZED)
def test_what_is_made_from_fp32_can_be_made_and_judged(name: str) -> None:
    row = PRECISIONS[name]
    assert row.schemes, "models that write could not be stored so"
    assert row.ladder or row.half, "models that read could not be stored so"
    if row.ladder:
        assert ONE_RANGE not in row.usual_treatments[-1:], "what every site gets needs no trial"
        assert len(set(row.ladder)) == len(row.ladder)
    limits = thresholds_of(name)
    assert set(limits) == set(parse_thresholds(limits))
    assert set(limits) == set(thresholds_of("q4")), "a figure that one precision forgot"
    for figure, limit in limits.items():
        known = figure_of(figure)
        assert known is not None, f"{figure}: what counts as the same answers?"
        assert 0 <= limit <= (1.5 if known.smaller_is_better else 1), figure


def test_the_reference_makes_no_quantized_variant() -> None:
    row = PRECISIONS[REFERENCE]
    assert (row.ladder, row.schemes, row.embeddings, dict(row.thresholds)) == ((), (), None, {})
    assert row.passes


def test_the_loosest_threshold_is_that_of_the_fewest_bits() -> None:
    assert loosest("cosine, worst") == 0.95
    assert loosest("span agreement") == 0.85
    assert loosest("largest score difference") == 0.3
    assert loosest("word error") == 0.05


def test_every_file_of_a_precision_ends_in_its_row() -> None:
    folder = ROOT / ROWS[1]
    names = {path.stem for path in folder.glob("*.py")} - {"__init__", "row"}
    assert names == set(PRECISIONS)
    for name in names:
        last = ast.parse((folder / f"{name}.py").read_text()).body[-1]
        assert isinstance(last, ast.Assign) and ast.unparse(last.targets[0]) == name.upper(), name
    assert Precision.__dataclass_params__.frozen  # type: ignore[attr-defined]


def named_precisions(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of what is a precision's name, or the suffix of its files."""
    words = {*RUNTIME, *(row.suffix for row in RUNTIME.values()), "f16"} - {""}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in words:
            yield node.lineno, node.value


def test_nothing_else_is_keyed_by_a_name() -> None:
    elsewhere = [
        f"{path.relative_to(ROOT)}:{line}: {word!r}"
        for folder in ("runtime", "exporter")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith((*ROWS, *HELP))
        for line, word in named_precisions(path)
    ]
    assert not elsewhere, "a precision is one row: " + "; ".join(elsewhere)
