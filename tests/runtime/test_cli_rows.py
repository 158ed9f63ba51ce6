"""`onnxpress run` over rows: which one is bad, going on after it, the fields it keeps, CSV and Parquet."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxpress.cli.main import program
from onnxpress.errors import InputError

from ..fixtures.artifacts import write_artifact
from ..fixtures.embedder import write_embedder

LONG = "good " * 40


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("rows") / "artifact")


def _run(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(program, ["run", *map(str, arguments)], input=text)


def _lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["good", LONG, "bad"], "Standard input, line 2: The text has 42 tokens"),
        (["good", '{"x": 1}', "bad"], "Standard input, line 2: text-classification takes"),
    ],
)
def test_a_bad_line_is_named_after_the_answers_before_it(artifact: Path, rows: list[str], says: str) -> None:
    result = _run(artifact, "--json", text="\n".join(rows))
    assert isinstance(result.exception, InputError) and str(result.exception).startswith(says)
    assert len(_lines(result)) == next(number for number, row in enumerate(rows) if row not in ("good", "bad"))


def test_it_goes_on_where_it_is_told_to(artifact: Path) -> None:
    rows = ["good", LONG, "bad", '{"x": 1}', '["good", "bad"]', "good"]
    result = _run(artifact, "--json", "--on-error", "continue", text="\n".join(rows))
    assert result.exit_code == 1
    first, second, third, fourth, *_, last = _lines(result)
    assert [first["label"], third["label"], last["label"]] == ["good", "bad", "good"]
    assert (
        second["error"].startswith("Standard input, line 2: The text has 42 tokens")
        and "-s truncation=true" in second["error"]
    )
    assert fourth["error"].startswith("Standard input, line 4: ")
    assert _run(artifact, "good", "bad", "--on-error", "continue").exit_code == 0


def test_an_option_that_a_row_has_wrong_is_that_row_s(artifact: Path) -> None:
    rows = ["good", '{"inputs": "bad", "top_k": "all"}', "good"]
    result = _run(artifact, "--json", "--on-error", "continue", text="\n".join(rows))
    assert result.exit_code == 1
    first, second, third = _lines(result)
    assert first["label"] == third["label"] == "good"
    assert second["error"].startswith("Standard input, line 2: ") and "top_k" in second["error"]
    stopped = _run(artifact, "--json", text="\n".join(rows))
    assert str(stopped.exception).startswith("Standard input, line 2: ") and len(_lines(stopped)) == 1


def test_people_see_it_too(artifact: Path) -> None:
    result = _run(artifact, "good", LONG, "--on-error", "continue")
    assert "error: Input 2: The text has 42 tokens" in result.stdout


def test_other_fields_stay_beside_the_answer(artifact: Path) -> None:
    rows = '{"id": 7, "text": "good", "tags": ["ä"]}\n{"id": 8, "body": "bad"}\nnothing\n[1]\n{"text": "bad"}\n'
    result = _run(artifact, "--field", "text", "--on-error", "continue", text=rows)
    first, *failed, last = _lines(result)
    assert first == {"id": 7, "text": "good", "tags": ["ä"], "result": first["result"]}
    assert first["result"]["label"] == "good" and last["result"]["label"] == "bad"
    assert [row["error"].partition(":")[0] for row in failed] == [
        f"Standard input, line {number}" for number in (2, 3, 4)
    ]
    assert failed[0]["id"] == 8 and "no 'text'" in failed[0]["error"]


def test_several_fields_are_one_input(artifact: Path) -> None:
    row = json.dumps({"text": "good", "text_pair": "bad bad", "id": 1})
    (answer,) = _lines(_run(artifact, "--field", "text", "--field", "text_pair", text=row))
    assert answer["result"]["label"] == "bad" and answer["id"] == 1


def test_tables(artifact: Path, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_bytes('\ufeffid,text\n1,"good,\nvery good"\n2,bäd\n'.encode())
    first, second = _lines(_run(artifact, "--input", table, "--field", "text"))
    assert first["text"] == "good,\nvery good" and first["result"]["label"] == "good"
    assert second["id"] == "2"
    with pytest.raises(InputError, match=r"say with --field which column to ask\. There are: id, text"):
        raise _run(artifact, "--input", table).exception or AssertionError
    with pytest.raises(InputError, match=r"no column 'txet'\. Did you mean 'text'"):
        raise _run(artifact, "--input", table, "--field", "txet").exception or AssertionError
    (tmp_path / "one.tsv").write_text("text\ngood\n")
    assert json.loads(_run(artifact, "-i", tmp_path / "one.tsv", "--json").stdout)["result"]["label"] == "good"
    table.write_bytes("text\nb\xe4d\n".encode("latin-1"))
    with pytest.raises(InputError, match="0xe4 is not UTF-8"):
        raise _run(artifact, "--input", table, "--field", "text").exception or AssertionError
    with pytest.raises(InputError, match="No such file"):
        raise _run(artifact, "--input", tmp_path / "none.csv", "--field", "text").exception or AssertionError


def test_parquet(artifact: Path, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["good", "bad"]}), path)
    assert [row["result"]["label"] for row in _lines(_run(artifact, "-i", path, "--field", "text"))] == ["good", "bad"]
    path.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        raise _run(artifact, "-i", path, "--field", "text").exception or AssertionError


def test_texts_that_are_one_input_keep_their_order(tmp_path: Path) -> None:
    embedder = write_embedder(tmp_path / "embedder")
    result = _run(embedder, "-s", "source_sentence=good film", "--json", text="good\nbad\n")
    assert len(result.stdout.splitlines()) == 2


def test_inputs_and_a_file_exclude_each_other(artifact: Path) -> None:
    assert _run(artifact, "good", "--field", "text").exit_code == 2


@pytest.mark.parametrize(
    "arguments", [["-"], ["--input", "-"], ["-", "--on-error", "continue"], ["--json", "--", "-"], []]
)
def test_a_dash_is_standard_input(artifact: Path, arguments: list[str]) -> None:
    rows = "\ufeffgood\nbad film\n"
    result = _run(artifact, *arguments, *([] if "--json" in arguments else ["--json"]), text=rows)
    assert [row["label"] for row in _lines(result)] == ["good", "bad"], result.output


def test_a_dash_among_inputs_and_options(artifact: Path) -> None:
    labels = [row["label"] for row in _lines(_run(artifact, "bad", "-", "bad", "--json", text="good\ngood"))]
    assert labels == ["bad", "good", "good", "bad"]
    rows = '{"id": 1, "review": "bad"}'
    assert _lines(_run(artifact, "-", "--field", "review", text=rows))[0]["result"]["label"] == "bad"
    assert _lines(_run(artifact, "good", "--json", "-s", "function_to_apply=@-", text="none"))[0]["score"] == 1.0
    assert _lines(_run(artifact, '{"inputs": "-"}', "--json"))[0]["label"]
    for twice in (
        ["-", "-"],
        ["-", "-s", "function_to_apply=@-"],
        ["-s", "function_to_apply=@-"],
        ["--input", "-", "-"],
    ):
        assert _run(artifact, *twice, text="good").exit_code == 2


def test_an_object_that_is_no_call_is_told_the_option_for_it(artifact: Path) -> None:
    for body in ('{"text": "good", "id": 1}', '{"review": "good"}'):
        result = _run(artifact, text=body)
        assert isinstance(result.exception, InputError)
        assert re.search(r"keep the others: --field (text|review)\.", str(result.exception)), str(result.exception)
    assert "--field" not in str(_run(artifact, text='{"inputs": "good", "topk": 1}').exception)


def test_a_field_of_the_row_is_never_lost_and_a_line_is_json(artifact: Path, tmp_path: Path) -> None:
    rows = '{"text": "good", "result": 7, "weight": NaN}\n{"text": null, "error": "old"}\n'
    result = _run(artifact, "--field", "text", "--on-error", "continue", text=rows)
    first, second = [json.loads(line, parse_constant=pytest.fail) for line in result.stdout.splitlines()]
    assert (first["result"], first["weight"], first["result_"]["label"]) == (7, None, "good")
    assert second["error"] == "old" and "no 'text'" in second["error_"]
