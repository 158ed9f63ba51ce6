"""text-generation: the text that follows a prompt, or the assistant's answer to messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Required, TypedDict, overload

from onnxpress.chat.plain_messages import PlainMessages
from onnxpress.chat.templates import open_chat
from onnxpress.errors import InputError
from onnxpress.generation.events import Generated
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.collators import token_ids, token_sample
from onnxpress.pipelines.files import read_json
from onnxpress.pipelines.inputs import Texts
from onnxpress.pipelines.known_arguments import OF_WRITING
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.streamers import in_turn
from onnxpress.pipelines.text_processor import TextProcessor, no_tokens, strategy
from onnxpress.pipelines.text_stream import TextStream
from onnxpress.pipelines.writing import ROWS, SETTINGS, WRITTEN_TOGETHER, Writer, WritingSettings, details, stop_strings
from onnxpress.samples import Sample
from onnxpress.text.tokenizer import Truncation

Chat = Sequence[Mapping[str, Any]]

#: transformers' own for this task, where the checkpoint says nothing.
USUAL = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}

#: Arguments of the tokenizer that are not variables of a chat template.
_OF_TOKENIZER = ("truncation", "max_length", "padding", "add_special_tokens")


#: Arguments that ask for more than one text, or for something else than the new text.
_OF_RESULT = frozenset(("num_beams", "num_return_sequences", "return_tensors", "return_full_text", "return_details"))


@dataclass(frozen=True, slots=True)
class TextGenerationOptions:
    """transformers' arguments of a call; others are settings of generation, or `response_format`, `json_schema`,
    `regex` or `grammar`, which hold the text to a form.

    `return_full_text`: the prompt before the new text, or the messages before the new one (the default).
    `return_tensors`: token ids instead of text, the prompt's included. `prefix` is put before texts.
    `stop_sequence`: strings that end the text, which has them. `continue_final_message`: the model continues the last
    message; None: if it is the assistant's. `tools`, `documents`, and what `tokenizer_encode_kwargs` has beside the
    tokenizer's arguments, go to the chat template. `handle_long_generation="hole"` cuts the beginning of a prompt that
    leaves no room. `return_details` adds finish_reason, prompt_tokens and completion_tokens to each result.
    `plain_messages`: a control token that stands in a message is text, where transformers reads it as what it is.
    `padding` has no effect. `streamer`: an object with `put` and `end`, which is told each token of the one text.
    """

    return_full_text: bool | None = None
    return_tensors: bool | None = None
    return_text: bool | None = None
    return_details: bool = False
    clean_up_tokenization_spaces: bool | None = None
    skip_special_tokens: bool | None = None
    prefix: str | None = None
    add_special_tokens: bool = True
    truncation: Any = None
    padding: Any = False
    handle_long_generation: str | None = None
    stop_sequence: str | Sequence[str] | None = None
    continue_final_message: bool | str | None = None
    tools: Sequence[Any] | None = None
    documents: Sequence[Mapping[str, Any]] | None = None
    plain_messages: bool = False
    tokenizer_encode_kwargs: Mapping[str, Any] = field(default_factory=dict)
    streamer: Any = None
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.return_tensors and (self.return_full_text is not None or self.return_text):
            raise InputError("return_tensors gives ids, return_full_text and return_text are about text: pass one.")
        if self.handle_long_generation not in (None, "hole"):
            raise InputError(f'handle_long_generation is {self.handle_long_generation!r}; it may be None or "hole".')
        for name in ("tokenizer_encode_kwargs", "generate_kwargs"):
            if not isinstance(getattr(self, name), Mapping):
                raise InputError(f"{name} must be a dictionary.")
        strategy(self.truncation)


class Details(TypedDict, total=False):
    """What `return_details` adds to a result."""

    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class GeneratedText(Details):
    """What was written of a text: with it, unless `return_full_text` is false."""

    generated_text: Required[str]


class GeneratedChat(Details):
    """The messages that were asked, and the assistant's at the end."""

    generated_text: Required[list[dict[str, Any]]]


