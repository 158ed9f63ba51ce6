"""The committed checkpoints of models/: small, plain, loadable, and right on held-out examples.

Every answer comes from transformers (or sentence-transformers) directly: this is what the
exporter's results are compared with elsewhere.
"""

from __future__ import annotations

import json
import tomllib
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers
from PIL import Image

from onnxpress.audio.voice import WEIGHTS
from onnxpress_exporter.judging.boxes import average_precision
from onnxpress_exporter.judging.figures import edit_distance

MODELS = Path(__file__).resolve().parents[2] / "models"
RECORDS = tuple(sorted(path.stem for path in MODELS.glob("*.toml")))
#: Those that are checkpoints of transformers; the runtime has others with it.
NAMES = tuple(name for name in RECORDS if (MODELS / name / "config.json").exists())
TASKS = {
    "text-classification",
    "token-classification",
    "question-answering",
    "fill-mask",
    "zero-shot-classification",
    "text-ranking",
    "sentence-similarity",
    "text-generation",
    "translation",
    "image-classification",
    "image-segmentation",
    "object-detection",
    "audio-classification",
    "automatic-speech-recognition",
    "image-to-text",
    "zero-shot-image-classification",
}
OF_PICTURES = {"image-classification", "image-segmentation", "object-detection"}
OF_SOUNDS = {"audio-classification", "automatic-speech-recognition"}
WITHOUT_TEXT = OF_PICTURES | OF_SOUNDS
DESCRIBING = {"image-to-text"}
GENERATING = {"text-generation", "translation", *DESCRIBING}
# What transformers' own Marian tokenizer says of a package that changes nothing in plain English.
pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
AWKWARD = ("", " ", "日本語のテキスト", "שלום עולם", "🤗👩‍👩‍👧 naïve café", "a\u0000b\n\tc", "x" * 2000)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    """Tiny matrices: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def record(name: str) -> dict[str, Any]:
    return tomllib.loads((MODELS / f"{name}.toml").read_text(encoding="utf-8"))


def rows(name: str, count: int, file: str = "examples.jsonl") -> list[dict[str, Any]]:
    with (MODELS / name / file).open(encoding="utf-8") as lines:
        return [json.loads(line) for _, line in zip(range(count), lines, strict=False)]


def writes(name: str) -> bool:
    """Whether it writes text, token after token."""
    return record(name)["task"] in GENERATING or record(name)["architecture"].endswith("ForConditionalGeneration")


def load(name: str) -> tuple[Any, Any]:
    """The model of the class that config.json names, and its tokenizer."""
    architecture = json.loads((MODELS / name / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(MODELS / name)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(MODELS / name)


def share(right: Iterable[object]) -> float:
    """How many of the answers are right, of 1."""
    marks = [bool(one) for one in right]
    return sum(marks) / len(marks)


@torch.no_grad()
def run(model: Any, tokenizer: Any, *texts: Any, **settings: Any) -> Any:
    return model(**tokenizer(*texts, padding=True, truncation=True, return_tensors="pt", **settings))


def test_every_task_has_a_model_and_five_architectures_occur() -> None:
    records = [record(name) for name in NAMES]
    assert {row["task"] for row in records} == TASKS
    assert len({row["architecture"].split("For")[0] for row in records}) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_checkpoint_is_small_and_plain(name: str) -> None:
    folder = MODELS / name
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    tokenizer = {"source.spm", "target.spm", "vocab.json"} if "source.spm" in files else {"tokenizer.json"}
    reads_text = record(name)["task"] not in WITHOUT_TEXT
    processor = {"preprocessor_config.json"} if not reads_text else {"tokenizer_config.json", *tokenizer}
    if record(name)["task"] == "automatic-speech-recognition":
        processor |= {"tokenizer_config.json", "tokenizer.json" if writes(name) else "vocab.json"}
    assert {"config.json", "model.safetensors", *processor} <= files
    assert ("generation_config.json" in files) == writes(name)
    assert {Path(file).suffix for file in files} <= {".json", ".jsonl", ".safetensors", ".jinja", ".spm"}
    assert sum((folder / file).stat().st_size for file in files) < 2_000_000
    assert (folder / "model.safetensors").stat().st_size == record(name)["size_bytes"]


@pytest.mark.parametrize("name", RECORDS)
def test_measured_metric_reaches_its_target(name: str) -> None:
    heldout = record(name)["heldout"]
    sign = -1 if heldout.get("lower_is_better") else 1
    assert sign * heldout["measured"][heldout["metric"]] >= sign * heldout["target"]


def test_the_net_that_hears_voices_is_the_one_of_its_record() -> None:
    assert set(RECORDS) - set(NAMES) == {"tiny-voice"}
    assert WEIGHTS.stat().st_size == record("tiny-voice")["size_bytes"] < 100_000


@pytest.mark.parametrize("name", [name for name in NAMES if record(name)["task"] in GENERATING - DESCRIBING])
def test_a_generating_model_ends_after_any_text(name: str) -> None:
    model, tokenizer = load(name)
    assert model.dtype == torch.float32
    texts = [text[:100] for text in AWKWARD if text.strip()]
    side = "right" if model.config.is_encoder_decoder else "left"
    inputs = tokenizer(texts, padding=True, padding_side=side, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    found = model.generate(**inputs, max_new_tokens=24)
    assert found.shape[0] == len(texts)
    assert all(isinstance(text, str) for text in tokenizer.batch_decode(found))


@pytest.mark.parametrize("name", [name for name in NAMES if record(name)["task"] not in GENERATING | WITHOUT_TEXT])
def test_loads_with_auto_classes_and_survives_any_text(name: str) -> None:
    model, tokenizer = load(name)
    model = getattr(model, "text_model", model)
    assert tokenizer.is_fast
    assert tokenizer.backend_tokenizer is not None
    limit = tokenizer.model_max_length
    assert limit <= record(name)["max_length_tokens"] <= model.config.max_position_embeddings
    output = run(model, tokenizer, list(AWKWARD))
    assert torch.isfinite(output[0]).all()
    assert torch.isfinite(run(model, tokenizer, ["x" * 2000], ["y " * 200])[0]).all()


def _label(name: str) -> float:
    model, tokenizer = load(name)
    examples = rows(name, 48)
    pairs = [[row["text_pair"] for row in examples]] if "text_pair" in examples[0] else []
    best = run(model, tokenizer, [row["text"] for row in examples], *pairs).logits.argmax(-1)
    right = [model.config.id2label[int(i)] == row["label"] for i, row in zip(best, examples, strict=True)]
    return share(right)


def _digit(name: str) -> float:
    pipe = transformers.pipeline("image-classification", model=str(MODELS / name))
    examples = rows(name, 160)
    answers = pipe([row["image"] for row in examples], top_k=1, batch_size=32)
    return share(best["label"] == row["label"] for (best,), row in zip(answers, examples, strict=True))


def _named_shape(name: str) -> float:
    pipe = transformers.pipeline("zero-shot-image-classification", model=str(MODELS / name))
    examples = rows(name, 48)
    labels = sorted({row["label"] for row in examples})
    answers = pipe([row["image"] for row in examples], candidate_labels=labels)
    return share(best["label"] == row["label"] for (best, *_), row in zip(answers, examples, strict=True))


def _sound(name: str) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bands without a frequency
        pipe = transformers.pipeline("audio-classification", model=str(MODELS / name))
    examples = rows(name, 60)
    sounds = [soundfile.read(BytesIO(b64decode(row["audio"].partition(",")[2])))[0] for row in examples]
    answers = pipe(sounds, top_k=1)
    return share(best["label"] == row["label"] for (best,), row in zip(answers, examples, strict=True))


def _heard(name: str) -> float:
    """The share of words that are right."""
    pipe = transformers.pipeline("automatic-speech-recognition", model=str(MODELS / name))
    searched = {"generate_kwargs": {"num_beams": 1}} if writes(name) else {}
    examples = rows(name, 12 if writes(name) else 30)
    wrong = 0
    for row in examples:
        sound = soundfile.read(BytesIO(b64decode(row["audio"].partition(",")[2])), dtype="float32")[0]
        wrong += edit_distance(row["text"].split(), pipe(sound, **searched)["text"].split())
    return 1 - wrong / sum(len(row["text"].split()) for row in examples)


def _shapes(name: str) -> float:
    """The share of pixels that have the right label."""
    pipe = transformers.pipeline("image-segmentation", model=str(MODELS / name))
    labels, right = list(pipe.model.config.id2label.values()), []
    for row in rows(name, 32):
        places = np.asarray(Image.open(BytesIO(b64decode(row["mask"].partition(",")[2]))))
        for segment in pipe(row["image"]):
            inside = np.asarray(segment["mask"]) > 0
            right.append((inside & (places == labels.index(segment["label"]))).sum() / places.size)
    return float(sum(right)) / 32


def _boxes(name: str) -> float:
    """Average precision at half of the union."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a width that an original's own kernel is slower with
        pipe = transformers.pipeline("object-detection", model=str(MODELS / name))
    examples = rows(name, 48)
    answers = [pipe(row["image"], threshold=0.0) for row in examples]
    return average_precision(answers, [row["objects"] for row in examples])["mAP@.5"]


