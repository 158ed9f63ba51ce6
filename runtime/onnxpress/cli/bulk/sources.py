"""What `onnxpress batch` reads: rows of tables, or files of a folder, each with the columns that it came with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress.cli.lines import decoded
from onnxpress.cli.media import Medium
from onnxpress.cli.rows import InputRow, asked_of
from onnxpress.cli.tables import PARQUET, SEPARATORS, csv_header, read_csv, read_parquet
from onnxpress.errors import InputError
from onnxpress.format.hashing import sha256
from onnxpress.pipelines.payload import INPUTS, PARAMETERS, Payload

LINES, JSON_LINES = (".txt",), (".jsonl", ".ndjson")
TABLES = (PARQUET, *SEPARATORS, *JSON_LINES, *LINES)

#: The column of what had no column: a line of text, or a file of a folder.
TEXT, FILE = "text", "file"

OPTION = "--column"


@dataclass(frozen=True, slots=True)
class RunInput:
    """What is read, in a fixed order.

    Args:
        path: as the command has it.
        files: the tables whose rows are asked; or the files that are asked themselves.
        names: the columns that are asked; of several, one object; (): lines and whole objects.
        media: whether files are asked themselves.
    """

    path: Path
    files: tuple[Path, ...]
    names: tuple[str, ...] = ()
    media: bool = False

    def rows(self) -> Iterator[InputRow]:
        """Each row, with its place in words and its columns.

        Raises:
            InputError: a file cannot be read to its end.
        """
        if self.media:
            for file in self.files:
                yield InputRow(str(file), str(file), {FILE: str(file.relative_to(self.path))})
            return
        for file in self.files:
            for number, record in enumerate(_records(file, self.names), 1):
                place = f"{file}, row {number}"
                if isinstance(record, InputError):
                    yield InputRow(place, record, {})
                elif INPUTS in record and not self.names:  # as the Hub's clients ask
                    yield InputRow(place, dict(record), record)
                else:
                    yield InputRow(place, asked_of(record, self.names or list(record)), record)

    def survey(self) -> InputSurvey:
        """Read all of it once, which takes a small part of the time that answers take: how much there is, and whether
        it can be read to its end, are then known before the first answer.

        Raises:
            InputError: as of `rows`.
        """
        if self.media:
            return InputSurvey(len(self.files), (FILE,), None)
        if self.files[0].suffix.lower() == PARQUET:
            return _survey_of_parquet(self)
        count, columns = 0, dict[str, None]()
        for row in self.rows():
            count += 1
            columns.update(dict.fromkeys(row.fields or ()))
        if not count and self.files[0].suffix.lower() in SEPARATORS:
            columns = dict.fromkeys(csv_header(self.files[0]))
        return InputSurvey(count, tuple(columns), None)

    def digest(self) -> str:
        """Of tables, the hash of all bytes; of other files, of their names, sizes and times."""
        entire = hashlib.sha256()
        for file in self.files:
            status = file.stat()
            facts = [status.st_size, status.st_mtime_ns] if self.media else [sha256(file)]
            entire.update(json.dumps([file.name, *facts]).encode())
        return entire.hexdigest()


@dataclass(frozen=True, slots=True)
class InputSurvey:
    """How many rows there are, the columns of all, and of Parquet their types, a pyarrow.Schema."""

    rows: int
    columns: tuple[str, ...]
    schema: Any


def open_source(path: Path, names: Sequence[str], payload: Payload, medium: Medium | None) -> RunInput:
    """What a path holds for a task.

    Args:
        names: the columns that are asked; (): those that have the names of the task's fields, or the only one.
        medium: what the model reads, if it is not text: a folder is one of them then.

    Raises:
        InputError: there is no such file, it is of no known kind, or it does not say what is to be asked.
    """
    try:
        if path.is_dir():
            wanted = () if medium is None else medium.suffixes
            files = _files_in(path, wanted)
            if files and not names:
                return RunInput(path, files, media=True)
            files = _tables_in(path, wanted)
        else:
            path.open("rb").close()
            files = (path,)
            if path.suffix.lower() not in TABLES:
                raise InputError(f"{path}: what it holds is told by its name: {', '.join(TABLES)}, or a folder.")
        return RunInput(path, files, _chosen(files[0], tuple(names), payload))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None


def _files_in(folder: Path, suffixes: Sequence[str]) -> tuple[Path, ...]:
    """The files of a folder, and of those in it, whose names end so, sorted; hidden ones are passed over."""
    files = []
    for inner, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [
            Path(inner, name) for name in names if name.lower().endswith(tuple(suffixes)) and not name.startswith(".")
        ]
    return tuple(sorted(files)) if suffixes else ()


def _tables_in(folder: Path, wanted: Sequence[str]) -> tuple[Path, ...]:
    files = _files_in(folder, TABLES)
    suffixes = sorted({file.suffix.lower() for file in files})
    if len(suffixes) > 1:
        raise InputError(f"{folder}: has tables of several kinds ({', '.join(suffixes)}): name a folder of one kind.")
    if not files:
        raise InputError(f"{folder}: has no files named {', '.join((*wanted, *TABLES))}, which this task could ask.")
    return files


def _chosen(file: Path, names: tuple[str, ...], payload: Payload) -> tuple[str, ...]:
    """The columns that are asked, of which the first row says whether they are there."""
    if names or file.suffix.lower() in LINES:
        return names
    first = next(_records(file, (), checked=False), None)
    if first is None:
        return ()
    if isinstance(first, InputError):
        raise InputError(f"{file}, row 1: {first}")
    if payload.fields and set(payload.fields) <= set(first):
        return (*payload.fields, *(name for name in payload.optional if first.get(name) is not None))
    if len(first) == 1:
        return tuple(first)
    if INPUTS in first:
        return () if file.suffix.lower() in JSON_LINES and set(first) <= {INPUTS, PARAMETERS} else (INPUTS,)
    raise InputError(f"{file}: say with {OPTION} which column to ask. There are: {', '.join(first)}.")


def _records(file: Path, names: Sequence[str], *, checked: bool = True) -> Iterator[Mapping[str, Any] | InputError]:
    """The rows of a table by column; of a line that is no row, why. `checked`: whether the columns have to be told."""
    suffix = file.suffix.lower()
    try:
        if suffix == PARQUET:
            yield from read_parquet(file, names if checked else None, OPTION)
        elif suffix in SEPARATORS:
            yield from read_csv(file, names if checked else None, OPTION)
        else:
            with file.open("rb") as lines:
                for line in decoded(lines, str(file)):
                    yield {TEXT: line} if suffix in LINES else _object(line)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}).") from None


def _object(line: str) -> Mapping[str, Any] | InputError:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return InputError(f"not JSON ({error}).")
    if isinstance(value, str):
        return {TEXT: value}
    return value if isinstance(value, dict) else InputError(f"{line:.40} is no JSON object, and no text.")


def _survey_of_parquet(source: RunInput) -> InputSurvey:
    from pyarrow import ArrowInvalid, parquet, unify_schemas  # type: ignore[import-untyped,unused-ignore]

    files = []
    for file in source.files:
        next(read_parquet(file, source.names, OPTION), None)  # what is wrong with it, in our words
        files.append(parquet.ParquetFile(file))
    try:
        schema = unify_schemas([file.schema_arrow.remove_metadata() for file in files])
    except ArrowInvalid as error:
        raise InputError(f"{source.path}: its files have columns of different types ({error}).") from None
    return InputSurvey(sum(file.metadata.num_rows for file in files), tuple(schema.names), schema)
