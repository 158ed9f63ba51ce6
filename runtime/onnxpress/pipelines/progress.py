"""A bar on stderr for calls that take long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

#: Seconds of work before a bar is drawn at all.
BAR_DELAY_S = 2.0


def watched(
    results: Callable[[Callable[[int], None]], Iterator[Any]], description: str, total: int | None
) -> Iterator[Any]:
    """The results, with a bar that is closed however the iteration ends.

    Args:
        results: makes them; what it is called with hears how many inputs are computed.
    """
    from tqdm import tqdm

    bar: tqdm[Any]
    with tqdm(total=total, desc=description, unit=" inputs", delay=BAR_DELAY_S, miniters=1) as bar:
        yield from results(lambda done: _advance(bar, done))


def _advance(bar: tqdm[Any], done: int) -> None:
    bar.update(done - bar.n)
