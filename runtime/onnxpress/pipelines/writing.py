"""What tasks that write text share: the settings of a call, and rows of tokens run through the decode loop.

Knows artifacts and token ids; knows no task, no prompt's text and no result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from onnxpress.engine.providers import provider_of
from onnxpress.engine.session import Session
from onnxpress.errors import ArtifactError, InputError
from onnxpress.generation.decoder import Decoder, DecoderModel, EncoderDecoderModel
from onnxpress.generation.decoders.models import decoder_model, encoder_decoder_model
from onnxpress.generation.decoders.shared_model import SharedModel
from onnxpress.generation.events import Generated, Hooks
from onnxpress.generation.generate import complete
from onnxpress.generation.pool.blocks import KeptBlocks
from onnxpress.generation.requests import Request
from onnxpress.generation.scheduler import OpenDecoder, opener, room
from onnxpress.generation.search.beams import beam_search
from onnxpress.generation.settings import GenerationConfig
from onnxpress.generation.settings_fields import IGNORED, KINDS, REFUSED
from onnxpress.generation.structured.constrainer import Constrainer
from onnxpress.generation.structured.constraints import Constraint
from onnxpress.generation.structured.grammars import ARGUMENTS, Grammar, grammar_of
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.collators import PadTokens, token_ids, token_sample
from onnxpress.pipelines.files import read_json
from onnxpress.pipelines.streamers import Streamer, streamed, within
from onnxpress.samples import Arrays, Collator, Sample
from onnxpress.text.tokenizer import Tokenizer

#: What an encoder of texts reads.
IDS, MASK = "input_ids", "attention_mask"

#: Prompts that are continued together, unless a call says otherwise.
ROWS = 8

#: The cost of a batch of texts that are written: prompts of different lengths need no padding, and what an encoder
#: reads is read a few at a time. Rows decide.
WRITTEN_TOGETHER = 2**31

#: Room that is made for new tokens at first; more is made when it is needed.
_ROOM_TOKENS = 256

#: The names of all settings of a call, those that are refused too.
SETTINGS = frozenset((*KINDS, *REFUSED, *IGNORED, *ARGUMENTS, "generation_config"))

#: Settings that do nothing where nothing is drawn.
_SAMPLING = frozenset(("temperature", "top_k", "top_p", "min_p", "typical_p"))


@dataclass(frozen=True, slots=True)
class WritingSettings:
    """The settings of one call."""

    config: GenerationConfig
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """The context of a sample that an encoder reads, where the decoder begins with more than its first token."""

    ids: tuple[int, ...]


class Writer:
    """The model of an artifact that writes text. Thread-safe; works after a fork and after pickling.

    `usual`: what a call has that neither it nor the artifact sets. `collator`: makes batches of what an encoder reads,
    where that is not text alone.
    """

    def __init__(
        self,
        artifact: Artifact,
        session: Session,
        tokenizer: Tokenizer,
        usual: Mapping[str, Any],
        collator: Collator | None = None,
    ) -> None:
        self.artifact = artifact
        self.tokenizer = tokenizer
        self._usual = dict(usual)
        self._defaults = _defaults(artifact)
        self._constrainer = Constrainer(tokenizer)
        self._at_once = provider_of(session.device).budget_tokens
        self._decoder: DecoderModel | None = None
        self._encoder_decoder: EncoderDecoderModel | None = None
        #: What an encoder reads is padded on the right, whatever the tokenizer's settings say.
        self._collator = collator or PadTokens((IDS, MASK), tokenizer.settings.pad_token_id)
        if any(graph.role == "encoder" for graph in artifact.manifest.graphs.values()):
            self._encoder_decoder = encoder_decoder_model(artifact.manifest, session)
        else:
            self._decoder = decoder_model(artifact.manifest, session)

    @property
    def encodes(self) -> bool:
        """Whether an encoder reads a text before the decoder writes."""
        return self._encoder_decoder is not None

    @property
    def limit(self) -> int | None:
        """The most tokens of a row of the decoder, what it reads and what it writes together; None: no limit."""
        model = self._decoder or self._encoder_decoder
        return model.limit if model is not None else None

    def call(self, asked: Mapping[str, Any], single: bool = False, **of_task: Any) -> WritingSettings:
        """The settings of a call: what the caller asked for, over `of_task`, over the artifact's, over the usual ones.

        `single`: one text is followed, token by token, unless the caller asks for more; so it is with a grammar.

        Raises:
            InputError: no such setting, a value that is not allowed, or settings that exclude each other.
        """
        settings = dict(asked)
        grammar = grammar_of(**{name: settings.pop(name) for name in ARGUMENTS if name in settings})
        content = {**self._defaults, **of_task, **_content(settings.pop("generation_config", None))}
        usual = dict(self._usual)
        if single or grammar is not None:
            content.pop("num_beams", None)
            usual.pop("num_beams", None)
        known = {name for name, value in {**content, **settings}.items() if value is not None}
        added = {name: value for name, value in usual.items() if name not in known}
        if "max_length" in known:
            added.pop("max_new_tokens", None)
        if not {**added, **content, **settings}.get("do_sample"):
            added = {name: value for name, value in added.items() if name not in _SAMPLING}
        return WritingSettings(GenerationConfig.from_file({**content, **added}).merged(**settings), grammar)

    def open(
        self, samples: Sequence[Sample], call: WritingSettings
    ) -> tuple[Decoder, list[Sequence[int]], list[Sequence[int]] | None]:
        """A decoder of these samples, their prompts, and the texts that an encoder has read. The caller closes it.

        Raises:
            InputError: a prompt leaves no room.
            ArtifactError: as `begin`.
        """
        if self._decoder is not None:
            prompts: list[Sequence[int]] = [token_ids(sample) for sample in samples]
            return self._decoder.start(len(samples), self._expected(prompts, call)), prompts, None
        assert self._encoder_decoder is not None
        prompts = [self.prompt(sample, call) for sample in samples]
        arrays, decoder = self._about(samples, self._expected(prompts, call))
        texts: list[Sequence[int]] | None = [token_ids(sample) for sample in samples] if IDS in arrays else None
        return decoder, prompts, texts

    def decoder(self, texts: Sequence[Sequence[int]], expected_tokens: int) -> Decoder:
        """A decoder with an empty row for each text; an encoder, where there is one, has read it. The caller closes it.

        Args:
            expected_tokens: room that is made in a row at first.
        """
        if self._decoder is not None:
            return self._decoder.start(len(texts), expected_tokens)
        assert self._encoder_decoder is not None
        arrays = self._collator.collate([token_sample(ids) for ids in texts]).arrays
        return self._encoder_decoder.encode(arrays[IDS], arrays[MASK], expected_tokens)

    def write(
        self, samples: Sequence[Sample], call: WritingSettings, streamer: Streamer | None = None
    ) -> list[list[Generated]]:
        """For each sample the texts that continue it, or that are written about what an encoder has read.

        Raises:
            InputError: a streamer is to be told several texts.
        """
        decoder, prompts, texts = self.open(samples, call)
        try:
            hooks = self.hooks(call)
            if streamer is not None:
                return streamed(streamer, decoder, prompts, call.config, texts, hooks)
            search = beam_search if call.config.num_beams > 1 else complete
            return search(decoder, prompts, call.config, texts=texts, hooks=hooks)
        finally:
            decoder.close()

    def opener(self, store: KeptBlocks | None = None, *, steady: bool = False) -> OpenDecoder:
        """What opens decoders for a scheduler, of requests of many calls; `store`: what their rows leave behind."""
        return self._read if self._decoder is None else opener(self._decoder, store, steady=steady)

    @property
    def steady(self) -> bool:
        """Whether rows of one decoder can be steady: a row alone always is."""
        return isinstance(self._decoder, SharedModel)

    def request(self, sample: Sample, call: WritingSettings, hooks: Hooks, **more: Any) -> Request:
        """What a scheduler is asked for one sample.

        Args:
            more: further fields of the request.

        Raises:
            ArtifactError: as `begin`.
        """
        if self._decoder is not None:
            return Request(token_ids(sample), call.config, hooks=hooks, **more)
        text = token_ids(sample) if IDS in sample.arrays else None
        return Request(self.prompt(sample, call), call.config, text, hooks, source=sample, **more)

    def _read(self, requests: Sequence[Request]) -> Decoder:
        """A decoder of requests, whose samples an encoder has read."""
        return self._about([cast(Sample, request.source) for request in requests], room(requests, self.limit))[1]

    def _about(self, samples: Sequence[Sample], expected_tokens: int) -> tuple[Arrays, Decoder]:
        """What an encoder has read of samples, a few at a time, and a decoder that writes about all of them."""
        assert self._encoder_decoder is not None
        arrays = self._collator.collate(samples).arrays
        at_once = max(1, self._at_once // max(sample.cost for sample in samples))
        return arrays, self._encoder_decoder.read(arrays, expected_tokens, arrays.get(MASK), at_once)

    @property
    def token_bytes(self) -> int | None:
        """Bytes that a token of a row takes while it is held; None: not known of this kind of model."""
        return getattr(self._decoder, "token_bytes", None)

    def hooks(self, call: WritingSettings, cancelled: Callable[[], bool] | None = None) -> Hooks:
        """What the loop asks: stop strings, the grammar, the time that is left, and whether the caller has enough."""
        strings = call.config.stop_strings
        return Hooks(
            within(call.config.max_time, cancelled),
            ended=(lambda row: StopStrings(self.tokenizer, strings)) if strings else None,
            constraint=(lambda row: self._constraint(call)) if call.grammar is not None else None,
        )

    def _constraint(self, call: WritingSettings) -> Constraint:
        assert call.grammar is not None
        return self._constrainer.constraint(call.grammar, call.config.ends)

    def prompt(self, sample: Sample, call: WritingSettings) -> Sequence[int]:
        """What the decoder reads before it writes about a sample that an encoder reads.

        Raises:
            ArtifactError: as `begin`.
        """
        return sample.context.ids if isinstance(sample.context, Prompt) else self.begin(call)

    def begin(self, call: WritingSettings) -> list[int]:
        """How a decoder begins that writes about what an encoder has read.

        Raises:
            ArtifactError: the artifact does not say.
        """
        config = call.config
        start = config.bos_token_id if config.decoder_start_token_id is None else config.decoder_start_token_id
        if start is None:
            raise ArtifactError(
                f"{self.artifact.folder}: generation_config.json has no decoder_start_token_id. Export again."
            )
        return [start]

    def _expected(self, prompts: Sequence[Sequence[int]], call: WritingSettings) -> int:
        most = call.config.most_new_tokens
        return max(len(prompt) + min(most(len(prompt), self.limit), _ROOM_TOKENS) for prompt in prompts)


@runtime_checkable
class WritesTexts(Protocol):
    """A pipeline whose answers are texts about one sample each, which may be written beside others'."""

    writer: Writer

    def call(self, options: Any, single: bool = False) -> WritingSettings:
        """The settings of a call; `single`: its one text is followed while it is written."""

    def values(self, samples: Sequence[Sample], texts: Sequence[Sequence[Generated]], options: Any) -> list[Any]:
        """What `finish` takes, of samples and the texts that were written about each."""

    def begun(self, sample: Sample) -> Sequence[int]:
        """Tokens that stand before the new ones and are part of the text."""


