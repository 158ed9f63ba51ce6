"""How PyTorch is called for each task of encoders: a batch of items -> their answers, in the pipeline's schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.backends import BackendSpec, pair_of, text_of
from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.pytorch_checkpoint import load, load_config, load_reader, without_gradients
from onnxpress_bench.workloads import PICTURES
from onnxpress_bench.workloads.pictures import open_image

if TYPE_CHECKING:
    from torch import Tensor

#: The items of one batch -> their answers.
Call = Callable[[list[Any]], Sequence[Any]]

#: Spec, tokenizer and model, as it is to be called -> the call.
Maker = Callable[[BackendSpec, Any, Any], Call]


def open_call(spec: BackendSpec) -> tuple[Any, Call]:
    """The model, and how its task calls it, without gradients."""
    import torch

    if spec.settings.get("pipeline") or spec.task not in _DIRECT:
        return (_pooled_pipeline if spec.task == "sentence-similarity" else _pipeline)(spec)
    tokenizer, model = load(spec)
    run = torch.compile(model) if spec.settings.get("compile") else model
    return model, without_gradients(_DIRECT[spec.task](spec, tokenizer, run))


def _pipeline(spec: BackendSpec, task: str | None = None) -> tuple[Any, Call]:
    import torch
    import transformers

    pipe: Any = transformers.pipeline(
        task or spec.task,  # type: ignore[call-overload]
        model=spec.folder,
        device=spec.device,
        dtype=getattr(torch, spec.settings.get("dtype", "float32")),
        trust_remote_code=spec.settings["trust_remote_code"],
        **({"image_processor" if spec.task in PICTURES else "tokenizer": load_reader(spec)}),
        **load_config(spec),
    )

    def call(items: list[Any]) -> Sequence[Any]:
        if len(items) == 1:
            return [pipe(items[0], **spec.options)]
        return list(pipe(items, batch_size=len(items), **spec.options))

    return pipe.model, call


def _pooled_pipeline(spec: BackendSpec) -> tuple[Any, Call]:
    """Embeddings through transformers' nearest pipeline: hidden states, pooled and normalized by hand."""
    import numpy as np

    Runner.check(spec)
    settings = spec.settings["embedding"]
    model, pipe = _pipeline(replace(spec, options={"return_tensors": True}), "feature-extraction")

    def embed(item: Any) -> Any:
        states = np.asarray(pipe([item])[0], dtype=np.float32)[0]
        vector = states.mean(axis=0) if settings["pooling"] == ["mean"] else states[0]
        return vector / np.linalg.norm(vector) if settings["normalize"] else vector

    # The pipeline returns padding as well, so that a batch cannot be pooled: one at a time.
    return model, lambda items: list(map(embed, items))


def _feature_extraction(spec: BackendSpec, tokenizer: Any, model: Any) -> Call:
    def call(items: list[Any]) -> Sequence[Any]:
        inputs = tokenizer(items, padding=True, truncation=True, return_tensors="pt").to(spec.device)
        hidden = model(**inputs).last_hidden_state.float().cpu()
        masks = inputs["attention_mask"].bool().cpu()
        return [row[mask][None].numpy() for row, mask in zip(hidden, masks, strict=True)]

    return call


def _image_classification(spec: BackendSpec, processor: Any, model: Any) -> Call:
    labels = model.config.id2label
    sigmoid = spec.settings["function_to_apply"] == "sigmoid"

    def call(items: list[Any]) -> Sequence[Any]:
        inputs = processor([open_image(item) for item in items], return_tensors="pt").to(spec.device)
        logits = model(**inputs).logits.float()
        rows = (logits.sigmoid() if sigmoid else logits.softmax(dim=-1)).cpu()
        return [[{"label": labels[i], "score": float(row[i])} for i in _best_first(row)] for row in rows]

    return call


def _text_classification(spec: BackendSpec, tokenizer: Any, model: Any) -> Call:
    import torch

    labels = model.config.id2label
    functions: Mapping[str, Callable[[Tensor], Tensor]] = {
        "softmax": lambda logits: torch.softmax(logits, dim=-1),
        "sigmoid": torch.sigmoid,
        "none": lambda logits: logits,
    }
    activate = functions[spec.settings["function_to_apply"]]

    def call(items: list[Any]) -> Sequence[Any]:
        first, second = [text_of(item) for item in items], [pair_of(item) for item in items]
        pairs = None if None in second else second
        inputs = tokenizer(first, pairs, padding=True, truncation=True, return_tensors="pt").to(spec.device)
        rows = activate(model(**inputs).logits.float()).cpu()
        return [[{"label": labels[i], "score": float(row[i])} for i in _best_first(row)] for row in rows]

    return call


