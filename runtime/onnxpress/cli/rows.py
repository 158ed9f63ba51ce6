"""What a command is to answer: arguments, lines of standard input, or the rows of a file, each with its place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress.cli.lines import STANDARD_INPUT, decoded, standard_input
from onnxpress.cli.tables import PARQUET, SEPARATORS, read_csv, read_parquet
from onnxpress.errors import InputError
from onnxpress.pipelines.payload import Body, read_argument
from onnxpress.suggestions import did_you_mean


@dataclass(frozen=True, slots=True)
class InputRow:
    """`where`: its place, in words. `body`: what is asked, or why that is not known. `fields`: what it came with, to
    stand beside the answer."""

    where: str
    body: Body | InputError
    fields: Mapping[str, Any] | None = None


def of_arguments(texts: Iterable[str]) -> Iterator[InputRow]:
    """The inputs that a command line names; "-" stands for the lines of standard input."""
    for number, text in enumerate(texts, 1):
        if text == STANDARD_INPUT:
            yield from of_standard_input()
        else:
            yield InputRow(f"Input {number}", read_argument(text))


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
    suffix = path.suffix.lower()
    try:
        if suffix == PARQUET:
            yield from _of_records(read_parquet(path, names), f"{path}, row", names)
        elif suffix in SEPARATORS:
            yield from _of_records(read_csv(path, names), f"{path}, row", names)
        else:
            with path.open("rb") as lines:
                yield from _of_lines(decoded(lines, str(path)), f"{path}, line", names)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None


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
            yield InputRow(where, asked_of(record, names), record)
        else:
            yield InputRow(where, InputError(f"{line:.40} is no JSON object, which --field needs."))


def _of_records(records: Iterable[Mapping[str, Any]], place: str, names: Sequence[str]) -> Iterator[InputRow]:
    for number, record in enumerate(records, 1):
        yield InputRow(f"{place} {number}", asked_of(record, names or list(record)), record)


def asked_of(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of one field, or an object with several; or why there is none."""
    missing = [name for name in names if record.get(name) is None]
    if missing:
        there = [str(name) for name, value in record.items() if value is not None]
        return InputError(
            f"no {missing[0]!r}.{did_you_mean(missing[0], there)} It has: {', '.join(there) or 'nothing'}."
        )
    return record[names[0]] if len(names) == 1 else {name: record[name] for name in names}