class StopStrings:
    """Says after each new token whether the text has one of these strings in it."""

    def __init__(self, tokenizer: Tokenizer, strings: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._strings = strings
        # Of a byte each at least; before them, some that may lose a space at the beginning.
        self._window = max(len(string.encode(errors="surrogatepass")) for string in strings) + 4
        self._ids: list[int] = []

    def __call__(self, token: int) -> bool:
        """Whether the text is complete with this token."""
        self._ids = [*self._ids, token][-self._window :]
        text = self._tokenizer.decode(self._ids)
        return any(string in text for string in self._strings)


def _defaults(artifact: Artifact) -> dict[str, Any]:
    """What generation_config.json says; where another tool wrote none, config.json, as transformers reads it."""
    if artifact.adopted is None or "generation_config.json" in artifact.manifest.files:
        return read_json(artifact, "generation_config.json")
    config = read_json(artifact, "config.json")
    return {name: value for name, value in config.items() if name in KINDS or name in REFUSED}


def stop_strings(sequence: str | Sequence[str] | None) -> dict[str, Any]:
    """transformers' argument `stop_sequence` as a setting."""
    return {} if sequence is None else {"stop_strings": sequence}


def details(texts: Sequence[Generated], prompt_tokens: int) -> dict[str, Any]:
    """The fields that `return_details` adds to a result: the first reason other than "stop", and counts of tokens."""
    reasons = [text.finish_reason for text in texts if text.finish_reason != "stop"]
    return {
        "finish_reason": reasons[0] if reasons else "stop",
        "prompt_tokens": prompt_tokens,
        "completion_tokens": sum(len(text.ids) for text in texts),
    }


def _content(config: Any) -> dict[str, Any]:
    """Read the settings in `generation_config=`: a dictionary, or an object such as transformers' with `to_dict`."""
    if config is None:
        return {}
    content = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(content, Mapping):
        raise InputError(f"generation_config must be a dictionary of settings, not {type(config).__name__}.")
    return {name: value for name, value in content.items() if value is not None}
