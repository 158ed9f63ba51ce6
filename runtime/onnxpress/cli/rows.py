"""What a command is to answer: arguments, lines of standard input, or the rows of a file, each with its place."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress.cli.lines import decoded, standard_input
from onnxpress.errors import InputError, MissingDependency
from onnxpress.pipelines.payload import Body, read_argument

_TABLES = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"


@dataclass(frozen=True, slots=True)
class InputRow:
    """`where`: its place, in words. `body`: what is asked, or why that is not known. `fields`: what it came with, to
    stand beside the answer."""

    where: str
    body: Body | InputError
    fields: Mapping[str, Any] | None = None


def of_arguments(texts: Iterable[str]) -> Iterator[InputRow]:
    """The inputs that a command line names."""
    return (InputRow(f"Input {number}", read_argument(text)) for number, text in enumerate(texts, 1))


def of_standard_input(names: Sequence[str] = ()) -> Iterator[InputRow]:
    """The lines of standard input: texts, or JSON; with `names`, JSON objects with these fields.

    Raises:
        InputError: a line is not UTF-8, or not such an object.
    """
    return _of_lines(standard_input(), "Standard input, line", names)


def of_file(path: Path, names: Sequence[str] = ()) -> Iterator[InputRow]:
    """The rows of a file: .csv and .tsv, .parquet, or else lines as on standard input.

    Args:
        names: the columns that are asked; of several, one object. None: the only column there is.

    Raises:
        InputError: the file cannot be read, or has no such column.
        MissingDependency: a Parquet file, and pyarrow is not installed.
    """
    try:
        if path.suffix == _PARQUET:
            yield from _of_records(_parquet(path), f"{path}, row", names)
        elif path.suffix in _TABLES:
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield from _of_records(csv.DictReader(file, delimiter=_TABLES[path.suffix]), f"{path}, row", names)
        else:
            with path.open("rb") as lines:
                yield from _of_lines(decoded(lines, str(path)), f"{path}, line", names)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as {path.suffix[1:]} ({error}).") from None


def _of_lines(lines: Iterable[str], place: str, names: Sequence[str]) -> Iterator[InputRow]:
    for number, line in enumerate(lines, 1):
        where = f"{place} {number}"
        if not names:
            yield InputRow(where, read_argument(line))
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield InputRow(where, InputError(f"not JSON ({error}). --field needs one JSON object a line."))
            continue
        if isinstance(record, dict):
            yield InputRow(where, _asked(record, names), record)
        else:
            yield InputRow(where, InputError(f"{line:.40} is no JSON object, which --field needs."))


def _of_records(records: Iterable[Mapping[str, Any]], place: str, names: Sequence[str]) -> Iterator[InputRow]:
    for number, record in enumerate(records, 1):
        where = f"{place} {number}"
        columns = list(record)
        if not names and len(columns) > 1:
            raise InputError(
                f"{where}: say with --field which column to ask. There are: {', '.join(map(str, columns))}."
            )
        yield InputRow(where, _asked(record, names or columns), record)


def _asked(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of one field, or an object with several."""
    missing = [name for name in names if record.get(name) is None]
    if missing:
        from onnxpress.suggestions import did_you_mean

        there = [str(name) for name in record]
        return InputError(f"no {missing[0]!r}.{did_you_mean(missing[0], there)} It has: {', '.join(there)}.")
    return record[names[0]] if len(names) == 1 else {name: record[name] for name in names}


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        from pyarrow import ArrowInvalid, parquet  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise MissingDependency(f"{path}: Parquet files need pyarrow: `pip install pyarrow`.") from None
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except ArrowInvalid as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error}).") from None
