"""`search()`: models on the Hub that have ONNX graphs, with what they hold and whether they run here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from onnxpress.errors import InputError
from onnxpress.layouts.survey import Survey, survey
from onnxpress.pipelines.table import TASKS, find_task

if TYPE_CHECKING:
    from onnxpress.hub import Access, Listed

#: Where sizes decide, so many models are looked at for each that is told.
_LOOKED_AT = 10
_AT_ONCE = 8

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_POWERS: Mapping[str, int] = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class Match:
    """A model on the Hub. `layout`, `precisions`: by the names of its files; `sizes`: the bytes of each precision's
    graphs; `runs`: whether it seems to run as it is, `why_not` otherwise."""

    id: str
    task: str
    library: str
    layout: str
    sizes: Mapping[str, int]
    downloads: int
    gated: bool
    private: bool
    runs: bool
    why_not: str | None


def search(
    text: str | None = None,
    *,
    task: str | None = None,
    library: str | None = None,
    max_bytes: int | None = None,
    limit: int = 10,
    access: Access | None = None,
) -> list[Match]:
    """Models with ONNX graphs, those first that are downloaded most.

    Args:
        text: what their names have.
        task: the Hub's name or an alias.
        library: a tag, such as "onnxpress", "transformers.js" or "sentence-transformers".
        max_bytes: at least one precision's graphs are no larger.
        limit: how many at most.

    Raises:
        UnknownTask: there is no such task.
        HubError: the Hub refused or cannot be reached.
    """
    from onnxpress.hub import USUAL_ACCESS, find_models

    wanted = None if task is None else find_task(task)[0].name
    tags = ["onnx", *([library] if library else [])]
    most = limit if max_bytes is None else limit * _LOOKED_AT
    access = access or USUAL_ACCESS
    listed = find_models(text, task=wanted, tags=tags, most=most, access=access)
    return list(islice(_small_enough(listed, max_bytes, access), limit))


def parse_size(text: str) -> int:
    """Bytes of a size such as "500MB" or "1.5 GB".

    Raises:
        InputError: it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a size. Give a number with a unit, such as 500MB or 1.5GB.")
    return int(float(match[1]) * 1000 ** _POWERS[match[2].lower()])


def _small_enough(listed: Iterator[Listed], max_bytes: int | None, access: Access) -> Iterator[Match]:
    while several := list(islice(listed, _AT_ONCE)):
        with ThreadPoolExecutor(_AT_ONCE) as workers:
            matches = list(workers.map(lambda model: _match(model, access), several))
        for match in matches:
            if max_bytes is None or (match.sizes and min(match.sizes.values()) <= max_bytes):
                yield match


def _match(model: Listed, access: Access) -> Match:
    from onnxpress.hub import file_sizes

    holds = survey(model.files)
    sizes = file_sizes(model.repo_id, access)
    why_not = _why_not(model, holds)
    return Match(
        id=model.repo_id,
        task=model.task,
        library=model.library,
        layout=holds.layout,
        sizes={name: sum(sizes.get(file, 0) for file in files) for name, files in holds.variants.items()},
        downloads=model.downloads,
        gated=model.gated,
        private=model.private,
        runs=why_not is None,
        why_not=why_not,
    )


def _why_not(model: Listed, holds: Survey) -> str | None:
    """What stands between this model and an answer; None: nothing that can be seen from here."""
    if holds.lacks is not None:
        return holds.lacks
    if model.task and model.task not in TASKS:
        return f"the task {model.task} is not served"
    return "it is gated: ask for access on its page" if model.gated else None
