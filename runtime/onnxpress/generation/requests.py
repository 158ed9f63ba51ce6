"""The requests of a scheduler: a prompt, the settings of its continuation, and hooks. Knows no model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from onnxpress.errors import InputError
from onnxpress.generation.events import NO_HOOKS, Hooks
from onnxpress.generation.settings import GenerationConfig


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt, and the `config.num_return_sequences` texts that shall continue it.

    `text`: token ids that an encoder reads before; None: it reads none. `source`: all that it reads, in the form
    that the opener of decoders takes; `kind`: only what is of one kind is read together. `logprobs`: whether events
    tell them. `best`: how many of the likeliest tokens events tell beside the one that came. `bias`: token -> what
    is added to its score before any rule. `first_row`: the number of the request's first text, to which its events
    and hooks add the text's own number. `owner`: whose it is; what other owners' requests have read is of no use to
    it. `priority`: of requests that wait, the one of the highest priority is let in first, and of equal ones the
    oldest.
    """

    prompt: Sequence[int]
    config: GenerationConfig
    text: Sequence[int] | None = None
    hooks: Hooks = NO_HOOKS
    logprobs: bool = False
    first_row: int = 0
    priority: int = 0
    best: int = 0
    bias: Mapping[int, float] = field(default_factory=dict)
    owner: Hashable = 0
    source: object = None
    kind: Hashable = None

    @property
    def encodes(self) -> bool:
        """Whether an encoder reads something before."""
        return self.text is not None or self.source is not None

    @property
    def width(self) -> int:
        """How many rows it has once its prompt is read."""
        return max(self.config.num_beams, self.config.num_return_sequences)

    def check(self) -> None:
        """Raises:
        InputError: settings that exclude each other, stop strings without a hook, or no token to begin with.
        """
        check_call(self.config, self.hooks)
        if self.config.num_beams > 1 and self.hooks.constraint is not None:
            raise InputError(f"num_beams={self.config.num_beams} cannot be constrained: set num_beams=1")
        if not len(self.prompt):
            raise InputError("the prompt has no token: a text begins with at least one, such as bos_token_id")


def check_call(config: GenerationConfig, hooks: Hooks) -> None:
    """Refuse settings that exclude each other, and stop strings without a hook that knows text.

    Raises:
        InputError: which.
    """
    config.check()
    if config.stop_strings and hooks.ended is None:
        raise InputError(f"stop_strings={list(config.stop_strings)} need a hook that reads text: none was given")