def _labels(name: str) -> float:
    model, tokenizer = load(name)
    examples = rows(name, 48)
    assert model.config.problem_type == "multi_label_classification"
    on = run(model, tokenizer, [row["text"] for row in examples]).logits > 0
    found = [{model.config.id2label[int(i)] for i in row.nonzero()} for row in on]
    return share(f == set(row["labels"]) for f, row in zip(found, examples, strict=True))


def _number(name: str) -> float:
    model, tokenizer = load(name)
    examples = rows(name, 48)
    assert model.config.problem_type == "regression"
    found = run(model, tokenizer, [row["text"] for row in examples]).logits[:, 0]
    gold = torch.tensor([row["score"] for row in examples])
    return float(torch.corrcoef(torch.stack([found, gold]))[0, 1])


def _entities(name: str) -> float:
    pipe = transformers.pipeline("token-classification", model=str(MODELS / name), aggregation_strategy="simple")
    hits, total = 0, 0
    for row in rows(name, 24):
        found = {(e["start"], e["end"], e["entity_group"]) for e in pipe(row["text"])}
        gold = {(e["start"], e["end"], e["label"]) for e in row["entities"]}
        assert all(row["text"][e["start"] : e["end"]] == e["text"] for e in row["entities"])
        hits, total = hits + 2 * len(found & gold), total + len(found) + len(gold)
    return hits / total


