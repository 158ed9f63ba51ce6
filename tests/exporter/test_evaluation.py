"""--eval-data: the same rows from every format, and what cannot be read is named before anything long begins."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from onnxpress.errors import InputError, MissingDependency
from onnxpress.image.opening import open_picture
from onnxpress_bench.suites.heldout import heldout_rows
from onnxpress_exporter import export
from onnxpress_exporter.judging import data
from onnxpress_exporter.judging.data import EvalData, Table, read
from onnxpress_exporter.quantize.settings import Settings
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.tasks.evaluation import evaluation_of
from tests.fixtures.labelled import write_rows
from tests.fixtures.manifests import manifest

datasets = pytest.importorskip("datasets")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize("name", ["tiny-ner", "tiny-qa", "tiny-sentiment"])
def test_formats_give_the_same_rows(tmp_path: Path, name: str) -> None:
    """With quotes, commas, newlines and what looks like a missing value or a number as well."""
    rows = [{**row} for row in heldout_rows(name, 30).rows]
    if name == "tiny-sentiment":
        rows += [{"text": text, "label": "neutral"} for text in ('a "quoted", text', "two\nlines", "NA", "", "7")]
    task = {"tiny-ner": "token-classification", "tiny-qa": "question-answering"}.get(name, "text-classification")
    config = json.loads((MODELS / name / "config.json").read_text())
    labels = tuple(config.get("id2label", {}).values())
    plain = manifest()
    made = replace(plain, task=task, postprocessing=replace(plain.postprocessing, labels=labels))
    found = []
    for ending in data.FORMATS:
        table = read(EvalData(str(write_rows(tmp_path / f"rows{ending}", rows)), limit=20))
        assert len(table.rows) == 20 and list(table.numbers) == sorted(table.numbers)
        rows_of = evaluation_of(table, made)
        found.append((tuple(table.numbers), list(rows_of.items), list(rows_of.targets), rows_of.options))
    assert found[0] == found[1] == found[2]


def test_a_folder_of_pictures_has_a_folder_for_each_label(tmp_path: Path) -> None:
    for number, label in enumerate(("cat", "dog", "cat")):
        (tmp_path / "pictures" / label).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (9 * number, 0, 0)).save(tmp_path / "pictures" / label / f"{number}.png")
    table = read(EvalData(str(tmp_path / "pictures")))
    plain = manifest()
    wanted = replace(
        plain, task="image-classification", postprocessing=replace(plain.postprocessing, labels=("dog", "cat"))
    )
    rows = evaluation_of(table, wanted)
    assert sorted(rows.targets) == ["cat", "cat", "dog"]
    assert all(open_picture(item).size == (8, 8) for item in rows.items)


def test_few_rows_are_read_whole_and_in_order(tmp_path: Path) -> None:
    rows = [{"text": str(i) * 2 + "x", "label": i % 2} for i in range(5)]
    table = read(EvalData(str(write_rows(tmp_path / "a.jsonl", rows))))
    assert list(table.rows) == rows and list(table.numbers) == [1, 2, 3, 4, 5]


def test_a_dataset_of_a_folder_has_splits_and_class_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `datasets` knows by a name; a folder is one that needs no network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "reviews"
    folder.mkdir()
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    for split, count in (("train", 4), ("validation", 3)):
        rows = {"text": ["t"] * count, "label": [0, 1, 1, 0][:count]}
        written = pyarrow.Table.from_pydict(rows, schema=features.arrow_schema)
        parquet.write_table(written, folder / f"{split}-00000-of-00001.parquet")
    table = read(EvalData(str(folder)))
    assert (len(table.rows), table.classes) == (3, {"label": ("pos", "neg")})
    assert table.name.endswith("split validation")
    assert len(read(EvalData(str(folder), split="train")).rows) == 4
    with pytest.raises(InputError, match=r"no split dev .* --eval-split"):
        read(EvalData(str(folder), split="dev"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.jsonl", '{"text": "a", "label": 1}\n{"text": \n', r"rows\.jsonl: cannot be read as \.jsonl"),
        ("rows.csv", "", r"rows\.csv: cannot be read as \.csv"),
        ("rows.parquet", "PAR1 not", r"rows\.parquet: cannot be read as \.parquet"),
        ("rows.csv", "text,label\na,1\n", r"rows\.csv: 1 rows are too few"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read(EvalData(str(tmp_path / name)))


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read(EvalData(str(tmp_path / "none.csv")))
    (tmp_path / "a.csv").write_text("text,label\na,1\nb,0\n")
    with pytest.raises(InputError, match="is a file, which has no split 'test'"):
        read(EvalData(str(tmp_path / "a.csv"), split="test"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"neither a file .* nor a dataset that can be read"):
        read(EvalData("no-such-owner/no-such-dataset"))


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "NEEDS", {"json": "json", "no_such_module": "no-such-package"})
    with pytest.raises(MissingDependency, match=r"needs no-such-package: `pip install 'onnxpress\[eval\]'`"):
        read(EvalData("rows.jsonl"))


def test_rows_without_a_variant_to_judge_are_refused(tmp_path: Path) -> None:
    settings = Settings(evaluation=EvalData("rows.jsonl"))
    with pytest.raises(InputError, match="Name some with --precision"):
        export(MODELS / "tiny-sentiment", tmp_path / "out", quantization=settings)


def test_held_out_rows_are_the_same_for_a_seed_and_no_others() -> None:
    first, again = (heldout_rows("tiny-sentiment", 50).rows for _ in range(2))
    assert first == again
    assert first != heldout_rows("tiny-sentiment", 50, seed=1).rows
    shipped = (MODELS / "tiny-sentiment" / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    assert isinstance(heldout_rows("tiny-qa", 2), Table)
    assert [json.loads(line)["text"] for line in shipped[:50]] != [row["text"] for row in first]


def test_a_log_handler_that_follows_standard_error_is_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """dill, which `datasets` brings, has one, and it cannot be given another stream."""
    handler = type(logging.lastResort)()  # type: ignore[misc]
    logger = logging.getLogger("onnxpress-test-follows")
    logger.addHandler(handler)
    try:
        with quiet():
            logger.warning("inside")
        logger.warning("outside")
    finally:
        logger.removeHandler(handler)
    assert handler.stream is sys.stderr
    shown = capfd.readouterr().err
    assert "outside" in shown and "inside" not in shown
