"""How answers are written: a row for each kind of file. A part is written by itself, and parts are joined in order."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from onnxpress.cli.results import free_name, plain
from onnxpress.cli.tables import PARQUET
from onnxpress.errors import InputError, MissingDependency

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of the input, those of the answers after them, and of Parquet the types of the former."""

    of_input: tuple[str, ...]
    result: str
    error: str
    schema: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.of_input, self.result, self.error)

    @staticmethod
    def beside(of_input: Sequence[str], schema: Any = None) -> Columns:
        """Names for the answers that no column of the input has."""
        return Columns(tuple(of_input), free_name("result", of_input), free_name("error", of_input), schema)


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """A kind of file. `write`: the rows of a part, each with what it came with and its result or its error; `join`:
    parts, in order, to one file."""

    write: Callable[[Path, Sequence[Record], Columns], None]
    join: Callable[[Path, Sequence[Path], Columns], None]


def form_of(path: Path) -> AnswerFile:
    """How a file of this name is written.

    Raises:
        InputError: its name does not tell.
        MissingDependency: Parquet, and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMS:
        raise InputError(f"{path}: how answers are written is told by its name: {', '.join(FORMS)}.")
    if suffix == PARQUET:
        try:
            import pyarrow  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
        except ImportError:
            raise MissingDependency(f"{path}: Parquet files need pyarrow: `pip install 'onnxpress[batch]'`.") from None
    return FORMS[suffix]


def _write_lines(path: Path, records: Sequence[Record], columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(plain(record), ensure_ascii=False, default=str) + "\n")


def _join_lines(path: Path, parts: Sequence[Path], columns: Columns) -> None:
    with path.open("wb") as file:
        _append(file, parts)


def _write_csv(path: Path, records: Sequence[Record], columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([_cell(record.get(name)) for name in columns.names] for record in records)


def _join_csv(path: Path, parts: Sequence[Path], columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(columns.names)
    with path.open("ab") as file:
        _append(file, parts)


def _append(file: Any, parts: Sequence[Path]) -> None:
    for part in parts:
        with part.open("rb") as content:
            shutil.copyfileobj(content, file, 1 << 20)


def _cell(value: Any) -> str:
    """A text as it is; what is none as JSON; nothing for None."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(plain(value), ensure_ascii=False, default=str)


def _write_parquet(path: Path, records: Sequence[Record], columns: Columns) -> None:
    import pyarrow
    from pyarrow import parquet

    types = {} if columns.schema is None else {field.name: field.type for field in columns.schema}
    arrays = {}
    for name in columns.names:
        values = [_columnar(record.get(name)) for record in records]
        try:
            arrays[name] = pyarrow.array(values, type=pyarrow.string() if name == columns.error else types.get(name))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as error:
            raise InputError(
                f"{path.name}: the values of {name!r} have no common type, which a column of Parquet needs ({error}). "
                "Write .jsonl instead."
            ) from None
    parquet.write_table(pyarrow.table(arrays), path)


def _join_parquet(path: Path, parts: Sequence[Path], columns: Columns) -> None:
    import pyarrow
    from pyarrow import parquet

    try:
        schema = pyarrow.unify_schemas([parquet.read_schema(part) for part in parts], promote_options="permissive")
        with parquet.ParquetWriter(path, schema) as writer:
            for part in parts:
                writer.write_table(parquet.read_table(part).cast(schema))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as error:
        raise InputError(
            f"{path.name}: rows far apart have values of different types, and a column of Parquet has one ({error}). "
            "Write .jsonl instead."
        ) from None


def _columnar(value: Any) -> Any:
    """A value as pyarrow takes it: arrays of one axis as they are, others as lists of them."""
    if isinstance(value, np.ndarray):
        return value if value.ndim == 1 else [_columnar(row) for row in value] if value.ndim else value.item()
    if isinstance(value, Mapping):
        return {str(key): _columnar(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_columnar(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return plain(value) if hasattr(value, "save") else value


#: Suffix -> how it is written.
FORMS: Mapping[str, AnswerFile] = MappingProxyType(
    {
        ".jsonl": AnswerFile(_write_lines, _join_lines),
        ".csv": AnswerFile(_write_csv, _join_csv),
        PARQUET: AnswerFile(_write_parquet, _join_parquet),
    }
)