def _answer(name: str) -> float:
    model, tokenizer = load(name)
    right = []
    examples = rows(name, 32)
    assert {bool(row["answers"]["text"]) for row in examples} == {True, False}
    for row in examples:
        encoded = tokenizer(row["question"], row["context"], return_offsets_mapping=True)
        output = run(model, tokenizer, [row["question"]], [row["context"]])
        start, end = int(output.start_logits.argmax()), int(output.end_logits.argmax())
        first, last = encoded["offset_mapping"][start][0], encoded["offset_mapping"][end][1]
        found = row["context"][first:last].strip() if start else ""
        right.append(found == (row["answers"]["text"] or [""])[0])
    return share(right)


def _word(name: str) -> float:
    model, tokenizer = load(name)
    examples = rows(name, 48)
    texts = [row["text"] for row in examples]
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    best = run(model, tokenizer, texts).logits[encoded["input_ids"] == tokenizer.mask_token_id]
    words = [tokenizer.decode([int(i)]).strip() for i in best.argmax(-1)]
    return share(w == row["target"] for w, row in zip(words, examples, strict=True))


def _zero_shot(name: str) -> float:
    pipe = transformers.pipeline("zero-shot-classification", model=str(MODELS / name))
    examples = rows(name, 16, "zero-shot.jsonl")
    found = [pipe(row["text"], row["candidate_labels"])["labels"][0] for row in examples]
    return share(f == row["label"] for f, row in zip(found, examples, strict=True))


