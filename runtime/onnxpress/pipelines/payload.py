"""Converts the body of a request, or an argument of a command line, to a call of a pipeline: inputs and options.

A body is a text, an object (what JSON calls so) or a list. These are alike:

    {"inputs": "Who?", "parameters": {"top_k": 2}}          as the Hub's clients send it
    {"question": "Who?", "context": "Ada.", "top_k": 2}     the fields of one input, beside them options
    "Who?" with the options context="Ada." and top_k=2      as a command line has it

Pure functions and data; no task is known by name here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxpress.errors import InputError

Body = str | bytes | Mapping[str, Any] | Sequence[Any]

INPUTS, PARAMETERS = "inputs", "parameters"


@dataclass(frozen=True, slots=True)
class Call:
    """`pipe(iter(inputs), **options)` answers it.

    `many`: the answer is a list, an entry for each input; otherwise it is that of the only input. `parts`: the texts
    that are one input together, where the answer has an entry for each of them.
    """

    inputs: tuple[Any, ...]
    options: Mapping[str, Any]
    many: bool = False
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Payload:
    """What the inputs of a task look like in JSON.

    Args:
        fields: what an input that is an object has.
        optional: what it may have.
        text: the field that a plain text fills where the options have the others.
        alone: a plain text is an input by itself.
        together: all texts of one body are one input: `text` is a list of them.
        chats: a list of messages is one input.
        synonyms: other names of fields and options.
    """

    fields: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    text: str | None = None
    alone: bool = True
    together: bool = False
    chats: bool = False
    synonyms: Mapping[str, str] = field(default_factory=dict)

    def call(self, task: str, body: Body, options: Mapping[str, Any]) -> Call:
        """The call that a body asks for; what the body says goes over `options`.

        Raises:
            InputError: a field is missing or is not what it should be; the message names the field.
        """
        inputs, chosen = self._inputs_and_options(task, body, self._renamed(options))
        shared = {name: chosen.pop(name) for name in (*self.fields, *self.optional) if name in chosen}
        if self.together and shared and (texts := _texts(inputs)) is not None:
            return Call((self._object(task, {**shared, str(self.text): texts}),), chosen, parts=tuple(texts))
        if isinstance(inputs, (str, bytes, Mapping)) or (self.chats and _is_chat(inputs)):
            return Call((self._input(task, inputs, shared),), chosen)
        if not isinstance(inputs, (list, tuple)) or not inputs:
            raise InputError(f"{task}: {INPUTS!r} must be {self._wanted()}, or a list of these, not {inputs!r:.60}.")
        return Call(tuple(self._input(task, item, shared) for item in inputs), chosen, many=True)

    def gathers(self, options: Mapping[str, Any]) -> bool:
        """Whether all arguments of a command line with these options are one input together."""
        return self.together and any(name in self._renamed(options) for name in self.fields)

    def _inputs_and_options(self, task: str, body: Body, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        if not isinstance(body, Mapping):
            return body, dict(options)
        content = self._renamed(body)
        parameters = content.pop(PARAMETERS, None)
        if parameters is not None and not isinstance(parameters, Mapping):
            raise InputError(f"{task}: {PARAMETERS!r} must be an object, not {parameters!r:.60}.")
        more = self._renamed(parameters or {})
        if INPUTS in content:
            inputs = content.pop(INPUTS)
        elif any(name in content for name in self.fields):
            inputs = {name: content.pop(name) for name in (*self.fields, *self.optional) if name in content}
        else:
            raise InputError(f"{task} takes {self._wanted()}; an object needs {self._field_names()}: {body!r:.60}.")
        return inputs, {**options, **content, **more}

    def _input(self, task: str, item: Any, shared: Mapping[str, Any]) -> Any:
        """One input, with the fields that the options have for all."""
        if isinstance(item, Mapping) and self.fields:
            return self._object(task, {**shared, **item})
        if isinstance(item, str) and self.text is not None and shared:
            return self._object(task, {**shared, self.text: [item] if self.together else item})
        if isinstance(item, str) and not self.alone:
            others = ", ".join(name for name in (*self.fields, *self.optional) if name != self.text)
            raise InputError(f"{task} takes {self._wanted()}, or texts with the option {others}.")
        return item

    def _object(self, task: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
        missing = [name for name in self.fields if name not in content]
        if missing:
            raise InputError(f"{task}: {missing[0]!r} is missing. It takes {self._wanted()}.")
        return content

    def _renamed(self, content: Mapping[str, Any]) -> dict[str, Any]:
        return {self.synonyms.get(name, name): value for name, value in content.items()}

    def _wanted(self) -> str:
        forms = ["a text"] if self.alone else []
        forms += [f"{{{', '.join(f'{json.dumps(name)}: ...' for name in self.fields)}}}"] if self.fields else []
        forms += ["messages"] if self.chats else []
        return " or ".join(forms)

    def _field_names(self) -> str:
        return f"{INPUTS!r}" + (f", or {' and '.join(map(repr, self.fields))}" if self.fields else "")


def read_argument(text: str) -> Body:
    """Read an argument of a command line: JSON where it is an object or a list of objects, otherwise a text."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    objects = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    return value if objects or isinstance(value, dict) else text


def _texts(inputs: Any) -> list[str] | None:
    """Read a body that consists of texts alone."""
    texts = [inputs] if isinstance(inputs, str) else inputs
    return list(texts) if isinstance(texts, (list, tuple)) and all(isinstance(text, str) for text in texts) else None


def _is_chat(inputs: Any) -> bool:
    return isinstance(inputs, (list, tuple)) and bool(inputs) and all(isinstance(item, Mapping) for item in inputs)
