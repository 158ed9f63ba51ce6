"""Reads rows from a file or a named dataset, with the library `datasets`.

Knows nothing of tasks or of what columns mean. A dataset's name is the one thing here that may touch the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from onnxpress.errors import InputError, MissingDependency

#: How a file's name ends -> the method of `datasets.Dataset` that reads it, and its arguments.
FORMATS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    # An empty cell is an empty text, and "NA" is a word.
    ".csv": ("from_csv", {"keep_default_na": False}),
    ".jsonl": ("from_json", {}),
    ".parquet": ("from_parquet", {}),
}

#: What computes the figures or reads the rows: the extra "eval".
NEEDS: Mapping[str, str] = {"datasets": "datasets", "sklearn": "scikit-learn", "scipy": "scipy"}

#: Tried in this order where no split is named.
SPLITS = ("test", "validation")

#: The only split of a folder without folders for splits.
_WHOLE = "train"

SHUFFLE_SEED = 0

#: One row is right or wrong; a share needs more.
LEAST_ROWS = 2


@dataclass(frozen=True, slots=True)
class EvalData:
    """Where labelled rows are.

    `source`: a file of FORMATS, a folder of pictures, or the name of a dataset, with ":CONFIGURATION" where it has
    several. `split`: of a dataset or a folder; None: the first of SPLITS that it has. `limit`: at most so many rows,
    drawn with SHUFFLE_SEED. `columns`: role -> column, where the table of `columns` does not find it.
    """

    source: str
    split: str | None = None
    limit: int = 1000
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as plain values. `name`: for messages, without folders. `numbers`: of each row in its file, from 1.
    `classes`: column -> the dataset's own names of the integers in it."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    numbers: Sequence[int]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.rows[0])


def table_of(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make a table of rows that are in memory."""
    return Table(name, rows, range(1, len(rows) + 1))


def check_installed() -> None:
    """Raises MissingDependency, naming the `pip install`, if something that evaluating needs is absent."""
    missing = [distribution for module, distribution in NEEDS.items() if find_spec(module) is None]
    if missing:
        raise MissingDependency(f"--eval-data needs {', '.join(missing)}: `pip install 'onnxpress[eval]'`.")


def read(data: EvalData) -> Table:
    """Read the rows, at most `data.limit` of them, in their order.

    Raises:
        InputError: no such file or dataset, it cannot be read, or it has fewer rows than LEAST_ROWS.
        MissingDependency: the extra "eval" is not installed.
    """
    check_installed()
    path = Path(data.source).expanduser()
    is_file = path.suffix.lower() in FORMATS
    if is_file and data.split is not None:
        raise InputError(f"--eval-data {data.source} is a file, which has no split {data.split!r}.")
    if is_file and not path.is_file():
        raise InputError(f"--eval-data {data.source}: there is no such file.")
    with _no_bars(), TemporaryDirectory(prefix="onnxpress-eval-") as cache:
        table = _undecoded(_file(path, cache) if is_file else _dataset(data.source, data.split))
        name = path.name if is_file else f"{data.source}, split {table.split}"
        if len(table) < LEAST_ROWS:
            raise InputError(f"{name}: {len(table)} rows are too few to measure anything.")
        drawn = np.random.default_rng(SHUFFLE_SEED).permutation(len(table))[: max(data.limit, LEAST_ROWS)]
        chosen = sorted(drawn.tolist())
        rows = [table[index] for index in chosen]
        return Table(name, rows, [index + 1 for index in chosen], dict(_classes(table.features)))


def _file(path: Path, cache: str) -> Any:
    from datasets import Dataset

    method, arguments = FORMATS[path.suffix.lower()]
    try:
        return getattr(Dataset, method)(str(path), cache_dir=cache, keep_in_memory=True, **arguments)
    except Exception as error:
        raise InputError(f"--eval-data {path}: cannot be read as {path.suffix.lower()} ({_reason(error)}).") from error


def _undecoded(table: Any) -> Any:
    """Leave pictures as the bytes of their files."""
    from datasets import Image

    for name, feature in table.features.items():
        if isinstance(feature, Image):
            table = table.cast_column(name, Image(decode=False))
    return table


def _dataset(source: str, split: str | None) -> Any:
    from datasets import load_dataset

    name, _, configuration = source.partition(":")
    # A folder of pictures has one split, which `datasets` calls so.
    usual = (*SPLITS, _WHOLE) if Path(source).is_dir() else SPLITS
    tried = usual if split is None else (split,)
    problem: Exception | None = None
    for candidate in tried:
        try:
            return load_dataset(name, configuration or None, split=candidate)
        except ValueError as error:  # the split is missing, or the configuration: the message says which
            problem = error
        except Exception as error:
            raise InputError(
                f"--eval-data {source}: neither a file ({', '.join(FORMATS)}) nor a dataset that can be read "
                f"({_reason(error)})."
            ) from error
    raise InputError(
        f"--eval-data {source}: no split {' or '.join(tried)} ({_reason(problem)}). Name one with --eval-split, and a "
        "configuration as DATASET:CONFIGURATION."
    )


def _classes(features: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Columns of class ids, or of lists of them, that bring the names."""
    for column, feature in features.items():
        names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        if names:
            yield column, tuple(names)


def _reason(error: BaseException | None) -> str:
    """The innermost cause, on one line."""
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@contextmanager
def _no_bars() -> Iterator[None]:
    """Switch off the progress bars of `datasets` for this block."""
    import datasets

    were_on = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if were_on:
            datasets.enable_progress_bars()
