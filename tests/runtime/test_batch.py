"""`onnxpress batch`: what it reads and writes, bad rows, and that a run which was killed goes on as if it had not."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from onnxpress.cli.bulk.journal import RunParts
from onnxpress.cli.main import program
from onnxpress.errors import InputError

from ..fixtures.artifacts import write_artifact
from ..fixtures.embedder import write_embedder

LONG = "good " * 40
TEXTS = ["good", "bad", "very good film", "a bad, bad film", "good good"] * 4

#: Ends a process as a kill does, at the n-th file that it is about to rename, or has just renamed.
_KILLED = """
import os, pathlib, signal, sys
from onnxpress.cli.main import program
count, after, arguments = int(sys.argv[1]), sys.argv[2] == "after", sys.argv[3:]
rename, seen = pathlib.Path.replace, []
def replace(self, target):
    seen.append(target)
    if len(seen) == count and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    result = rename(self, target)
    if len(seen) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
pathlib.Path.replace = replace
program(arguments, standalone_mode=False)
"""


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("batch") / "classifier")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder(tmp_path_factory.mktemp("batch") / "embedder")


def _batch(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["batch", *map(str, arguments)])


def _done(*arguments: object) -> Result:
    result = _batch(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def _refused(match: str, *arguments: object) -> None:
    result = _batch(*arguments)
    assert isinstance(result.exception, InputError), (result.output, result.exception)
    assert match in str(result.exception)


def _write_csv(path: Path, texts: list[str], **columns: list[str]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", *columns])
        writer.writerows(zip(map(str, range(len(texts))), texts, *columns.values(), strict=True))
    return path


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_of_csv_keep_their_columns(classifier: Path, tmp_path: Path) -> None:
    source = _write_csv(tmp_path / "in.csv", TEXTS, label=["x"] * len(TEXTS))
    _done(source, tmp_path / "out.jsonl", "--model", classifier, "--part-rows", 6)
    rows = _lines(tmp_path / "out.jsonl")
    assert [(row["id"], row["text"], row["label"]) for row in rows] == [(str(i), t, "x") for i, t in enumerate(TEXTS)]
    assert [row["result"]["label"] for row in rows[:4]] == ["good", "bad", "good", "bad"]
    _done(source, tmp_path / "out.csv", "--model", classifier)
    with (tmp_path / "out.csv").open(newline="") as file:
        again = list(csv.DictReader(file))
    assert [json.loads(row["result"]) for row in again] == [row["result"] for row in rows]
    assert [list(row) for row in again[:1]] == [["id", "text", "label", "result", "error"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv", "out.jsonl"]


def test_parquet_keeps_types_and_has_vectors(embedder: Path, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    import onnxpress

    table = pyarrow.table({"id": pyarrow.array(range(20), pyarrow.int16()), "text": TEXTS, "result": [b"\x00"] * 20})
    parquet.write_table(table, tmp_path / "in.parquet")
    _done(tmp_path / "in.parquet", tmp_path / "out.parquet", "--model", embedder, "--column", "text", "--part-rows", 7)
    written = parquet.read_table(tmp_path / "out.parquet")
    assert written.select(["id", "text", "result"]).equals(table)
    assert written.schema.field("result_").type == pyarrow.list_(pyarrow.float32())
    assert parquet.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3
    vectors = np.array(written["result_"].to_pylist(), dtype=np.float32)
    np.testing.assert_allclose(vectors, onnxpress.pipeline(model=embedder)(TEXTS), atol=1e-6)


def test_a_bad_row_ends_the_run_or_is_recorded(classifier: Path, tmp_path: Path) -> None:
    source, out = _write_csv(tmp_path / "in.csv", ["good", "bad", LONG, "good"]), tmp_path / "out.jsonl"
    _refused(f"{source}, row 3: The text has 42 tokens", source, out, "--model", classifier, "--part-rows", 2)
    assert not out.exists() and RunParts(out).has(0) and not RunParts(out).has(1)
    said = _done(source, out, "--model", classifier, "--part-rows", 2, "--on-error", "record").stderr
    assert "row 3" in said and "4 rows; 1 of them could not be answered" in said
    good, bad, long, last = _lines(out)
    assert [row["result"]["label"] for row in (good, bad, last)] == ["good", "bad", "good"]
    assert list(long) == ["id", "text", "error"] and "row 3: The text has 42 tokens" in long["error"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_no_rows_are_no_answers(classifier: Path, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in.csv").write_text("text\n")
    _done(tmp_path / "in.csv", tmp_path / f"out{suffix}", "--model", classifier)
    content = (tmp_path / f"out{suffix}").read_bytes()
    assert content == {".jsonl": b"", ".csv": b"text,result,error\r\n"}.get(suffix, content)


def test_lines_are_texts_objects_or_requests(classifier: Path, tmp_path: Path) -> None:
    lines = ['"good"', "no JSON", '{"text": "bad"}', '{"txt": "bad"}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    _done(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--model", classifier, "--on-error", "record")
    good, broken, bad, other = _lines(tmp_path / "out.jsonl")
    assert (good["result"]["label"], bad["result"]["label"]) == ("good", "bad")
    assert "row 2: not JSON" in broken["error"] and "row 4: no 'text'" in other["error"] and other["txt"] == "bad"
    (tmp_path / "hub.jsonl").write_text('{"inputs": "bad", "parameters": {"top_k": 2}}\n{"inputs": "good"}\n')
    _done(tmp_path / "hub.jsonl", tmp_path / "hub-out.jsonl", "--model", classifier)
    two, single = _lines(tmp_path / "hub-out.jsonl")
    assert [row["label"] for row in two["result"]] == ["bad", "good"] and single["result"]["label"] == "good"
    (tmp_path / "in.txt").write_text("good\n[bad\n")
    _done(tmp_path / "in.txt", tmp_path / "txt.jsonl", "--model", classifier)
    assert [row["text"] for row in _lines(tmp_path / "txt.jsonl")] == ["good", "[bad"]


def test_a_folder_of_tables_is_one_table(classifier: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(3):
        _write_csv(folder / f"{number}.csv", TEXTS[number : number + 2])
    _done(folder, tmp_path / "out.jsonl", "--model", classifier, "--part-rows", 4)
    assert [row["text"] for row in _lines(tmp_path / "out.jsonl")] == [*TEXTS[:2], *TEXTS[1:3], *TEXTS[2:4]]


@pytest.fixture(scope="module")
def whole(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """An input, and the answers of a run that nothing ended."""
    folder = tmp_path_factory.mktemp("whole")
    source = _write_csv(folder / "in.csv", TEXTS)
    _done(source, folder / "out.jsonl", "--model", classifier, "--part-rows", 4)
    return source, (folder / "out.jsonl").read_bytes()


def test_a_killed_run_goes_on_to_the_same_bytes(classifier: Path, whole: tuple[Path, bytes], tmp_path: Path) -> None:
    source, expected = whole
    out = tmp_path / "out.jsonl"
    arguments = ["batch", str(source), str(out), "--model", str(classifier), "--part-rows", "4"]
    for count, when, done in ((4, "before", 2), (2, "after", 4), (2, "before", 5)):  # the journal, parts, the answers
        ended = subprocess.run([sys.executable, "-c", _KILLED, str(count), when, *arguments], capture_output=True)
        assert ended.returncode == -9, ended.stderr.decode()
        assert sum(RunParts(out).has(number) for number in range(5)) == done
        assert not out.exists()
    _done(*arguments[1:])
    assert out.read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_interrupted_run_goes_on_at_any_file(
    classifier: Path, whole: tuple[Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, expected = whole
    out, rename = tmp_path / "out.jsonl", Path.replace
    left: list[None] = []

    def replace(self: Path, target: Path) -> Path:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    for _ in range(6):
        assert _batch(source, out, "--model", classifier, "--part-rows", 4).exit_code != 0
        left.append(None)  # the next run renames one file more before it ends
    left.extend([None] * 9)
    _done(source, out, "--model", classifier, "--part-rows", 4)
    assert out.read_bytes() == expected


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda source: source.write_text(source.read_text() + "9,bad\n"), "another input:"),
        (lambda source: ["--part-rows", "3"], "another part-rows: part-rows was 2, is 3"),
        (lambda source: ["-s", "top_k=2"], "another options: options was {}, is {'top_k': 2}"),
        (lambda source: ["--column", "text"], "another column"),
    ],
)
def test_what_changed_is_not_gone_on_with(
    classifier: Path, tmp_path: Path, change: Callable[[Path], Any], says: str
) -> None:
    source, out = _write_csv(tmp_path / "in.csv", ["good", "bad", LONG]), tmp_path / "out.jsonl"
    _refused("row 3", source, out, "--model", classifier, "--part-rows", 2)
    more = change(source)
    more = more if isinstance(more, list) else []
    _refused(says, source, out, "--model", classifier, "--part-rows", 2, *more, "--on-error", "record")
    _done(source, out, "--model", classifier, "--part-rows", 2, *more, "--on-error", "record", "--force")


def test_answers_that_are_there_are_not_replaced(classifier: Path, tmp_path: Path) -> None:
    source, out = _write_csv(tmp_path / "in.csv", ["good"]), tmp_path / "out.jsonl"
    out.write_text("mine")
    _refused("is there already", source, out, "--model", classifier)
    assert out.read_text() == "mine"
    _done(source, out, "--model", classifier, "--force")
    assert _lines(out)[0]["result"]["label"] == "good"


@pytest.mark.parametrize(
    ("name", "content", "arguments", "says"),
    [
        ("in.csv", "a,b\n1,2\n", [], "say with --column which column to ask. There are: a, b."),
        ("in.csv", "a,b\n1,2\n", ["--column", "c"], "no column 'c'"),
        ("in.csv", 'text\n"never closed\n', [], "a quote is opened and never closed"),
        ("in.xlsx", "", [], "what it holds is told by its name"),
        ("in.jsonl", "[1]\n", [], "row 1: [1] is no JSON object"),
    ],
)
def test_what_cannot_be_read_is_refused_before_any_answer(
    classifier: Path, tmp_path: Path, name: str, content: str, arguments: list[str], says: str
) -> None:
    (tmp_path / name).write_text(content)
    _refused(says, tmp_path / name, tmp_path / "out.jsonl", "--model", classifier, *arguments)
    _refused("cannot be read", tmp_path / "none.csv", tmp_path / "out.jsonl", "--model", classifier)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.nightly
def test_processes_answer_as_one_does(classifier: Path, whole: tuple[Path, bytes], tmp_path: Path) -> None:
    source, expected = whole
    out = tmp_path / "out.jsonl"
    _done(source, out, "--model", classifier, "--part-rows", 4, "--workers", 2)
    assert out.read_bytes() == expected
    bad = _write_csv(tmp_path / "bad.csv", [*TEXTS, LONG])
    _refused("row 21: The text has 42 tokens", bad, tmp_path / "bad.jsonl", "--model", classifier, "--workers", 2)
