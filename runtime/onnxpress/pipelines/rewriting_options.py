"""The arguments of a call of the tasks that write a text about a text, and how such a text is put to its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxpress.errors import InputError
from onnxpress.pipelines.text_processor import strategy

#: transformers' own for these tasks, where the checkpoint says nothing.
USUAL = {"max_new_tokens": 256, "num_beams": 4}


@dataclass(frozen=True, slots=True)
class RewritingOptions:
    """transformers' arguments of a call; others are settings of generation, or `response_format`, `json_schema`,
    `regex` or `grammar`, which hold the text to a form.

    A text that is longer than the model takes is an error, unless `truncation=True` cuts it, or `overflow="chunk"`
    makes pieces of it at the ends of sentences, each of which is answered for itself; the answers are joined.
    `prefix` is put before texts; None: what the checkpoint has for the task. `stop_sequence`: strings that end the
    text, which has them. `return_tensors`: token ids instead of text. `return_details` adds finish_reason,
    prompt_tokens and completion_tokens.
    """

    prefix: str | None = None
    truncation: Any = None
    overflow: str | None = None
    stop_sequence: str | Sequence[str] | None = None
    return_tensors: bool = False
    return_text: bool | None = None
    return_details: bool = False
    clean_up_tokenization_spaces: bool | None = None
    streamer: Any = None
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.overflow not in (None, "chunk"):
            raise InputError(f'overflow is {self.overflow!r}; it may be None (an error) or "chunk".')
        if self.overflow and strategy(self.truncation):
            raise InputError('truncation=True cuts a long text, overflow="chunk" makes pieces of it: pass one.')
        if not isinstance(self.generate_kwargs, Mapping):
            raise InputError("generate_kwargs must be a dictionary.")


@dataclass(frozen=True, slots=True)
class LanguageOptions(RewritingOptions):
    """`src_lang`, `tgt_lang`: as the checkpoint names languages ("en", "eng_Latn"), where it knows several.
    `task_languages`: those of an alias such as translation_en_to_de, which checkpoints of one pair need not know."""

    src_lang: str | None = None
    tgt_lang: str | None = None
    task_languages: tuple[str, str] | None = None

    @property
    def languages(self) -> tuple[str | None, str | None]:
        """The source's and the target's; None: not said."""
        source, target = self.task_languages or (None, None)
        return self.src_lang or source, self.tgt_lang or target


@dataclass(frozen=True, slots=True)
class Source:
    """How a text is put to the model: what stands before it, its languages, and settings that they bring."""

    prefix: str = ""
    source_language: str | None = None
    target_language: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What the config of a checkpoint says of the texts it reads.

    `of_tasks`: its `task_specific_params`, by the names it gives to tasks (summarization, translation_en_to_de).
    """

    prefix: str
    of_tasks: Mapping[str, Mapping[str, Any]]

    @staticmethod
    def of_config(config: Mapping[str, Any]) -> SourceSettings:
        """Read from a checkpoint's config.json."""
        of_tasks = config.get("task_specific_params")
        return SourceSettings(str(config.get("prefix") or ""), dict(of_tasks) if isinstance(of_tasks, Mapping) else {})

    def source(self, task: str) -> Source:
        """What the checkpoint has for a task of this name."""
        settings = dict(self.of_tasks.get(task) or {})
        prefix = settings.pop("prefix", self.prefix)
        return Source(str(prefix or ""), settings=settings)

    def translating(self, task: str, options: LanguageOptions) -> Source:
        """How a text is put to a model without language tokens.

        Raises:
            InputError: the model does not translate between these languages, or there are several pairs and none was
                chosen.
        """
        source, target = options.languages
        name = f"translation_{source}_to_{target}"
        pairs = [known for known in self.of_tasks if known.startswith("translation_")]
        if name in pairs or (len(pairs) == 1 and source is None and target is None):
            return self.source(name if name in pairs else pairs[0])
        if pairs and options.prefix is None:
            listed = ", ".join(pair.removeprefix("translation_") for pair in pairs)
            raise InputError(f"Pass src_lang and tgt_lang. This model translates: {listed}.")
        if options.src_lang is not None or options.tgt_lang is not None:
            raise InputError("This model translates one pair of languages: leave src_lang and tgt_lang out.")
        return self.source(task)
