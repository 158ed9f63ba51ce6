"""What a task of the runtime is: one row of the table in table.py. Knows no task by name, and imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from onnxpress.format.model import Adopted, Answers
from onnxpress.pipelines.payload import Body, Call, Payload
from onnxpress.pipelines.suitable import suits_any

if TYPE_CHECKING:
    from onnxpress.format.manifest import Manifest
    from onnxpress.pipelines.base import Pipeline

#: An input is a text.
_TEXTS = Payload()

#: An input of most tasks, of few tokens.
_SENTENCE = "Ada lives in Rome."

#: What stands for any text in an alias.
_PLACEHOLDER = re.compile("XX|YY")


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a model without a manifest shows that it is made for a task.

    `answers`: what its graph gives. `classes`: how the name of its class ends, where other tasks have such answers,
    too. `shown`: whether its files say more than that; such a task comes before those that ask for less.
    `needs`: the facts that its answers depend on, which the caller is told of where they are assumed.
    """

    answers: frozenset[Answers]
    classes: tuple[str, ...] = ()
    shown: Callable[[Manifest, Adopted], bool] | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One row.

    Args:
        name: the Hub's name of the task.
        hearing: where the class for models of sounds is, of a task whose class is for those of texts; and their probe.
        aliases: other names of it. XX and YY in an alias stand for any text, which goes to the option `alias_option`.
        pipeline: where its class is, as "module:class"; imported when it is asked for.
        reading: where the class for models is that write nothing, of a task whose class is for those that write.
        writing: the reverse, and the options of their probe.
        serves: other tasks that run on the graphs of an artifact exported for this one, where they suit the model.
        refuses: why the task does not suit a model that has the graphs; None: it does.
        payload: how an argument of a command line, or the body of a request, becomes a call.
        probe: a short input, with `{mask}` for the mask token, and `probe_options`: what its call takes besides.
        settings: what the class is told where several rows share it.
        alias_option: see `aliases`.
        evidence: by what it is recognized where there is no manifest; None: only the caller can say.
    """

    name: str
    pipeline: str
    reading: str | None = None
    writing: tuple[str, Mapping[str, Any]] | None = None
    hearing: tuple[str, Body] | None = None
    aliases: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    refuses: Callable[[Manifest], str | None] = suits_any
    payload: Payload = _TEXTS
    probe: Body = _SENTENCE
    probe_options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    alias_option: str | None = None
    evidence: Evidence | None = None

    def load(self, manifest: Manifest | None = None) -> type[Pipeline[Any, Any]]:
        """The class that serves the task, for the model that a manifest tells of."""
        place = self.pipeline
        if self.reading is not None and manifest is not None and manifest.generation is None:
            place = self.reading
        if self.writing is not None and manifest is not None and manifest.generation is not None:
            place, _ = self.writing
        if self.hearing is not None and manifest is not None and manifest.processors.audio is not None:
            place, _ = self.hearing
        module, _, class_name = place.partition(":")
        pipeline_class: type[Pipeline[Any, Any]] = getattr(import_module(module), class_name)
        return pipeline_class

    def call(self, body: Body, options: Mapping[str, Any]) -> Call:
        """An argument of a command line, or the body of a request, as a call of the task's pipeline.

        Raises:
            InputError: the body is none of this task; the message names the field.
        """
        return self.payload.call(self.name, body, options)

    def options_of(self, name: str) -> dict[str, Any] | None:
        """The options that this name of the task brings; None: it is no name of this task."""
        if name == self.name or name in self.aliases:
            return {}
        if self.alias_option is None:
            return None
        for alias in self.aliases:
            if match := re.fullmatch(_PLACEHOLDER.sub("(.+)", alias), name):
                return {self.alias_option: match.groups()}
        return None
