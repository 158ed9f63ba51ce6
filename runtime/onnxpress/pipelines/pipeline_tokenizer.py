"""The artifact's tokenizer under the names that code written for transformers calls: `pipe.tokenizer`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxpress.chat.templates import open_chat
from onnxpress.errors import InputError
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.arguments import translate, unknown_argument
from onnxpress.pipelines.files import read_json
from onnxpress.pipelines.known_arguments import OF_TOKENIZERS
from onnxpress.pipelines.known_names import OF_TOKENIZER_OBJECTS, absent
from onnxpress.pipelines.saving import save_files
from onnxpress.pipelines.text_processor import strategy
from onnxpress.pipelines.tokenized import PADDED, Padding, Tokenized, as_tensors, padding_of, plain, rows_of
from onnxpress.text.tokenizer import Encoding, Tokenizer, Truncation, clean_up

if TYPE_CHECKING:
    from pathlib import Path

#: transformers' order of special tokens.
_KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

#: transformers' number for "no limit".
_UNLIMITED = int(1e30)

#: Files that are the tokenizer's, beside those that its settings name.
_FILES = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


class PipelineTokenizer:
    """Call it with a text, a list of texts, or words; it gives `input_ids`, `attention_mask` and what else the model
    takes, as transformers' tokenizer of the checkpoint does. Nothing changes it.

    Special tokens: `mask_token`, `mask_token_id`, and so on; None where there is no such token.
    """

    is_fast = True

    def __init__(self, artifact: Artifact, tokenizer: Tokenizer) -> None:
        self._artifact = artifact
        self._tokenizer = tokenizer
        self._chat = open_chat(artifact)
        settings = tokenizer.settings
        self.name_or_path = artifact.manifest.provenance.source
        self.padding_side, self.truncation_side = settings.padding_side, settings.truncation_side
        self.pad_token_type_id = settings.pad_token_type_id
        self._config = read_json(artifact, "tokenizer_config.json")
        self.model_max_length = settings.max_length or _UNLIMITED
        order = ("input_ids", "token_type_ids", "attention_mask")
        names = {*settings.input_names, "input_ids", "attention_mask"}
        self.model_input_names = [name for name in order if name in names]

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: Any = False,
        truncation: Any = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: Any = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **others: Any,
    ) -> Tokenized:
        """Encode. Arguments and result are transformers'; a text alone gives rows, a list of texts lists of rows, and
        so does a list of pairs of texts.

        Raises:
            InputError: not a text, or an argument that is not possible.
        """
        for name in translate(others, {name: OF_TOKENIZERS[name] for name in ("text_target", "text_pair_target")}):
            raise unknown_argument("The tokenizer", name, inspect.signature(self).parameters, {})
        many = _is_many(text, is_split_into_words)
        if many and text_pair is None and not is_split_into_words and _are_pairs(text):
            text, text_pair = [first for first, _ in text], [second for _, second in text]
        texts, pairs = (list(text), text_pair) if many else ([text], None if text_pair is None else [text_pair])
        cut = self._truncation(truncation, padding, max_length, stride)
        encodings = self._tokenizer.encode_batch(texts, pairs, truncation=cut, special_tokens=add_special_tokens)
        sources = list(range(len(encodings)))
        if return_overflowing_tokens:
            parts = [[encoding, *encoding.overflowing] for encoding in encodings]
            encodings = [part for of_text in parts for part in of_text]
            sources = [number for number, of_text in enumerate(parts) for _ in of_text]
        wanted = {"token_type_ids": return_token_type_ids, "attention_mask": return_attention_mask}
        names = [n for n in ("input_ids", "token_type_ids", "attention_mask") if self._wants(n, wanted.get(n))]
        names += ["special_tokens_mask"] * return_special_tokens_mask + ["offset_mapping"] * return_offsets_mapping
        rows = {name: [self._row(name, encoding) for encoding in encodings] for name in names}
        lengths = [len(encoding.ids) for encoding in encodings]
        chosen = self._padding(padding, max_length, pad_to_multiple_of, padding_side)
        if chosen is not None:
            chosen.apply(rows)
            lengths = [len(row) for row in rows["input_ids"]]
        content: dict[str, Any] = {**rows}
        if return_length:
            content["length"] = lengths
        if return_overflowing_tokens:
            content["overflow_to_sample_mapping"] = sources
        lists = many or return_tensors or return_overflowing_tokens
        if not lists:
            content = {name: value if name == "length" else value[0] for name, value in content.items()}
        return Tokenized(as_tensors(content, return_tensors), encodings)

    def pad(
        self,
        encoded_inputs: Any,
        padding: Any = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: Any = None,
        verbose: bool = True,
    ) -> Tokenized:
        """Make the rows of encoded texts as long as each other. Arguments and result are transformers'.

        Raises:
            InputError: not what a tokenizer returned, or an argument that is not possible.
        """
        rows, many = rows_of(encoded_inputs)
        masked = self._wants("attention_mask", return_attention_mask)
        if masked and "attention_mask" not in rows:
            rows["attention_mask"] = [[1] * len(ids) for ids in rows["input_ids"]]
        chosen = self._padding(padding, max_length, pad_to_multiple_of, padding_side)
        if chosen is not None:  # as theirs, a mask that nobody wants stays as it is
            names = [name for name in PADDED if name in rows and (masked or name != "attention_mask")]
            chosen.apply({name: rows[name] for name in names})
        return Tokenized(as_tensors(rows if many else {n: row[0] for n, row in rows.items()}, return_tensors))

    def encode(self, text: Any, text_pair: Any = None, **arguments: Any) -> Any:
        """The ids of a text or a pair: a list, or with `return_tensors="np"` int64 (1, tokens)."""
        return self(text, text_pair, **arguments)["input_ids"]

    def tokenize(self, text: str, pair: str | None = None, *, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text."""
        return list(self._tokenizer.encode(text, pair, special_tokens=add_special_tokens).tokens)

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        group_tokens: bool = True,
    ) -> Any:
        """Ids as text; lists of ids as a list of texts. `group_tokens`: of a CTC model's tokenizer, whether neighbours
        of one id are one token."""
        ids = plain(token_ids)
        if isinstance(ids, list) and ids and isinstance(ids[0], list):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, group_tokens) for row in ids]
        return self._tokenizer.decode(
            ids if isinstance(ids, list) else [ids],
            skip_special_tokens=skip_special_tokens,
            cleans_up=clean_up_tokenization_spaces,
            group_tokens=group_tokens,
        )

    def batch_decode(self, sequences: Iterable[Any], skip_special_tokens: bool = False, **arguments: Any) -> list[str]:
        """Each list of ids as text."""
        return [self.decode(plain(ids), skip_special_tokens, **arguments) for ids in sequences]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or those of several."""
        numbers = plain(ids)
        if not isinstance(numbers, list):
            return self._tokenizer.token(numbers)
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._tokenizer.token(number) for number in numbers if number not in skipped]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or those of several; that of the unknown token where there is no such token."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        number = self._tokenizer.token_id(tokens)
        return self.unk_token_id if number is None else number

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Tokens as text, as the tokenizer joins them."""
        return self._tokenizer.join(list(tokens))

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Sequence[Any] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        tokenize: bool = True,
        padding: Any = False,
        truncation: Any = False,
        max_length: int | None = None,
        return_tensors: Any = None,
        return_dict: bool = True,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> Any:
        """Messages, or a list of conversations, as the text that the checkpoint's template makes of them, or its ids.

        Raises:
            InputError: there is no template, or it refuses these messages.
        """
        many = bool(conversation) and isinstance(conversation[0], (list, tuple))
        texts = [
            self._chat.render(
                messages,
                tools=tools,
                documents=documents,
                template=chat_template,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                **variables,
            )
            for messages in (conversation if many else [conversation])
        ]
        if not tokenize:
            return texts if many else texts[0]
        tokenized = self(
            texts if many else texts[0],
            add_special_tokens=False,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            return_tensors=return_tensors,
            **(tokenizer_kwargs or {}),
        )
        return tokenized if return_dict else tokenized["input_ids"]

    @property
    def chat_template(self) -> str | dict[str, str] | None:
        """The checkpoint's template; several by name; None: it has none."""
        templates = self._chat.templates
        return templates.get("default") if set(templates) <= {"default"} else dict(templates)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """`mask_token` -> "[MASK]", and so on, for the tokens that there are."""
        return {f"{kind}_token": text for kind in _KINDS if (text := self._special(kind)) is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """Tokens that are no text: those with a name of their own first."""
        named = list(dict.fromkeys(self.special_tokens_map.values()))
        others = [self._tokenizer.token(number) for number in sorted(self._tokenizer.special_ids())]
        return [*named, *(token for token in others if token not in named)]

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        return [number for token in self.all_special_tokens if (number := self._tokenizer.token_id(token)) is not None]

    @property
    def vocab_size(self) -> int:
        """How many tokens there are without those that were added."""
        return self._tokenizer.vocabulary_size(added=False)

    def __len__(self) -> int:
        return self._tokenizer.vocabulary_size(added=True)

    def __bool__(self) -> bool:
        return True

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id."""
        return {token: number for number, token in enumerate(self._tokenizer.tokens()) if token}

    @property
    def vocab(self) -> dict[str, int]:
        """Every token and its id."""
        return self.get_vocab()

    def get_added_vocab(self) -> dict[str, int]:
        """The tokens that were added to the model's, and their ids."""
        return self._tokenizer.added_tokens()

    def get_special_tokens_mask(
        self, token_ids_0: Any, token_ids_1: Any = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for each id that is a special token, of ids that have theirs already.

        Raises:
            InputError: of ids without them.
        """
        if not already_has_special_tokens or token_ids_1 is not None:
            raise InputError(
                "get_special_tokens_mask takes ids that have their special tokens: already_has_special_tokens=True; "
                "pass return_special_tokens_mask=True to the tokenizer for others."
            )
        special = set(self.all_special_ids)
        return [int(number in special) for number in plain(token_ids_0)]

    def clean_up_tokenization(self, text: str) -> str:
        """The text without the spaces that decoding puts before punctuation."""
        return clean_up(text)

    @property
    def max_len_single_sentence(self) -> int:
        """The most tokens of a text, special ones left out."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """The most tokens of a pair, special ones left out."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens are added to a text or a pair."""
        return self._tokenizer.special_count(pair=pair)

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Copy the tokenizer's files into a folder; returns their paths."""
        settings = self._tokenizer.settings
        charsmap = settings.segmentation.charsmap_file if settings.segmentation is not None else None
        target = settings.target.file if settings.target is not None else None
        names = {settings.file, charsmap, target, *_FILES}
        return save_files(self._artifact, [n for n in self._artifact.manifest.files if n in names], save_directory)

    def __getattr__(self, name: str) -> Any:
        """`KIND_token` and `KIND_token_id`; this is asked for names only that are not there."""
        kind = name.removesuffix("_id").removesuffix("_token")
        if kind not in _KINDS or not name.removesuffix("_id").endswith("_token") or "_tokenizer" not in self.__dict__:
            raise absent("The tokenizer", name, OF_TOKENIZER_OBJECTS)
        token = self._special(kind)
        if not name.endswith("_id"):
            return token
        return None if token is None else self._tokenizer.token_id(token)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.endswith(("_token", "_token_id")) and "model_max_length" in self.__dict__:
            raise AttributeError(f"The tokenizer is as it was exported: {name} cannot be changed.")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        limit = "no limit" if self.model_max_length == _UNLIMITED else f"at most {self.model_max_length} tokens"
        return f"PipelineTokenizer({self.name_or_path!r}, {len(self)} tokens, {limit})"

    def _special(self, kind: str) -> str | None:
        if (entry := self._tokenizer.settings.special_tokens.get(kind)) is not None:
            return entry.text
        entry = self._config.get(f"{kind}_token")
        return entry.get("content") if isinstance(entry, Mapping) else entry

    def _padding(self, padding: Any, max_length: int | None, multiple: int | None, side: str | None) -> Padding | None:
        settings = self._tokenizer.settings

        def make(length: int | None) -> Padding:
            return Padding(settings.pad_token_id, self.pad_token_type_id, side or self.padding_side, length, multiple)

        return padding_of(padding, max_length, settings.max_length, make)

    def _wants(self, name: str, asked: bool | None) -> bool:
        return name in self.model_input_names if asked is None else asked

    def _row(self, name: str, encoding: Encoding) -> list[Any]:
        if name == "attention_mask":
            return [1] * len(encoding.ids)
        if name == "offset_mapping" and self._tokenizer.settings.segmentation is not None:
            raise InputError("return_offsets_mapping: this tokenizer does not say where its tokens stand in the text.")
        attribute = {"input_ids": "ids", "token_type_ids": "type_ids", "offset_mapping": "offsets"}.get(name, name)
        return list(getattr(encoding, attribute))

    def _truncation(self, truncation: Any, padding: Any, max_length: int | None, stride: int) -> Truncation | None:
        """transformers' rule: `max_length` alone cuts, unless padding is on, where it means the padded length."""
        chosen = strategy(truncation)
        if truncation is None and max_length is not None and padding is False:
            chosen = "longest_first"
        length = max_length or self._tokenizer.settings.max_length
        if chosen is None or length is None:
            return None
        return Truncation(length, chosen, stride, None if self.truncation_side == "right" else "left")


def _is_many(text: Any, words: bool) -> bool:
    if isinstance(text, str):
        return False
    if not isinstance(text, (list, tuple)):
        raise InputError(f"A tokenizer takes a text or a list of texts, not {type(text).__name__} {text!r:.60}.")
    return not words or (bool(text) and isinstance(text[0], (list, tuple)))


def _are_pairs(texts: Sequence[Any]) -> bool:
    """Whether each is two texts, as a list of pairs for a CrossEncoder."""
    return bool(texts) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in texts
    )
