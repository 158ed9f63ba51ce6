"""Messages as the text that a chat model continues, by the checkpoint's own template.

The text equals that of transformers' `apply_chat_template`. Templates run in `sandbox`. This module knows neither
tokens nor models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.chat.tools import tool_schemas
from onnxpress.errors import ArtifactError, InputError, MissingDependency
from onnxpress.format.processors import TokenizerSettings
from onnxpress.layouts.artifact import Artifact

if TYPE_CHECKING:
    from jinja2 import Template

#: Where an artifact keeps its templates: the usual one, and others by name.
FILE_NAME = "chat_template.jinja"
FOLDER = "chat_templates"

MAX_TEMPLATE_BYTES = 1024 * 1024

#: Names under which a message's reasoning is passed; the first is the one that templates read.
_REASONING = ("reasoning_content", "thinking", "reasoning")

_END = "END_OF_WHAT_IS_CONTINUED "


class Chat:
    """The chat templates of an artifact, compiled when they are first used.

    `special_tokens`: what templates know by name, such as `bos_token` -> "<s>". Thread-safe, picklable.
    """

    def __init__(self, templates: Mapping[str, str], special_tokens: Mapping[str, str], where: str) -> None:
        self.templates = dict(templates)
        self.special_tokens = dict(special_tokens)
        self.where = where
        self._compiled: dict[str, Template] = {}

    def render(
        self,
        messages: Sequence[Any],
        *,
        tools: Sequence[Any] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        **variables: Any,
    ) -> str:
        """One conversation as text.

        Args:
            messages: dictionaries (or dataclasses) with a role, a content, and what else the template reads.
            tools: JSON schemas, or functions from which they are read.
            documents: dictionaries, usually with title and text.
            template: the name of one of the artifact's templates, or a template; None: "tool_use" if there are tools
                and a template of that name, else the default one.
            add_generation_prompt: end with what begins the assistant's answer.
            continue_final_message: end within the last message, which the model continues; a text names its field.
            variables: what else the template reads, such as `enable_thinking=False`.

        Raises:
            InputError: the artifact has no template, or the template refuses these messages.
            ArtifactError: the template is not valid, does what it may not, or does not end.
            MissingDependency: jinja2 is not installed.
        """
        source = self._source(template, tools)
        conversation = [_message(message) for message in messages]
        if not conversation:
            raise InputError("A chat has at least one message.")
        if documents is not None and not all(isinstance(document, dict) for document in documents):
            raise InputError('documents must be a list of dictionaries, as {"title": ..., "text": ...}.')
        field = ""
        if continue_final_message:
            if add_generation_prompt:
                raise InputError("add_generation_prompt begins a new message, continue_final_message none: pass one.")
            field = continue_final_message if isinstance(continue_final_message, str) else "content"
            final = _mark(conversation[-1], field, source)
        text = self._rendered(
            source,
            {
                **self.special_tokens,
                **_plain(variables),
                "messages": conversation,
                "tools": None if tools is None else _plain(tool_schemas(tools)),
                "documents": _plain(documents),
                "add_generation_prompt": add_generation_prompt,
            },
        )
        return _cut(text, final, field) if field else text

    def _source(self, template: str | None, tools: object) -> str:
        if template is not None:
            return self.templates.get(template, template)
        for name in ("tool_use",) * (tools is not None and len(self.templates) > 1) + ("default",):
            if name in self.templates:
                return self.templates[name]
        if not self.templates:
            raise InputError(
                f"{self.where}: this model has no chat template, so it takes texts, not messages. Pass a text, or a "
                "template with chat_template=..."
            )
        raise InputError(
            f"{self.where}: there are several chat templates and none is the default. Pass chat_template= one of "
            f"{', '.join(sorted(self.templates))}."
        )

    def _rendered(self, source: str, variables: Mapping[str, Any]) -> str:
        try:
            from jinja2 import TemplateError, TemplateSyntaxError
            from jinja2.exceptions import SecurityError

            from onnxpress.chat.meter import Exceeded, metered
            from onnxpress.chat.sandbox import Environment
        except ImportError as error:
            raise MissingDependency("Chat templates need jinja2: `pip install 'onnxpress[chat]'`.") from error
        try:
            with metered():
                if source not in self._compiled:
                    self._compiled[source] = Environment().from_string(source)
                return self._compiled[source].render(variables)
        except TemplateSyntaxError as error:
            raise ArtifactError(
                f"{self.where}: the chat template is not valid, line {error.lineno}: {error.message}."
            ) from None
        except (Exceeded, SecurityError, RecursionError, MemoryError) as error:
            raise ArtifactError(
                f"{self.where}: the chat template was stopped: {error or type(error).__name__}. Do not trust this "
                "artifact."
            ) from None
        except TemplateError as error:
            raise InputError(f"The chat template refuses these messages: {error}.") from None
        except Exception as error:  # the template is a program, which may fail in any way
            raise InputError(
                f"The chat template cannot write these messages ({type(error).__name__}: {error}). Look at "
                f"{FILE_NAME} in {self.where} for the roles and fields that it reads."
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {"templates": self.templates, "special_tokens": self.special_tokens, "where": self.where}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def open_chat(artifact: Artifact) -> Chat:
    """The chat templates of an artifact, which may be none.

    Raises:
        ArtifactError: a template is missing, damaged, too large or not UTF-8.
    """
    settings = artifact.manifest.tokenizer
    special = {} if settings is None else template_tokens(settings)
    return Chat(_templates(artifact), special, str(artifact.folder))


def template_tokens(settings: TokenizerSettings) -> dict[str, str]:
    """The tokens that templates know, by name: KIND_token, and what the tokenizer calls by other names."""
    return {f"{kind}_token": token.text for kind, token in settings.special_tokens.items()} | dict(
        settings.named_tokens
    )


def _templates(artifact: Artifact) -> dict[str, str]:
    templates = {}
    for name in artifact.manifest.files:
        path = PurePosixPath(name)
        if name == FILE_NAME:
            templates["default"] = _read(artifact, name)
        elif path.parent.name == FOLDER and len(path.parts) == 2 and path.suffix == ".jinja":
            templates[path.stem] = _read(artifact, name)
    return templates


def _read(artifact: Artifact, name: str) -> str:
    path = artifact.file(name)
    if path.stat().st_size > MAX_TEMPLATE_BYTES:
        raise ArtifactError(f"{path}: more than {MAX_TEMPLATE_BYTES} bytes, which no chat template has.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}). Export again.") from None


def _message(message: Any) -> dict[str, Any]:
    """A copy of plain values, without what is None; the reasoning under each name that templates use."""
    plain = _plain(message)
    if not isinstance(plain, dict):
        raise InputError(f'A message is a dictionary, as {{"role": "user", "content": ...}}, not {message!r:.60}.')
    plain = {name: value for name, value in plain.items() if value is not None}
    reasoning = next((plain[name] for name in _REASONING if name in plain), None)
    return plain if reasoning is None else {"thinking": reasoning, **plain, "reasoning_content": reasoning}


def _plain(value: Any) -> Any:
    """The value of plain types alone: objects may have methods that a template must not call."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return getattr(kind, f"__{kind.__name__}__")(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return _plain(value.model_dump())
    return f"<{type(value).__name__}>"


def _mark(message: dict[str, Any], field: str, source: str) -> str:
    """Put a mark behind the text that the model continues, in the message itself, and return that text."""
    value = message.get(field)
    names = [name for name in _REASONING if message.get(name) == value] if field in _REASONING else [field]
    if value is None or not any(name in source for name in names):
        raise InputError(
            f"There is nothing to continue: the last message has no {field!r}, or the chat template does not read it."
        )
    if isinstance(value, (list, tuple)):
        block = next((part for part in reversed(value) if isinstance(part, dict) and "text" in part), None)
        if block is None:
            raise InputError("There is nothing to continue: the last message has no text.")
        text = str(block["text"])
        block["text"] = text + _END
        return text
    for name in names:
        message[name] = f"{value}{_END}"
    return str(value)


def _cut(text: str, final: str, field: str) -> str:
    """Cut the rendered text at the mark."""
    place = text.rfind(_END.strip())
    if place < 0 or final.strip() not in text:
        raise InputError(f"The chat template changes or drops the {field} of the last message: it cannot be continued.")
    whole = text[place : place + len(_END)] == _END
    return text[:place] if whole else text[:place].rstrip()  # the template stripped the message
