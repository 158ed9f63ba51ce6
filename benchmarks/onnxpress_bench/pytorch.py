"""PyTorch in float32, eager, with transformers' tokenizer: the backend that the others are compared with.

Where transformers has a pipeline for the task, that pipeline is what runs. For the three tasks it has none for, the
model is called directly, as its documentation shows. The only importer of torch and transformers here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.backends import BackendSpec, Batching, weight

if TYPE_CHECKING:
    from torch import Tensor

#: Items and rows in a batch -> answers in order.
Call = Callable[[list[Any], int], Sequence[Any]]


class PyTorch:
    """The checkpoint that an artifact was made from."""

    #: For throughput the pilot takes the fastest of these.
    batchings: Sequence[Batching] = (Batching(1), Batching(8), Batching(8, sort=True), Batching(32, sort=True))

    def __init__(self, spec: BackendSpec) -> None:
        self._spec = spec
        self._call: Call = _not_loaded

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        from onnxpress_exporter.checkpoint import open_checkpoint

        settings = spec.settings
        found = open_checkpoint(
            spec.folder,
            revision=settings["revision"],
            allow_pickled_weights=settings["allow_pickled_weights"],
            trust_remote_code=settings["trust_remote_code"],
        )
        own = {"root": str(found.folder), "weights_sha256": _weights_sha256(found.model_folder)}
        return replace(spec, folder=str(found.model_folder), settings={**settings, **own})

    def load_libraries(self) -> None:
        import torch
        import transformers  # noqa: F401

        torch.set_num_threads(self._spec.threads)

    def load(self) -> None:
        self._call = _DIRECT.get(self._spec.task, _pipeline)(self._spec)

    def one(self, item: Any) -> Any:
        return self._call([item], 1)[0]

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        order = list(range(len(items)))
        if batching.sort:
            order.sort(key=lambda index: weight(items[index]))
        answers = self._call([items[index] for index in order], batching.rows or 1)
        return [answer for _, answer in sorted(zip(order, answers, strict=True), key=lambda pair: pair[0])]


def _weights_sha256(folder: Path) -> str | None:
    """Of the weights, if they are one file: what an artifact records of them. None otherwise."""
    weights = list(folder.glob("model*.safetensors")) or list(folder.glob("pytorch_model*.bin"))
    if len(weights) != 1:
        return None
    with weights[0].open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _not_loaded(items: list[Any], rows: int) -> Sequence[Any]:
    raise RuntimeError("load() comes first")


def _pipeline(spec: BackendSpec) -> Call:
    import torch
    import transformers

    pipe: Any = transformers.pipeline(
        spec.task,  # type: ignore[call-overload]
        model=spec.folder,
        device="cpu",
        dtype=torch.float32,
        trust_remote_code=spec.settings["trust_remote_code"],
    )

    def call(items: list[Any], rows: int) -> Sequence[Any]:
        if len(items) == 1:
            return [pipe(items[0], **spec.options)]
        return list(pipe(items, batch_size=rows, **spec.options))

    return call


def _load(spec: BackendSpec, auto_class: str) -> tuple[Any, Any]:
    import torch
    import transformers

    trust = spec.settings["trust_remote_code"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(spec.folder, trust_remote_code=trust)
    loader = getattr(transformers, auto_class)
    model = loader.from_pretrained(spec.folder, dtype=torch.float32, trust_remote_code=trust)
    return tokenizer, model.eval()


def _batches(run: Callable[[list[Any]], Sequence[Any]]) -> Call:
    """Cut into batches, without gradients."""

    def call(items: list[Any], rows: int) -> Sequence[Any]:
        import torch

        with torch.inference_mode():
            return [answer for i in range(0, len(items), rows) for answer in run(items[i : i + rows])]

    return call


def _sentence_similarity(spec: BackendSpec) -> Call:
    """Prompt, encoder, pooling, the layers after it, normalization, as the sentence-transformers files say."""
    import torch

    settings = spec.settings["embedding"]
    architecture = spec.settings["architecture"]
    tokenizer, model = _load(spec, architecture if architecture.endswith("EncoderModel") else "AutoModel")
    head = _head(spec, model) if spec.settings["has_head"] else None
    prompt = settings["prompts"].get(settings["default_prompt_name"], "")
    limit = min(n for n in (settings["max_length"], spec.settings["max_length"], 1 << 30) if n)
    skip = 0
    if prompt and not settings["include_prompt"]:
        ids = tokenizer(prompt).input_ids
        skip = len(ids) - (ids[-1] in tokenizer.all_special_ids)

    def run(texts: list[Any]) -> Sequence[Any]:
        given = [prompt + text for text in texts]
        given = [text.lower() for text in given] if settings["do_lower_case"] else given
        inputs = tokenizer(given, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].clone()
        mask[:, :skip] = 0
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        vectors = torch.cat([_POOLINGS[mode](hidden, weights) for mode in settings["pooling"]], dim=-1)
        if head is not None:
            vectors = head(vectors)["sentence_embedding"]
        vectors = vectors[:, : settings["truncate_dimensions"] or vectors.shape[1]]
        if settings["normalize"]:
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return list(vectors.numpy())

    return _batches(run)


def _head(spec: BackendSpec, model: Any) -> Any:
    from onnxpress_exporter.sentence import read_sentence_settings
    from onnxpress_exporter.specs.sentence_head import load_sentence_head
    from onnxpress_exporter.specs.text_encoder import hidden_size

    settings = read_sentence_settings(Path(spec.settings["root"]), hidden_size(model))
    return load_sentence_head(settings, allow_pickled_weights=spec.settings["allow_pickled_weights"])


def _last(hidden: Tensor, weights: Tensor) -> Tensor:
    positions = weights.squeeze(-1).cumsum(dim=1).argmax(dim=1)
    return hidden[range(len(hidden)), positions]


#: hidden: float32 (batch, sequence, hidden); weights: float32 (batch, sequence, 1), 0 where padding is.
_POOLINGS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": lambda hidden, weights: hidden[range(len(hidden)), weights.squeeze(-1).argmax(dim=1)],
    "lasttoken": _last,
    "max": lambda hidden, weights: hidden.masked_fill(weights == 0, float("-inf")).amax(dim=1),
    "mean": lambda hidden, weights: (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9),
    "mean_sqrt_len_tokens": lambda hidden, weights: (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9).sqrt(),
    "weightedmean": lambda hidden, weights: _POOLINGS["mean"](hidden, weights * weights.cumsum(dim=1)),
}


def _text_ranking(spec: BackendSpec) -> Call:
    """All documents of a query in batches; best first, as a cross-encoder's `rank`."""
    import torch

    tokenizer, model = _load(spec, "AutoModelForSequenceClassification")
    activate = (lambda x: x) if spec.settings["function_to_apply"] == "none" else torch.sigmoid

    def score(pairs: list[Any]) -> Sequence[float]:
        first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        limit = spec.settings["max_length"]
        inputs = tokenizer(first, second, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        scores: list[float] = activate(model(**inputs).logits[:, 0]).tolist()
        return scores

    def call(items: list[Any], rows: int) -> Sequence[Any]:
        pairs = [(item["query"], document) for item in items for document in item["documents"]]
        # One query alone is answered at once: its documents are a batch already.
        scores = iter(_batches(score)(pairs, max(rows, len(items[0]["documents"]))))
        answers = []
        for item in items:
            own = [(next(scores), index) for index in range(len(item["documents"]))]
            own.sort(key=lambda pair: (-pair[0], pair[1]))
            answers.append([{"index": index, "score": value} for value, index in own])
        return answers

    return call


def _question_answering(spec: BackendSpec) -> Call:
    """The most probable span. Contexts fit the model's limit here, so that there is one window each.

    transformers 5 has no such pipeline: the span arithmetic is that of version 4, as the runtime has it.
    """
    from onnxpress.tasks.spans import Window, best_spans, probabilities

    tokenizer, model = _load(spec, "AutoModelForQuestionAnswering")

    def run(items: list[Any]) -> Sequence[Any]:
        first, second = [item["question"] for item in items], [item["context"] for item in items]
        inputs = tokenizer(first, second, padding=True, return_tensors="pt")
        outputs = model(**inputs)
        answers = []
        for index, item in enumerate(items):
            window = Window.of(inputs.encodings[index], context_side=1, cls=tokenizer.cls_token_id)
            logits = (outputs.start_logits[index].numpy(), outputs.end_logits[index].numpy())
            start, end = (probabilities(window, one) for one in logits)
            found: dict[str, dict[str, Any]] = {}
            for span in best_spans(window, start, end, 12, 15):  # one answer, ten to spare, as version 4 has it
                low, high = window.characters(span.start, span.end, True)
                text = item["context"][low:high]
                entry = found.setdefault(text.lower(), {"score": 0.0, "start": low, "end": high, "answer": text})
                entry["score"] += float(span.score)
            answers.append(max(found.values(), key=lambda entry: entry["score"]))
        return answers

    return _batches(run)


#: task -> how its model is called where transformers has no pipeline.
_DIRECT: Mapping[str, Callable[[BackendSpec], Call]] = {
    "question-answering": _question_answering,
    "sentence-similarity": _sentence_similarity,
    "text-ranking": _text_ranking,
}