class TextGeneration(Pipeline[TextGenerationOptions, TextProcessor]):
    """`pipe("Once upon a time")` -> `[{"generated_text": str}]`; with `num_return_sequences`, so many in the list.

    `pipe([{"role": "user", "content": "Hi"}])` -> the same with the list of messages and the assistant's at its end.
    A list of texts or of chats gives a list of these lists. `stream` hands one text out while it is written.
    """

    options_type = TextGenerationOptions
    processor_type = TextProcessor
    arguments = OF_WRITING
    collects: ClassVar[str | None] = "generate_kwargs"
    collected = SETTINGS
    rows = ROWS
    window = 4 * ROWS
    budget = WRITTEN_TOGETHER
    role = "decoder"
    #: What `call` read last: of which settings and other options, and what.
    _latest: tuple[Mapping[str, Any], tuple[Any, ...], WritingSettings] | None = None

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        self.chat = open_chat(model.artifact)
        self._prefix = str(read_json(model.artifact, "config.json").get("prefix") or "")
        self.writer = Writer(model.artifact, model.session, self.processor.tokenizer, USUAL)
        self.call(self.options)

    @overload
    def __call__(self, inputs: Any, *, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Any, *, return_tensors: Any, **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Any, *, return_type: Any, **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Chat, *, return_full_text: Literal[False], **options: Any) -> list[GeneratedText]: ...
    @overload
    def __call__(self, inputs: str, **options: Any) -> list[GeneratedText]: ...
    @overload
    def __call__(self, inputs: Texts, **options: Any) -> list[list[GeneratedText]]: ...
    @overload
    def __call__(self, inputs: Chat, **options: Any) -> list[GeneratedChat]: ...
    @overload
    def __call__(self, inputs: Any = None, **options: Any) -> Any: ...
    def __call__(self, inputs: Any = None, **options: Any) -> Any:
        if "text_inputs" in options:  # transformers' name
            inputs = options.pop("text_inputs")
        return super().__call__(_wrapped(inputs), **in_turn(options))

    def stream(self, inputs: str | Chat, **options: Any) -> TextStream:
        """The new text piece by piece: an iterator that has `usage` and `finish_reason` at its end.

        Takes the arguments of a call, but for those about the form of a result. `close` ends it early.

        Raises:
            InputError: as a call does.
        """
        chosen, common = self._arguments(options)
        sample, call = self.request(inputs, chosen)
        skips = chosen.skip_special_tokens is not False
        text = self.processor.tokenizer.stream_decoder(
            skip_special_tokens=skips, cleans_up=chosen.clean_up_tokenization_spaces
        )
        return TextStream(self.writer, sample, call, text, common.stop)

    def request(self, inputs: str | Chat, options: TextGenerationOptions) -> tuple[Sample, WritingSettings]:
        """What the decode loop is asked for one text, or one chat, that is followed while it is written.

        Raises:
            InputError: as a call does.
        """
        call = self.call(options, single=True)
        return self._sample(_wrapped(inputs), options, call), call

    def streams(self, options: Mapping[str, Any]) -> bool:
        """Whether a call with these options gives one text for each input, which can be shown while it is written."""
        return not _OF_RESULT & set(options)

    def check(self, options: TextGenerationOptions) -> None:
        self.call(options)

    def prepare(self, item: Any, options: TextGenerationOptions) -> Prepared[Any]:
        item = _wrapped(item)
        return Prepared((self._sample(item, options, self.call(options)),), item)

    def compute(self, samples: Sequence[Sample], options: TextGenerationOptions) -> Sequence[Any]:
        texts = self.writer.write(samples, self.call(options), options.streamer)
        return self.values(samples, texts, options)

    def values(
        self, samples: Sequence[Sample], texts: Sequence[Sequence[Generated]], options: TextGenerationOptions
    ) -> list[Any]:
        """Each sample with its texts."""
        return list(zip(samples, texts, strict=True))

    def begun(self, sample: Sample) -> Sequence[int]:
        """None: all of a text is new."""
        return ()

    def finish(self, context: Any, values: list[Any], options: TextGenerationOptions) -> list[dict[str, Any]]:
        sample, texts = values[0]
        return [self._result(context, sample, text, options) for text in texts]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_latest"}

    def call(self, options: TextGenerationOptions, single: bool = False) -> WritingSettings:
        """The settings of a call: read once, for all of its inputs and batches."""
        if single:
            return self._read(options, single)
        asked, rest = options.generate_kwargs, (options.stop_sequence, options.prefix)
        latest = self._latest
        if latest is not None and latest[0] is asked and latest[1] == rest:
            return latest[2]
        call = self._read(options, single)
        self._latest = asked, rest, call  # in one step: threads call at once
        return call

    def _read(self, options: TextGenerationOptions, single: bool) -> WritingSettings:
        settings = dict(options.generate_kwargs)
        of_task = stop_strings(options.stop_sequence)
        prefix = self._prefix if options.prefix is None else options.prefix
        call = self.writer.call(settings, single, **of_task)
        if not prefix:
            return call
        # Lengths that count the prompt do not count the prefix.
        count = len(self.processor.tokenizer.encode(prefix, special_tokens=False).ids)
        config = call.config
        longer: dict[str, Any] = {}
        if config.max_length is not None and config.max_new_tokens is None:
            longer["max_length"] = config.max_length + count
        if config.min_length and config.min_new_tokens is None:
            longer["min_length"] = config.min_length + count
        return self.writer.call({**settings, **longer}, single, **of_task)

    def _sample(self, item: Any, options: TextGenerationOptions, call: WritingSettings) -> Sample:
        """Make a sample of a prompt's tokens; its context holds the tokens that the answer begins with."""
        if isinstance(item, _Conversation):
            ids = self._chat_ids(item, options)
        elif isinstance(item, str):
            prefix = self._prefix if options.prefix is None else options.prefix
            arguments = options.tokenizer_encode_kwargs
            ids = self.processor.tokenizer.encode(
                prefix + item,
                truncation=self._truncation(options),
                special_tokens=bool(arguments.get("add_special_tokens", options.add_special_tokens)),
            ).ids
        else:
            raise InputError(
                f"{self.task} takes a text, or messages as [{{'role': ..., 'content': ...}}], or a list of either; "
                f"got {type(item).__name__} {item!r:.60}."
            )
        ids = list(ids)
        if not ids and call.config.bos_token_id is not None:
            # As in transformers, it is then the first token of the answer.
            return token_sample([call.config.bos_token_id], context=(call.config.bos_token_id,))
        if not ids:
            raise no_tokens()
        self.processor.tokenizer.check_ids(ids)
        return token_sample(self._cut(ids, call) if options.handle_long_generation else ids, context=())

    def _chat_ids(self, item: _Conversation, options: TextGenerationOptions) -> Sequence[int]:
        tokenizer = self.processor.tokenizer
        plain = PlainMessages(item.messages, tokenizer.special_texts()) if options.plain_messages else None
        continued = _continues(item, options)
        arguments = dict(options.tokenizer_encode_kwargs)
        text = self.chat.render(
            item.messages if plain is None else plain.messages,
            tools=options.tools,
            documents=options.documents,
            template=arguments.pop("chat_template", None),
            add_generation_prompt=not continued,
            continue_final_message=continued,
            **{name: value for name, value in arguments.items() if name not in _OF_TOKENIZER},
        )
        if plain is not None and plain.marks:
            return plain.ids(text, lambda part: tokenizer.encode(part, special_tokens=False).ids)
        return tokenizer.encode(text, truncation=self._truncation(options), special_tokens=False).ids

    def _truncation(self, options: TextGenerationOptions) -> Truncation | None:
        arguments = options.tokenizer_encode_kwargs
        chosen = strategy(arguments.get("truncation", options.truncation))
        length = arguments.get("max_length", options.generate_kwargs.get("max_length"))
        return None if chosen is None else self.processor.truncation(chosen, length)

    def _cut(self, ids: list[int], call: WritingSettings) -> list[int]:
        """Cut the beginning of a prompt that would leave no room for the new tokens.

        Raises:
            InputError: there is no room even without a prompt.
        """
        limits = [limit for limit in (self.writer.limit, self.processor.settings.max_length) if limit is not None]
        config = call.config
        new = config.max_new_tokens
        if new is None:
            new = 20 if config.max_length is None else max(config.max_length - len(ids), 0)
        limit = min(limits, default=None)
        if limit is None or len(ids) + new <= limit:
            return ids
        if new >= limit:
            raise InputError(f"{new} new tokens are more than the model's {limit} leave room for. Ask for fewer.")
        return ids[new - limit :]

    def _result(self, item: Any, sample: Sample, text: Generated, options: TextGenerationOptions) -> dict[str, Any]:
        more = details([text], sample.cost) if options.return_details else {}
        if options.return_tensors:
            return {"generated_token_ids": [*token_ids(sample), *text.ids], **more}
        written: Any = self.processor.tokenizer.decode(
            [*sample.context, *text.ids],
            skip_special_tokens=options.skip_special_tokens is not False,
            cleans_up=options.clean_up_tokenization_spaces,
        )
        if options.return_full_text is not False:
            written = _with_answer(item, written, options) if isinstance(item, _Conversation) else item + written
        return {"generated_text": written, **more}


@dataclass(frozen=True, slots=True)
class _Conversation:
    """Messages, which as a list would be several inputs."""

    messages: Chat


def _wrapped(inputs: Any) -> Any:
    if not (isinstance(inputs, (list, tuple)) and inputs and isinstance(inputs[0], Mapping)):
        return inputs
    if not all(isinstance(message, Mapping) and "role" in message for message in inputs):
        raise InputError('Each message of a chat is a dictionary with a "role", as {"role": "user", "content": ...}.')
    return _Conversation(inputs)


def _continues(item: _Conversation, options: TextGenerationOptions) -> bool | str:
    if options.continue_final_message is not None:
        return options.continue_final_message
    return item.messages[-1].get("role") == "assistant"


def _with_answer(item: _Conversation, written: str, options: TextGenerationOptions) -> list[Any]:
    if not _continues(item, options):
        return [*item.messages, {"role": "assistant", "content": written}]
    last = item.messages[-1]
    content = last.get("content") or ""
    whole = content + written if isinstance(content, str) else [*content, {"type": "text", "text": written}]
    return [*item.messages[:-1], {"role": last["role"], "content": whole}]
