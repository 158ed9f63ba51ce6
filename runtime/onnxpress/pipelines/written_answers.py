"""Answers that a model writes to a question about a picture or a document, as BLIP and Donut do: in the schema of
transformers 4 where the model reads the question, of transformers 5 where its answer goes on from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypedDict

from onnxpress.errors import InputError
from onnxpress.generation.events import Generated
from onnxpress.image.opening import open_picture
from onnxpress.pipelines.asked_pictures import AskedProcessor, image_and_question, paired
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.collators import Stack, Together
from onnxpress.pipelines.files import read_json
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.picture_texts import WithPrompts
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor
from onnxpress.pipelines.prompted import Beginnings
from onnxpress.pipelines.streamers import in_turn
from onnxpress.pipelines.text_processor import strategy
from onnxpress.pipelines.writing import IDS, ROWS, SETTINGS, WRITTEN_TOGETHER, Prompt, Writer, WritingSettings, details
from onnxpress.samples import Collator, Sample
from onnxpress.text.tokenizer import Tokenizer

#: transformers' own for these tasks, where the checkpoint says nothing.
USUAL = {"max_new_tokens": 256}

#: How Donut is asked about a document, and what is left of what it writes.
_ASKED = "<s_docvqa><s_question>{}</s_question><s_answer>"
_TAG, _ANSWER = re.compile(r"<.*?>"), re.compile(r"<s_answer>(.*)</s_answer>")


class WrittenAnswer(TypedDict):
    """None: the model wrote on and on, and no answer came to an end. With `return_details` there is more."""

    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenAnswerOptions(PictureOptions):
    """transformers' arguments of a call; others are settings of generation, or `response_format`, `json_schema`,
    `regex` or `grammar`, which hold the text to a form.

    `truncation`: whether a question that is longer than the model takes is cut, and not refused. `return_details` adds
    finish_reason, prompt_tokens and completion_tokens. The others are of models that choose among answers or find them
    in a document: they are accepted and have no effect, as in transformers.
    """

    truncation: Any = None
    max_new_tokens: int | None = None
    return_details: bool = False
    streamer: Any = None
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)
    top_k: int | None = None
    padding: Any = None
    doc_stride: int | None = None
    max_question_len: int | None = None
    max_answer_len: int | None = None
    max_seq_len: int | None = None
    handle_impossible_answer: bool | None = None
    lang: str | None = None
    tesseract_config: str | None = None

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        strategy(self.truncation)
        for name in ("top_k", "max_answer_len"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"{name} is {value!r}; it must be a positive integer.")
        if not isinstance(self.generate_kwargs, Mapping):
            raise InputError("generate_kwargs must be a dictionary.")
        if self.max_new_tokens is not None and "max_new_tokens" in self.generate_kwargs:
            raise InputError("max_new_tokens is an argument, and one of generate_kwargs too: pass it once.")


class QuestionProcessor(PictureProcessor):
    """Questions about pictures to samples: of both, where the encoder reads the question; else of the picture alone,
    with a prompt for the decoder."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model)
        manifest = model.artifact.manifest
        self.tokenizer: Tokenizer = model.text_tokenizer()
        self.collator: Collator = WithPrompts(self.collator)
        self.reads: AskedProcessor | None = None
        if any(tensor.name == IDS for tensor in manifest.graphs[manifest.graph_name("encoder")].inputs):
            self.reads = AskedProcessor(model)
            # BLIP's decoder looks at the padding of a question as at its words, whatever its mask says.
            self.collator = Together(replace(self.reads.texts.collator, pads=False), Stack())


class WrittenAnswers(Pipeline[WrittenAnswerOptions, QuestionProcessor]):
    """`pipe(image=..., question="Who?")` -> [{"answer": str}].

    A list or a stream has `{"image": ..., "question": ...}`; a list of pictures, of questions, or both asks every
    question about every picture. A picture is a path, bytes, a file object, a data URI, a Pillow image or a uint8
    array (height, width, channels).
    """

    options_type = WrittenAnswerOptions
    processor_type = QuestionProcessor
    collects: ClassVar[str | None] = "generate_kwargs"
    collected = SETTINGS
    rows = ROWS
    window = 8 * ROWS
    budget = WRITTEN_TOGETHER

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        tokenizer = self.processor.tokenizer
        self.writer = Writer(model.artifact, model.session, tokenizer, USUAL, self.processor.collator)
        self._beginnings = Beginnings.of(read_json(model.artifact, "config.json"), self.task)
        marks = (tokenizer.token(tokenizer.settings.pad_token_id), tokenizer.settings.special_tokens.get("eos"))
        #: What a decoded text has beside the words: the texts of the tokens that end it and that fill it up.
        self._marks = [mark if isinstance(mark, str) else mark.text for mark in marks if mark]
        self.check(self.options)

    def __call__(  # type: ignore[override]  # `inputs` is `image` here
        self, image: Any = None, question: Any = None, word_boxes: Any = None, **options: Any
    ) -> Any:
        """`word_boxes` is for models that cannot read: this one looks at the picture."""
        return super().__call__(paired(image, question), **in_turn(options))

    def check(self, options: WrittenAnswerOptions) -> None:
        self.writer.begin(self._call(options))

    def prepare(self, item: Any, options: WrittenAnswerOptions) -> Prepared[None]:
        image, question = image_and_question(item, self.task)
        processor = self.processor
        if processor.reads is not None:
            return Prepared((processor.reads.asked(image, question, options, options.truncation),), None)
        picture = processor.sample_of(open_picture(image, options.max_pixels, options.urls))
        first = self.writer.begin(self._call(options))
        prompt = self._beginnings.ids(_ASKED.format(question), processor.tokenizer, first)
        return Prepared((replace(picture, context=Prompt(tuple(prompt or ()))),), None)

    def compute(self, samples: Sequence[Sample], options: WrittenAnswerOptions) -> Sequence[Any]:
        """Write the answers to each question."""
        call = self._call(options)
        texts = self.writer.write(samples, call, options.streamer)
        return [(self.writer.prompt(sample, call), some) for sample, some in zip(samples, texts, strict=True)]

    def finish(self, context: None, values: list[Any], options: WrittenAnswerOptions) -> list[WrittenAnswer]:
        prompt, texts = values[0]
        if self.processor.reads is None:
            texts = texts[:1]
        return [self._result(prompt, text, options) for text in texts]

    def _call(self, options: WrittenAnswerOptions) -> WritingSettings:
        most = {} if options.max_new_tokens is None else {"max_new_tokens": options.max_new_tokens}
        return self.writer.call({**options.generate_kwargs, **most})

    def _result(self, prompt: Sequence[int], text: Generated, options: WrittenAnswerOptions) -> WrittenAnswer:
        more: Any = details([text], len(prompt)) if options.return_details else {}
        return {"answer": self._said(prompt, text), **more}

    def _said(self, prompt: Sequence[int], text: Generated) -> str | None:
        """As transformers' pipelines make it of all tokens, those of the prompt too."""
        tokenizer = self.processor.tokenizer
        if self.processor.reads is not None:
            return tokenizer.decode(text.ids, skip_special_tokens=True).strip()
        whole = tokenizer.decode([*prompt, *text.ids])
        for mark in self._marks:
            whole = whole.replace(mark, "")
        answer = _ANSWER.search(_TAG.sub("", whole, count=1).strip())
        return None if answer is None else answer.group(1).strip()
