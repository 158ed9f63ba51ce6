"""The arguments that every call takes, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import NoneType
from typing import Any, get_args

from onnxpress.engine.stopping import Cancel, Stop
from onnxpress.errors import InputError
from onnxpress.pipelines.streaming import OnError


@dataclass(frozen=True, slots=True)
class Common:
    """The arguments that every task takes.

    Attributes:
        batch_size: at most so many samples in a batch; None: as many as are fast.
        budget_tokens: at most so many tokens in a batch, or of other inputs what costs as much, padding included; None:
            what suits the device.
        read_ahead: at most so many samples are read from a generator before the first of them is answered; None: what
            fills the batch that `batch_size` or `budget_tokens` asks for, or else one input, so that a source may wait
            for its answers. Inputs whose number is known are always read ahead.
        on_error: "return": an error about one input stands in the place of its result, instead of ending the call.
        timeout: seconds that a call may take, or in a stream what is computed together; then it ends with
            TimeoutExceeded.
        cancel: ends the call with Cancelled when its `cancel()` is called, from any thread.
        progress: draw a bar on stderr if a list or stream takes more than 2 s.
        num_workers: transformers', has no meaning here.
    """

    batch_size: int | None = None
    budget_tokens: int | None = None
    read_ahead: int | None = None
    on_error: OnError = "raise"
    timeout: float | None = None
    cancel: Cancel | None = None
    progress: bool = False
    num_workers: Any = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "budget_tokens", "read_ahead"):
            size = getattr(self, name)
            if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
                raise InputError(f"{name} must be a positive integer or None, not {size!r}.")
        if self.on_error not in get_args(OnError):
            raise InputError(f"on_error is {self.on_error!r}; it must be one of {', '.join(get_args(OnError))}.")
        timeout = self.timeout
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0
        ):
            raise InputError(f"timeout must be a positive number of seconds or None, not {timeout!r}.")
        if not isinstance(self.cancel, (Cancel, NoneType)):
            raise InputError(f"cancel must be an onnxpress.Cancel() or None, not {self.cancel!r:.60}.")

    @property
    def stop(self) -> Stop | None:
        """When a call that begins now has to end; None: when it is done."""
        return None if self.timeout is None and self.cancel is None else Stop(self.timeout, self.cancel)


#: Their names.
COMMON = frozenset(field.name for field in fields(Common))


#: How fields of options that are true or false are annotated.
_TRUTHS = {"bool": (True, False), "bool | None": (True, False, None)}


def check_truths(options: Any, changes: Mapping[str, Any]) -> None:
    """Refuse what is neither true nor false where only that has a meaning: the text "False" would count as true.

    Args:
        options: a dataclass whose annotations are texts.
        changes: new values of its fields.

    Raises:
        InputError: which.
    """
    for field in fields(options):
        possible = _TRUTHS.get(str(field.type))
        if possible is not None and field.name in changes and changes[field.name] not in possible:
            raise InputError(f"{field.name} is {changes[field.name]!r:.60}; it must be True or False.")


def pop_common(base: Common, options: dict[str, Any]) -> Common:
    """Take the common arguments out of `options`."""
    if not options:
        return base
    changes = {name: options.pop(name) for name in COMMON & set(options)}
    check_truths(base, changes)
    return replace(base, **changes)
