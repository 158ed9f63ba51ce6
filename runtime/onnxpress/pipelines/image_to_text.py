"""image-to-text: a text about a picture, or what is written in it, in the schema of transformers 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from onnxpress.errors import InputError
from onnxpress.generation.events import Generated
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.files import read_json
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.picture_texts import PictureTextProcessor
from onnxpress.pipelines.pictures import PictureOptions, pictures_of
from onnxpress.pipelines.prompted import Beginnings
from onnxpress.pipelines.streamers import in_turn
from onnxpress.pipelines.text_stream import TextStream
from onnxpress.pipelines.writing import ROWS, SETTINGS, WRITTEN_TOGETHER, Prompt, Writer, WritingSettings, details
from onnxpress.samples import Sample

#: transformers' own for this task, where the checkpoint says nothing.
USUAL = {"max_new_tokens": 256}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageToTextOptions(PictureOptions):
    """transformers' arguments of a call; others are settings of generation, or `response_format`, `json_schema`,
    `regex` or `grammar`, which hold the text to a form.

    `prompt`: how the text begins, where the model takes one. `max_new_tokens`: also a setting of `generate_kwargs`.
    `return_details` adds finish_reason, prompt_tokens and completion_tokens.
    """

    prompt: str | None = None
    max_new_tokens: int | None = None
    return_details: bool = False
    clean_up_tokenization_spaces: bool | None = None
    streamer: Any = None
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        if self.prompt is not None and not isinstance(self.prompt, str):
            raise InputError(f"prompt is {self.prompt!r:.60}; it must be a text: pass pictures with one prompt a call.")
        if not isinstance(self.generate_kwargs, Mapping):
            raise InputError("generate_kwargs must be a dictionary.")
        if self.max_new_tokens is not None and "max_new_tokens" in self.generate_kwargs:
            raise InputError("max_new_tokens is an argument, and one of generate_kwargs too: pass it once.")


class ImageToText(Pipeline[ImageToTextOptions, PictureTextProcessor]):
    """`pipe(picture)` -> [{"generated_text": str}]; a list of pictures gives a list of these lists.

    A picture is a path, bytes, a file object, a data URI, a Pillow image or a uint8 array (height, width, channels).
    `stream` hands one text out while it is written.
    """

    options_type = ImageToTextOptions
    processor_type = PictureTextProcessor
    collects: ClassVar[str | None] = "generate_kwargs"
    collected = SETTINGS
    rows = ROWS
    window = 8 * ROWS
    budget = WRITTEN_TOGETHER

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        processor = self.processor
        self.writer = Writer(model.artifact, model.session, processor.tokenizer, USUAL, processor.collator)
        self._beginnings = Beginnings.of(read_json(model.artifact, "config.json"), self.task)
        self.check(self.options)

    def __call__(self, inputs: Any = None, **options: Any) -> Any:
        inputs = pictures_of(inputs, options)
        return super().__call__(inputs, **in_turn(options))

    def stream(self, inputs: Any = None, **options: Any) -> TextStream:
        """The text piece by piece: an iterator that has `usage` and `finish_reason` at its end. One picture, one beam.

        Raises:
            InputError: as a call does.
        """
        inputs = pictures_of(inputs, options)
        chosen, common = self._arguments(options)
        call = self.call(chosen, single=True)
        sample = self._sample(inputs, chosen, call)
        text = self.processor.tokenizer.stream_decoder(cleans_up=chosen.clean_up_tokenization_spaces)
        return TextStream(self.writer, sample, call, text, common.stop, self.begun(sample))

    def streams(self, options: Mapping[str, Any]) -> bool:
        """Whether a call with these options gives one text for each input, which can be shown while it is written."""
        return "return_details" not in options

    def check(self, options: ImageToTextOptions) -> None:
        call = self.call(options)
        self._beginnings.ids(options.prompt, self.processor.tokenizer, self.writer.begin(call))

    def prepare(self, item: Any, options: ImageToTextOptions) -> Prepared[None]:
        return Prepared((self._sample(item, options, self.call(options)),), None)

    def compute(self, samples: Sequence[Sample], options: ImageToTextOptions) -> Sequence[Any]:
        """Write a text about each picture."""
        return self.values(samples, self.writer.write(samples, self.call(options), options.streamer), options)

    def values(
        self, samples: Sequence[Sample], texts: Sequence[Sequence[Generated]], options: ImageToTextOptions
    ) -> list[Any]:
        """The prompt about each picture, how its text begins, and its texts."""
        call = self.call(options)
        return [
            (self.writer.prompt(sample, call), self.begun(sample), some)
            for sample, some in zip(samples, texts, strict=True)
        ]

    def begun(self, sample: Sample) -> Sequence[int]:
        """The tokens of the prompt, which are part of the text."""
        return sample.context.ids if isinstance(sample.context, Prompt) else ()

    def finish(self, context: None, values: list[Any], options: ImageToTextOptions) -> list[dict[str, Any]]:
        prompt, begun, texts = values[0]
        return [self._result(prompt, begun, text, options) for text in texts]

    def call(self, options: ImageToTextOptions, single: bool = False) -> WritingSettings:
        """The settings of a call; `single`: its one text is followed while it is written."""
        most = {} if options.max_new_tokens is None else {"max_new_tokens": options.max_new_tokens}
        return self.writer.call({**options.generate_kwargs, **most}, single)

    def _sample(self, item: Any, options: ImageToTextOptions, call: WritingSettings) -> Sample:
        prompt = self._beginnings.ids(options.prompt, self.processor.tokenizer, self.writer.begin(call))
        return self.processor.begun(item, prompt, options.max_pixels, options.urls)

    def _result(
        self, prompt: Sequence[int], begun: Sequence[int], text: Generated, options: ImageToTextOptions
    ) -> dict[str, Any]:
        written = self.processor.tokenizer.decode(
            [*begun, *text.ids], skip_special_tokens=True, cleans_up=options.clean_up_tokenization_spaces
        )
        more = details([text], len(prompt)) if options.return_details else {}
        return {"generated_text": written, **more}