def _reciprocal_rank(name: str) -> float:
    model, tokenizer = load(name)
    assert model.config.sentence_transformers["activation_fn"].endswith("Identity")
    total = 0.0
    examples = rows(name, 16)
    for row in examples:
        documents = row["documents"]
        scores = run(model, tokenizer, [row["query"]] * len(documents), documents).logits[:, 0]
        total += 1 / (1 + scores.argsort(descending=True).tolist().index(row["relevant"][0]))
    return total / len(examples)


def _nearest(name: str) -> float:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(str(MODELS / name), device="cpu")
    examples = rows(name, 48)
    left = model.encode([row["query"] for row in examples], prompt_name="query")
    right = model.encode([row["document"] for row in examples], prompt_name="document")
    assert left.shape == (48, 64)
    assert abs((left**2).sum(-1) - 1).max() < 1e-5
    return float(((left @ right.T).argmax(-1) == range(48)).mean())


def _chat(name: str) -> float:
    model, tokenizer = load(name)
    examples = rows(name, 96)
    prompts = [
        tokenizer.apply_chat_template(row["messages"], tokenize=False, add_generation_prompt=True) for row in examples
    ]
    assert all(prompt.endswith("<|im_start|>assistant\n") for prompt in prompts)
    inputs = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
    ids = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
    assert (ids == tokenizer.eos_token_id).any(1).all(), "an answer does not end"
    found = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return share(f == row["answer"] for f, row in zip(found, examples, strict=True))


def _documentation(name: str) -> float:
    """How many times likelier than chance the model finds the tokens of held-out docstrings, as bits of all bits."""
    model, tokenizer = load(name)
    lost = count = 0.0
    with torch.no_grad():
        for row in rows(name, 24, "texts.jsonl"):
            ids = tokenizer(row["text"], return_tensors="pt", truncation=True)["input_ids"]
            lost += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
    chance = float(torch.log(torch.tensor(float(len(tokenizer)))))
    return 1 - lost / count / chance


def _written(name: str) -> float:
    """Right to the letter, with the settings of generation_config.json."""
    model, tokenizer = load(name)
    examples = rows(name, 24)
    inputs = tokenizer([row["text"] for row in examples], padding=True, return_tensors="pt")
    found = tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True)
    return share(f == row["translation"] for f, row in zip(found, examples, strict=True))


def _described(name: str) -> float:
    """Right to the letter, as `_written`."""
    model, tokenizer = load(name)
    processor: Any = transformers.AutoImageProcessor.from_pretrained(MODELS / name, backend="pil")
    examples = rows(name, 24)
    images = [transformers.image_utils.load_image(row["image"]) for row in examples]
    ids = model.generate(processor(images=images, return_tensors="pt").pixel_values)
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return share(text == row["text"] for text, row in zip(texts, examples, strict=True))


@pytest.mark.parametrize(
    ("name", "measure", "at_least"),
    [
        ("tiny-sentiment", _label, 0.9),
        ("tiny-digits-vit", _digit, 0.95),
        ("tiny-digits-convnet", _digit, 0.95),
        ("tiny-shapes-segmenter", _shapes, 0.93),
        ("tiny-shapes-detector", _boxes, 0.9),
        ("tiny-shapes-clip", _named_shape, 0.9),
        ("tiny-sounds-ast", _sound, 0.95),
        ("tiny-words-ctc", _heard, 0.95),
        ("tiny-words-whisper", _heard, 0.9),
        ("tiny-topics-multilabel", _labels, 0.9),
        ("tiny-rating-regression", _number, 0.85),
        ("tiny-nli", _label, 0.85),
        ("tiny-nli", _zero_shot, 0.8),
        ("tiny-ner", _entities, 0.85),
        ("tiny-qa", _answer, 0.8),
        ("tiny-mlm", _word, 0.5),
        ("tiny-reranker", _reciprocal_rank, 0.85),
        ("tiny-embedder", _nearest, 0.9),
        ("tiny-lm", _chat, 0.8),
        ("tiny-lm", _documentation, 0.4),
        ("tiny-translator", _written, 0.9),
        ("tiny-shapes-captioner", _described, 0.9),
        ("tiny-words-ocr", _described, 0.9),
    ],
)
def test_heldout_examples_are_answered_right(name: str, measure: Callable[[str], float], at_least: float) -> None:
    assert measure(name) >= at_least