def _sentence_similarity(spec: BackendSpec, tokenizer: Any, model: Any) -> Call:
    """Prompt, encoder, pooling, the layers after it, normalization, as the sentence-transformers files say."""
    import torch

    settings = spec.settings["embedding"]
    head = _head(spec, model) if spec.settings["has_head"] else None
    prompt = settings["prompts"].get(settings["default_prompt_name"], "")
    limit = min(n for n in (settings["max_length"], spec.settings["max_length"], 1 << 30) if n)
    skip = 0
    if prompt and not settings["include_prompt"]:
        ids = tokenizer(prompt).input_ids
        skip = len(ids) - (ids[-1] in tokenizer.all_special_ids)

    def call(texts: list[Any]) -> Sequence[Any]:
        prompted = [prompt + text for text in texts]
        prompted = [text.lower() for text in prompted] if settings["do_lower_case"] else prompted
        inputs = tokenizer(prompted, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        inputs = inputs.to(spec.device)
        hidden = model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"].clone()
        mask[:, :skip] = 0
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        vectors = torch.cat([_POOLINGS[mode](hidden, weights) for mode in settings["pooling"]], dim=-1)
        vectors = vectors if head is None else head(vectors)["sentence_embedding"]
        vectors = vectors[:, : settings["truncate_dimensions"] or vectors.shape[1]]
        vectors = torch.nn.functional.normalize(vectors, dim=-1) if settings["normalize"] else vectors
        return list(vectors.cpu().numpy())

    return call


def _head(spec: BackendSpec, model: Any) -> Any:
    from onnxpress_exporter.source.sentence_transformers import read_sentence_settings
    from onnxpress_exporter.tasks.outputs import hidden_size
    from onnxpress_exporter.tasks.sentence_head import load_sentence_head

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


def _encode_beside(
    spec: BackendSpec, tokenizer: Any, items: list[Any], text: str, others: str
) -> tuple[Any, list[int]]:
    """Each item's field `text` beside all texts of its field `others`, as one batch of pairs, int64 (pairs, sequence)
    by name; and how many of the pairs are each item's."""
    first, second = zip(*((item[text], other) for item in items for other in item[others]), strict=True)
    limit = spec.settings["max_length"]
    inputs = tokenizer(list(first), list(second), padding=True, truncation=True, max_length=limit, return_tensors="pt")
    return inputs.to(spec.device), [len(item[others]) for item in items]


def _text_ranking(spec: BackendSpec, tokenizer: Any, model: Any) -> Call:
    """The documents of a query as one batch; best first, as a cross-encoder's `rank`."""
    plain = spec.settings["function_to_apply"] == "none"

    def call(items: list[Any]) -> Sequence[Any]:
        inputs, counts = _encode_beside(spec, tokenizer, items, "query", "documents")
        logits = model(**inputs).logits[:, 0].float().cpu()
        scores = logits if plain else logits.sigmoid()
        return [[{"index": i, "score": float(row[i])} for i in _best_first(row)] for row in scores.split(counts)]

    return call


def _multiple_choice(spec: BackendSpec, tokenizer: Any, model: Any) -> Call:
    """All pairs as choices of one prompt, which is one batch to the model; the softmax is over each prompt's own."""

    def call(items: list[Any]) -> Sequence[Any]:
        inputs, counts = _encode_beside(spec, tokenizer, items, "prompt", "choices")
        logits = model(**{name: ids[None] for name, ids in inputs.items()}).logits[0].float().cpu()
        answers = []
        for item, row in zip(items, logits.split(counts), strict=True):
            scores, choices = row.softmax(dim=0), item["choices"]
            answers.append([{"index": i, "choice": choices[i], "score": float(scores[i])} for i in _best_first(scores)])
        return answers

    return call


def _best_first(scores: Tensor) -> list[int]:
    """Places of float32 (n), ties in their order."""
    places: list[int] = scores.argsort(descending=True, stable=True).tolist()
    return places


def _question_answering(spec: BackendSpec, tokenizer: Any, model: Any) -> Call:
    """The most probable span. Contexts fit the model's limit here, so that there is one window each.

    transformers 5 has no such pipeline: the span arithmetic is that of version 4, as the runtime has it.
    """
    from onnxpress.pipelines.spans import Window, best_spans, null_score, probabilities

    def call(items: list[Any]) -> Sequence[Any]:
        first, second = [item["question"] for item in items], [item["context"] for item in items]
        inputs = tokenizer(first, second, padding=True, return_tensors="pt")
        outputs = model(**inputs.to(spec.device))
        answers = []
        for index, item in enumerate(items):
            window = Window.of(inputs.encodings[index], context_side=1, cls=tokenizer.cls_token_id)
            logits = (side[index].float().cpu().numpy() for side in (outputs.start_logits, outputs.end_logits))
            start, end = (probabilities(window, side) for side in logits)
            by_text: dict[str, dict[str, Any]] = {}
            for span in best_spans(window, start, end, 12, 15):  # one answer, ten to spare, as version 4 has it
                low, high = window.characters(span.start, span.end, True)
                text = item["context"][low:high]
                entry = by_text.setdefault(text.lower(), {"score": 0.0, "start": low, "end": high, "answer": text})
                entry["score"] += float(span.score)
            if spec.options.get("handle_impossible_answer"):
                none = {"score": null_score(window, start, end), "start": 0, "end": 0, "answer": ""}
                by_text[""] = max(none, by_text.get("", none), key=lambda entry: float(entry["score"]))
            answers.append(max(by_text.values(), key=lambda entry: entry["score"]))
        return answers

    return call


#: task -> how its model is called directly. Others go through transformers' pipelines.
_DIRECT: Mapping[str, Maker] = {
    "feature-extraction": _feature_extraction,
    "image-classification": _image_classification,
    "multiple-choice": _multiple_choice,
    "question-answering": _question_answering,
    "sentence-similarity": _sentence_similarity,
    "text-classification": _text_classification,
    "text-ranking": _text_ranking,
}
