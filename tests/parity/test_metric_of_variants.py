"""The task's own metric of trained checkpoints: int8 gets as many held-out rows right as the original."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.cli.inspection import describe
from onnxpress_bench.suites.heldout import heldout_rows
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.flow import quantize
from onnxpress_exporter.judging.data import EvalData
from onnxpress_exporter.quantize.settings import Settings
from tests.fixtures.labelled import write_rows
from tests.fixtures.processes import HANG_S

pytest.importorskip("datasets")

ROWS = 400

Trained = Callable[[str], Path]
Exported = Callable[..., onnxpress.Artifact]

#: name -> its metric. Other thresholds than the metric's are loose: repair is tested elsewhere, and takes minutes.
METRIC = {"tiny-ner": "entity F1", "tiny-qa": "exact match", "tiny-sentiment": "accuracy"}
EASY = {"span agreement": 0.3, "label agreement": 0.9, "largest score difference": 1.0}


@pytest.fixture(
    scope="module", params=["tiny-ner", "tiny-sentiment", pytest.param("tiny-qa", marks=pytest.mark.nightly)]
)
def judged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, trained: Trained, exported: Exported
) -> onnxpress.Artifact:
    """A trained checkpoint in fp32 and int8, judged on rows that it never saw."""
    folder = tmp_path_factory.mktemp(request.param)
    rows = write_rows(folder / "rows.jsonl", heldout_rows(request.param, ROWS).rows)
    settings = Settings(thresholds=EASY, evaluation=EvalData(str(rows)))
    return quantize(exported(trained(request.param)).folder, "int8", folder / "artifact", settings=settings)


def test_int8_gets_as_many_right_as_fp32(judged: onnxpress.Artifact) -> None:
    quality = judged.manifest.variants["int8"].quality
    assert quality is not None
    metric = METRIC[Path(judged.manifest.provenance.source).name]
    own, reference = quality.measures[metric], quality.measures[f"{metric} of the reference"]
    assert own == pytest.approx(reference - quality.measures[f"{metric} loss"], abs=2e-6)
    assert 0.85 < reference <= 1 and own >= reference - 0.005
    assert quality.measure_limits[f"{metric} loss"] == 0.005
    assert (
        quality.reference
        == f"the fp32 variant, verified against PyTorch; the task's metric on {ROWS} rows of rows.jsonl"
    )
    assert f"{metric} {own:.4f} (reference {reference:.4f})" in describe(judged.manifest, width=1000)
    card = (judged.folder / "README.md").read_text(encoding="utf-8")
    assert f"- {metric} loss: " in card and f"on {ROWS} rows of rows.jsonl" in card


def test_the_reference_s_figure_is_the_pipeline_s(judged: onnxpress.Artifact) -> None:
    """The fp32 variant, asked as a user would ask, and counted by hand."""
    name = Path(judged.manifest.provenance.source).name
    rows = heldout_rows(name, ROWS).rows
    quality = judged.manifest.variants["int8"].quality
    assert quality is not None
    with onnxpress.pipeline(model=judged, precision="fp32") as pipe:
        counted = COUNTED[name](pipe, rows)
    assert quality.measures[f"{METRIC[name]} of the reference"] == pytest.approx(counted, abs=2e-6)


def _right_labels(pipe: Any, rows: Sequence[Mapping[str, Any]]) -> float:
    found = pipe([row["text"] for row in rows], truncation=True)
    return sum(one["label"] == row["label"] for one, row in zip(found, rows, strict=True)) / len(rows)


def _right_answers(pipe: Any, rows: Sequence[Mapping[str, Any]]) -> float:
    items = [{"question": row["question"], "context": row["context"]} for row in rows]
    found = [one["answer"].lower().strip(" .,") for one in pipe(items, handle_impossible_answer=True)]
    right = [next(iter(row["answers"]["text"]), "").lower() for row in rows]
    return sum(a.removeprefix("the ") == b.removeprefix("the ") for a, b in zip(found, right, strict=True)) / len(rows)


def _f1_of_entities(pipe: Any, rows: Sequence[Mapping[str, Any]]) -> float:
    found = pipe([row["text"] for row in rows], aggregation_strategy="simple")
    given = {(i, e["entity_group"], e["start"], e["end"]) for i, some in enumerate(found) for e in some}
    right = {(i, e["label"], e["start"], e["end"]) for i, row in enumerate(rows) for e in row["entities"]}
    return 2 * len(given & right) / (len(given) + len(right))


COUNTED = {"tiny-ner": _f1_of_entities, "tiny-qa": _right_answers, "tiny-sentiment": _right_labels}


@pytest.fixture(scope="module")
def plain(trained: Trained, exported: Exported) -> onnxpress.Artifact:
    """A trained classifier in fp32."""
    return exported(trained("tiny-sentiment"))


def test_a_variant_is_refused_by_its_metric(plain: onnxpress.Artifact, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", heldout_rows("tiny-sentiment", 40).rows)
    settings = Settings({"accuracy loss": -1.0}, 0.0, evaluation=EvalData(str(rows)))
    with pytest.raises(VariantRefused, match=r"accuracy loss \S+, at most -1 is needed"):
        quantize(plain.folder, "int8", tmp_path / "out", settings=settings)
    assert not (tmp_path / "out").exists()


def test_the_command_takes_a_file_and_columns(plain: onnxpress.Artifact, tmp_path: Path) -> None:
    rows = [{"body": row["text"], "verdict": row["label"]} for row in heldout_rows("tiny-sentiment", 60).rows]
    file = write_rows(tmp_path / "reviews.parquet", rows)
    options = ("--eval-data", file, "--eval-limit", "50", "--threshold", "largest score difference=1")
    command = (sys.executable, "-m", "onnxpress", "quantize", plain.folder, "--precision", "int8", "--out")
    refused = subprocess.run(
        [*map(str, (*command, tmp_path / "out", *options))], capture_output=True, text=True, timeout=HANG_S
    )
    assert refused.returncode == 1
    assert "needs columns for text, label" in refused.stderr and "Traceback" not in refused.stderr
    columns = ("--eval-column", "text=body", "--eval-column", "label=verdict")
    made = subprocess.run(
        [*map(str, (*command, tmp_path / "out", *options, *columns))], capture_output=True, text=True, timeout=HANG_S
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert "accuracy 0." in made.stdout or "accuracy 1." in made.stdout
    quality = onnxpress.Artifact.open(tmp_path / "out").manifest.variants["int8"].quality
    assert quality is not None and quality.reference.endswith("the task's metric on 50 rows of reviews.parquet")


def test_nothing_of_it_is_imported_unasked(plain: onnxpress.Artifact, tmp_path: Path) -> None:
    code = (
        "import sys; from onnxpress_exporter.flow import quantize;"
        f"quantize({str(plain.folder)!r}, 'fp16', {str(tmp_path / 'out')!r});"
        "print([name for name in ('datasets', 'sklearn', 'scipy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S)
    assert (done.stdout, done.stderr) == ("[]\n", "")
