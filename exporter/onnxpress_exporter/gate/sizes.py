"""A graph that does not run at sizes other than those it was traced at: said so, whoever finds it out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from onnxpress.errors import EngineError, InputError, OutOfMemory
from onnxpress_exporter.errors import UnsupportedCheckpoint


@contextmanager
def runs_at_any_size(architecture: str) -> Iterator[None]:
    """While our own inputs, which are right, are asked of fp32's graphs.

    Raises:
        UnsupportedCheckpoint: a graph failed at one of them.
    """
    try:
        yield
    except (InputError, EngineError) as error:
        if isinstance(error, OutOfMemory):
            raise
        raise UnsupportedCheckpoint(
            f"{architecture} cannot be exported: its graph, traced with inputs of one size, does not run with those of "
            f"another. {error} No artifact was written."
        ) from error
