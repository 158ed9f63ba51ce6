"""The rows of CSV and Parquet files. A row that is not what the header says is an error, not a guess."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxpress.errors import InputError, MissingDependency
from onnxpress.suggestions import did_you_mean

#: Suffix -> what stands between two fields of a line.
SEPARATORS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"

#: What other programs write between fields.
_OTHER_SEPARATORS = (";", "\t", "|", ",")


def read_csv(path: Path, names: Sequence[str] | None, option: str = "--field") -> Iterator[Mapping[str, str | None]]:
    """Records by column; a field that a short row lacks is None.

    Args:
        names: columns that there have to be; (): only one column is expected; None: any.
        option: what says the names on the command line, for messages.

    Raises:
        InputError: the file has no header, or not these columns; a row has more fields than the header; a quote is not
            closed; or the file is not UTF-8.
        OSError: it cannot be read.
    """
    csv.field_size_limit(sys.maxsize)  # a field may be a whole book: the default is 128 KB
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=SEPARATORS[path.suffix.lower()], strict=True)
        number = 0
        try:
            header = next((row for row in reader if row), None)
            if header is None:
                raise InputError(f"{path}: is empty; its first line should name the columns.")
            _check_columns(path, header, names, option)
            for number, fields in enumerate(filter(None, reader), 1):
                if len(fields) > len(header):
                    raise InputError(
                        f"{path}, row {number}: has {len(fields)} fields, and the header names {len(header)}. Put "
                        'quotes around a field with a separator: "so, as here".'
                    )
                missing = [None] * (len(header) - len(fields))
                yield dict(zip(header, [*fields, *missing], strict=True))
        except csv.Error as error:
            said = str(error)
            cause = "a quote is opened and never closed" if "unexpected end" in said else said
            raise InputError(f"{path}, after row {number}: cannot be read as {path.suffix[1:]}: {cause}.") from None
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: 0x{error.object[error.start]:02x} is not UTF-8 ({error.reason}). Convert the file to UTF-8, "
                "with iconv for example."
            ) from None


def csv_header(path: Path) -> list[str]:
    """The columns of a file that `read_csv` reads."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(filter(None, csv.reader(file, delimiter=SEPARATORS[path.suffix.lower()])), [])


def read_parquet(path: Path, names: Sequence[str] | None, option: str = "--field") -> Iterator[Mapping[str, Any]]:
    """Records by column.

    Raises:
        InputError: the file cannot be read, or has not these columns.
        MissingDependency: pyarrow is not installed.
        OSError: it cannot be read.
    """
    try:
        from pyarrow import ArrowInvalid, parquet  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise MissingDependency(f"{path}: Parquet files need pyarrow: `pip install 'onnxpress[batch]'`.") from None
    try:
        file = parquet.ParquetFile(path)
        _check_columns(path, file.schema_arrow.names, names, option)
        for batch in file.iter_batches():
            yield from batch.to_pylist()
    except ArrowInvalid as error:
        raise InputError(f"{path}: cannot be read as Parquet ({str(error).rstrip('.')}).") from None


def _check_columns(path: Path, header: Sequence[str], names: Sequence[str] | None, option: str) -> None:
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: the header names {twice!r} twice; give each column a name of its own.")
    if names is None:
        return
    if not names and len(header) > 1:
        raise InputError(f"{path}: say with {option} which column to ask. There are: {', '.join(header)}.")
    missing = next((name for name in names if name not in header), None)
    if missing is None:
        return
    separator = next((mark for mark in _OTHER_SEPARATORS if len(header) == 1 and mark in header[0]), None)
    if separator is not None and path.suffix.lower() in SEPARATORS:
        ours = SEPARATORS[path.suffix.lower()]
        raise InputError(
            f"{path}: no column {missing!r}: fields stand between {separator!r} there, and between {ours!r} in a "
            f"{path.suffix} file. Save it so, or name it .tsv if they are tabs."
        )
    raise InputError(f"{path}: no column {missing!r}.{did_you_mean(missing, header)} There are: {', '.join(header)}.")
