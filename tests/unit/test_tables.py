"""Rows of CSV and Parquet files: read as they are meant, or refused with the row and the reason."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.cli.rows import of_file
from onnxpress.cli.tables import read_csv
from onnxpress.errors import InputError, MissingDependency


def rows(folder: Path, text: str | bytes, *names: str, name: str = "table.csv") -> list[Mapping[str, str | None]]:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_csv(folder / name, names))


@pytest.mark.parametrize("text", ["text,id\nGood.,1\n", "\ufefftext,id\r\nGood.,1\r\n", "\n\ntext,id\n\nGood.,1"])
def test_marks_ends_of_lines_and_empty_lines_do_not_count(tmp_path: Path, text: str) -> None:
    assert rows(tmp_path, text, "text") == [{"text": "Good.", "id": "1"}]


def test_a_field_may_hold_lines_separators_and_a_book(tmp_path: Path) -> None:
    book = "word " * 100_000
    assert rows(tmp_path, f'text\n"one, ""two""\nthree"\n{book}\n', "text") == [
        {"text": 'one, "two"\nthree'},
        {"text": book},
    ]


def test_capitals_of_the_suffix_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "TABLE.TSV").write_text("text\tid\na, b\t1\n")
    (row,) = of_file(tmp_path / "TABLE.TSV", ["text"])
    assert (row.body, row.fields) == ("a, b", {"text": "a, b", "id": "1"})


def test_what_a_short_row_lacks_is_none(tmp_path: Path) -> None:
    assert rows(tmp_path, "text,id\nGood.\n", "text") == [{"text": "Good.", "id": None}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "table.csv: is empty; its first line should name the columns"),
        ("text,text\na,b\n", "the header names 'text' twice"),
        ("text,id\na,1\nb,2,3\n", "table.csv, row 2: has 3 fields, and the header names 2"),
        ('text\na\n"b\nc\n', "table.csv, after row 1: .* a quote is opened and never closed"),
        ("txt,id\n", "no column 'text'. Did you mean 'txt'"),
        ("text;id\na;1\n", "fields stand between ';' there"),
        ("text\tid\na\t1\n", "name it .tsv if they are tabs"),
        (b"text\n\xff\xfe\n", "0xff is not UTF-8"),
        ("text,id\na,1\n".encode("utf-16"), "0xff is not UTF-8"),
    ],
)
def test_what_cannot_be_read_as_it_is_meant_is_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        rows(tmp_path, text, "text")


def test_of_several_columns_one_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"say with --field which column to ask\. There are: text, id"):
        rows(tmp_path, "text,id\n")
    assert rows(tmp_path, "text\na\n") == [{"text": "a"}]


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, fields: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    with path.open("w", encoding="utf-8", newline="", errors="replace") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *fields])
    written = [
        dict(zip("ab", [text.encode(errors="replace").decode() for text in pair], strict=True)) for pair in fields
    ]
    assert list(read_csv(path, ["a"])) == written


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MissingDependency, match=r"table\.parquet: Parquet files need pyarrow: `pip install 'onnxpress\[batch\]'`"
    ):
        list(of_file(tmp_path / "table.parquet", ["text"]))


def test_parquet_is_read_and_its_columns_are_checked(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "table.parquet"
    parquet.write_table(pyarrow.table({"text": ["Good.", None], "id": [1, 2]}), path)
    good, empty = of_file(path, ["text"])
    assert (good.body, good.fields) == ("Good.", {"text": "Good.", "id": 1})
    assert isinstance(empty.body, InputError) and str(empty.body) == "no 'text'. It has: id."
    with pytest.raises(InputError, match=r"no column 'txt'\. Did you mean 'text'"):
        list(of_file(path, ["txt"]))
    path.write_bytes(b"no such thing")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        list(of_file(path, ["text"]))
