"""An artifact as a function of arrays, for programs that use no pipelines: `onnxpress.load(...)`, `pipe.model`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.bounds import check_rows
from onnxpress.engine.providers import parse_device
from onnxpress.errors import InputError
from onnxpress.pipelines.arguments import translate, unknown_argument
from onnxpress.pipelines.arrays import Rows, as_mask, as_rows, joined
from onnxpress.pipelines.config import Config, artifact_config
from onnxpress.pipelines.inputs import listed
from onnxpress.pipelines.known_arguments import OF_MODEL_CALLS
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.pipeline_tokenizer import PipelineTokenizer
from onnxpress.pipelines.saving import save_artifact

if TYPE_CHECKING:
    from onnxpress.pipelines.writing import Writer

#: What fills the inputs that a caller leaves out, beside the mask.
_ZEROS = frozenset(("token_type_ids",))


class ModelOutputs(dict[str, NDArray[Any]]):
    """The graph's outputs by name, attribute or number: `outputs.logits`, `outputs["logits"]`, `outputs[0]`."""

    def __getattr__(self, name: str) -> NDArray[Any]:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"There is no output {name!r}; there are: {', '.join(self)}.") from None

    def __getitem__(self, key: str | int) -> NDArray[Any]:
        return super().__getitem__(key) if isinstance(key, str) else list(self.values())[key]


