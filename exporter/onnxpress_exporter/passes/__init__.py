"""Graph rewrites, one per file, which is named as its function: a model in, changed in place, and how often it applied.

They know numpy and onnx_ir, neither torch nor a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from onnxpress_exporter.errors import PassError

if TYPE_CHECKING:
    import onnx_ir


#: More tokens are long: attention has nodes of its own for them. (At 1,024 a head's scores are 4 MB, about what the
#: caches of a core hold.)
LONG_TOKENS = 1024


class Pass(Protocol):
    """A rewrite of a model in place that says how often it applied."""

    def __call__(self, model: onnx_ir.Model, /) -> int: ...


def find_pass(name: str) -> Pass:
    """The function of the module that is named so.

    Raises:
        PassError: there is none.
    """
    try:
        return cast(Pass, getattr(import_module(f"{__name__}.{name}"), name))
    except (ModuleNotFoundError, AttributeError) as error:
        raise PassError(f"There is no pass {name!r}.") from error


def with_long_inputs(names: Sequence[str], most_tokens: int | None) -> tuple[str, ...]:
    """The passes of a graph that reads so many tokens, or pieces of a sound, at most; None: any number."""
    reads_long = most_tokens is None or most_tokens > LONG_TOKENS
    return (*names, "long_attention") if reads_long else tuple(names)


def apply_passes(model: onnx_ir.Model, names: Sequence[str]) -> dict[str, int]:
    """Run passes on a model, in place; how often each applied, by its name.

    Raises:
        PassError: there is no such pass, or one fails.
    """
    counts: dict[str, int] = {}
    for name in names:
        rewrite = find_pass(name)
        try:
            counts[name] = rewrite(model)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise PassError(f"The pass {name} failed: {error} ({type(error).__name__}).") from error
    return counts