class GraphModel:
    """`model("a text")`, `model(["a text", "another"])`, `model(input_ids=..., attention_mask=...)` -> the outputs of
    the graph by name, such as `logits` float32 (batch, labels) or `last_hidden_state` float32 (batch, tokens, size).

    Texts are padded to the longest; lists of ids, too, and a mask is made for them. Arrays may be int32 and come from
    any library. `generate` writes, where the model can. Thread-safe, picklable, usable after a fork.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.artifact, self.session, self.choice = loaded.artifact, loaded.session, loaded.choice
        self.precision, self.device = loaded.choice.precision, loaded.session.device

    @cached_property
    def config(self) -> Config:
        """The checkpoint's config: `id2label`, `label2id`, `model_type` and so on."""
        return artifact_config(self.artifact)

    @cached_property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer; None: the model takes no text."""
        tokenizer = self.loaded.tokenizer
        return None if tokenizer is None else PipelineTokenizer(self.artifact, tokenizer)

    def __call__(
        self,
        inputs: Any = None,
        text_pair: Any = None,
        *,
        truncation: Any = False,
        max_length: int | None = None,
        **arrays: Any,
    ) -> ModelOutputs:
        """Run the model.

        Args:
            inputs: a text or texts; what a tokenizer returned; or `input_ids`.
            text_pair: the second text of each pair.
            truncation: cut texts to the model's limit; without it, a longer one is refused.
            max_length: cut them to so many tokens.
            arrays: inputs of the graph by name: arrays (batch, tokens) of whole numbers, or lists.

        Raises:
            InputError: something else, or too long for the model.
        """
        rows, others = self._rows(inputs, text_pair, arrays, truncation=truncation, max_length=max_length)
        self._check_length(rows)
        if self._writes:
            return self._written_logits(rows, others)
        graph = self.artifact.manifest.graphs[self.artifact.manifest.graph_name("encoder")]
        known = [tensor.name for tensor in graph.inputs]
        for name in others:
            if name not in known:
                raise unknown_argument("This model", name, known, {})
        mask = others.pop("attention_mask", None)
        feeds: dict[str, NDArray[Any]] = {"input_ids": rows.array}
        for tensor in graph.inputs:
            if tensor.name == "attention_mask":
                feeds[tensor.name] = rows.mask(self._side) if mask is None else as_mask(tensor.name, mask)
            elif tensor.name in others:
                feeds[tensor.name] = as_rows(tensor.name, others[tensor.name], 0, self._side).array
            elif tensor.name in _ZEROS:
                feeds[tensor.name] = np.zeros_like(rows.array)
        return self._run(feeds, rows)

    def generate(
        self, inputs: Any = None, *, attention_mask: Any = None, streamer: Any = None, **settings: Any
    ) -> NDArray[np.int64]:
        """Write: token ids int64 (texts, tokens), the prompt's included, or after an encoder those that were written.

        Args:
            inputs: a text or texts; what a tokenizer returned; or `input_ids`.
            attention_mask: where arrays have tokens of their own.
            streamer: told every token of the one text: an object with `put` and `end`, as transformers' streamers.
            settings: those of generation, as transformers' `generate` takes them, and `input_ids`.

        Raises:
            InputError: the model does not write, or a setting is not possible.
        """
        if not self._writes:
            raise InputError(f"{self.artifact.folder}: this model reads and does not write: call it instead.")
        arrays = {"attention_mask": attention_mask, "input_ids": settings.pop("input_ids", None)}
        rows, others = self._rows(inputs, None, {name: row for name, row in arrays.items() if row is not None})
        self._check_names(others)
        return self._generated(rows, others.get("attention_mask"), settings, streamer)

    def save_pretrained(self, save_directory: str | Path) -> Path:
        """Copy the artifact, every variant of it, to a folder that is not there yet."""
        return save_artifact(self.artifact, save_directory)

    def eval(self) -> Self:
        """Itself: there is no training here."""
        return self

    def to(self, device: Any) -> Self:
        """Itself, if `device` is where it runs.

        Raises:
            InputError: it is another one.
        """
        if parse_device(device) != self.device:
            raise InputError(f"This model runs on {self.device}: open it again with device={str(device)!r}.")
        return self

    def close(self) -> None:
        """Free the model's memory, unless it is a pipeline's. The model cannot be called again."""
        self.loaded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return described(self.loaded, type(self).__name__)

    @property
    def _writes(self) -> bool:
        return any(graph.role == "decoder" for graph in self.artifact.manifest.graphs.values())

    @property
    def _side(self) -> str:
        return "right" if self.loaded.tokenizer is None else self.loaded.tokenizer.settings.padding_side

    @cached_property
    def _writer(self) -> Writer:
        from onnxpress.pipelines.writing import Writer

        return Writer(self.artifact, self.session, self.loaded.text_tokenizer(), {})

    def _rows(
        self, inputs: Any, text_pair: Any, arrays: Mapping[str, Any], **arguments: Any
    ) -> tuple[Rows, dict[str, Any]]:
        """The ids of the inputs, and the other arrays of the call."""
        others = translate(arrays, OF_MODEL_CALLS)
        if isinstance(inputs, Mapping):
            others = {**inputs, **others}
        elif _is_texts(inputs := _at_once(inputs)):
            others = {**self._tokenized(inputs, text_pair, **arguments), **others}
        elif inputs is not None:
            others["input_ids"] = inputs
        if "input_ids" not in others:
            if others:
                raise unknown_argument("This model", next(iter(others)), self._input_names, {})
            raise InputError('Nothing to read: pass a text, a list of texts, or input_ids=. (A string is "a text".)')
        pad = 0 if self.loaded.tokenizer is None else self.loaded.tokenizer.settings.pad_token_id
        rows = as_rows("input_ids", others.pop("input_ids"), pad, self._side)
        if not rows.array.size:
            raise InputError("input_ids holds no token.")
        if self.loaded.tokenizer is not None:
            self.loaded.tokenizer.check_ids(rows.array.ravel().tolist())
        return rows, others

    def _tokenized(self, inputs: Any, text_pair: Any, **arguments: Any) -> dict[str, Any]:
        if self.tokenizer is None:
            raise InputError(f"{self.artifact.folder}: it has no tokenizer: pass arrays.")
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        if not texts:
            raise InputError("There is no text in the list.")
        pairs = [text_pair] if isinstance(text_pair, str) else text_pair
        rows = self.tokenizer(texts, pairs, **arguments)
        return {name: row for name, row in rows.items() if name in self._input_names and name != "attention_mask"}

    @property
    def _input_names(self) -> frozenset[str]:
        """What the graphs read."""
        graphs = self.artifact.manifest.graphs.values()
        return frozenset(tensor.name for graph in graphs for tensor in graph.inputs)

    def _check_names(self, others: Mapping[str, Any], more: Sequence[str] = ()) -> None:
        """Refuse arrays that a model that writes does not read, and would be left out in silence."""
        known = ("input_ids", "attention_mask", *more)
        for name in others:
            if name not in known:
                raise unknown_argument("This model", name, known, {})

    def _check_length(self, rows: Rows) -> None:
        limit = None if self.loaded.tokenizer is None else self.loaded.tokenizer.settings.max_length
        if limit is not None and rows.array.shape[1] > limit:
            raise InputError(
                f"The text has {rows.array.shape[1]} tokens, the model takes at most {limit}. Pass truncation=True to "
                "cut it, or split it."
            )

    def _run(self, feeds: Mapping[str, NDArray[Any]], rows: Rows) -> ModelOutputs:
        name = self.artifact.manifest.graph_name("encoder")
        dtypes = {tensor.name: tensor.dtype for tensor in self.artifact.manifest.graphs[name].inputs}
        feeds = {key: array.astype(dtypes[key], copy=False) for key, array in feeds.items()}
        for input_name, array in feeds.items():
            if array.shape != rows.array.shape:
                raise _unlike(input_name, array, rows)
        if self.artifact.manifest.padding or len(set(rows.lengths)) == 1:
            return ModelOutputs(self.session.run(feeds, graph=name))
        # Padding changes what this model answers: each row runs alone.
        spans = [slice(0, n) if self._side == "right" else slice(rows.array.shape[1] - n, None) for n in rows.lengths]
        parts = [
            self.session.run({key: array[index : index + 1, span] for key, array in feeds.items()}, graph=name)
            for index, span in enumerate(spans)
        ]
        return ModelOutputs({key: joined([part[key] for part in parts], self._side) for key in parts[0]})

    def _written_logits(self, rows: Rows, others: Mapping[str, Any]) -> ModelOutputs:
        """What may follow each token: float32 (batch, tokens, vocabulary), zeros at padding."""
        self._check_names(others, ("decoder_input_ids", "decoder_attention_mask") if self._writer.encodes else ())
        texts = _own_tokens(rows, others.get("attention_mask"), self._side)
        prompts = texts
        if self._writer.encodes:
            if others.get("decoder_input_ids") is None:
                raise InputError("This model writes about what it reads: pass decoder_input_ids, or call generate.")
            begun = as_rows("decoder_input_ids", others["decoder_input_ids"], 0, "right")
            prompts = _own_tokens(begun, others.get("decoder_attention_mask"), "right")
            table = self.session.bounds.get(self.artifact.manifest.graph_name("decoder"), {})
            for ids in prompts:
                for count in table.values():
                    check_rows("decoder_input_ids", np.array(ids), count)
        decoder = self._writer.decoder(texts, max(map(len, prompts)))
        try:
            logits = [decoder.prefill(row, ids, keep=len(ids))[None] for row, ids in enumerate(prompts)]
        finally:
            decoder.close()
        return ModelOutputs({"logits": joined(logits, "right" if self._writer.encodes else self._side)})

    def _generated(self, rows: Rows, mask: Any, settings: Mapping[str, Any], streamer: Any) -> NDArray[np.int64]:
        from onnxpress.pipelines.collators import token_sample

        call = self._writer.call(settings)
        samples = [token_sample(ids) for ids in _own_tokens(rows, mask, self._side)]
        texts = self._writer.write(samples, call, streamer)
        flat = [text for several in texts for text in several]
        repeats = len(flat) // len(samples)
        if self._writer.encodes:
            begins = np.array([self._writer.begin(call)] * len(flat), np.int64)
        else:
            begins = np.repeat(rows.array, repeats, axis=0)
        config = call.config
        pad = next((n for n in (config.pad_token_id, *config.eos_token_id) if n is not None), 0)
        longest = max(len(text.ids) for text in flat)
        written = np.full((len(flat), longest), pad, np.int64)
        for target, text in zip(written, flat, strict=True):
            target[: len(text.ids)] = text.ids
        return np.concatenate([begins, written], axis=1)


def described(loaded: LoadedModel, name: str) -> str:
    """What a repr tells: the task, where the model is from, the variant, the device, the threads."""
    session = loaded.session
    threads = "all cores" if session.threads is None else str(session.threads)
    source = loaded.artifact.folder if loaded.artifact.snapshot is None else loaded.artifact.snapshot.repo_id
    return (
        f"{name}(task={loaded.task.name!r}, model={str(source)!r}, precision={loaded.choice.precision!r}, "
        f"device={session.device!r}, threads={threads})"
    )


def _at_once(inputs: Any) -> Any:
    """Texts of a column, or that come one after the other, as a list; arrays and everything else as they are."""
    inputs = listed(inputs)
    return list(inputs) if isinstance(inputs, Iterator) else inputs


def _is_texts(inputs: Any) -> bool:
    return isinstance(inputs, str) or (isinstance(inputs, (list, tuple)) and any(isinstance(x, str) for x in inputs))


def _own_tokens(rows: Rows, mask: Any, side: str) -> list[list[int]]:
    """Each row without its padding."""
    inside = (rows.mask(side) if mask is None else as_mask("attention_mask", mask)).astype(bool)
    if inside.shape != rows.array.shape:
        raise _unlike("attention_mask", inside, rows)
    return [ids[inner].tolist() for ids, inner in zip(rows.array, inside, strict=True)]


def _unlike(name: str, array: NDArray[Any], rows: Rows) -> InputError:
    return InputError(f"{name} is {array.shape}, and input_ids {rows.array.shape}: they must be alike.")
