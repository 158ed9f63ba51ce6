"""Other tools run our artifacts, in environments of their own, and answer as our runtime does.

`onnxpress peers --install NAME` makes the environments; what is not there is skipped. INTEROP_RECORD=1 keeps what was
seen for docs/interop.md (`tests/fixtures/interop.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.format.precisions import PRECISIONS
from onnxpress_bench.environments import interpreter, state
from tests.fixtures.interop import Seen, difference, record
from tests.fixtures.store import Store

pytestmark = pytest.mark.nightly

TOOLS = Path(__file__).parent / "tools"
TEXTS = ["Ada lives in Rome.", "a", "It was a great film, and Mr Smith of Acme in Oslo liked it very much indeed."]
PROMPTS = ["The weather in", "Once", "Ada lives in Rome and she likes to", "12"]
PAIRS = [["Who is Ada?", "Ada lives in Rome."], ["a", "b"]]
CONTEXT = "The population of Shelstead is 52. Everybody agrees on that. It lies on the River Lune."
WRITE = {"max_new_tokens": 10, "do_sample": False, "num_beams": 1}

Answer = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task is asked, and what of the answers is compared. `theirs`, `ours`: of one answer of each."""

    model: str
    task: str
    items: Sequence[Any]
    ours: Answer
    theirs: Answer
    variants: tuple[str, ...] = ("fp32", "int8")
    options: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)


def _scored(key: str) -> Answer:
    return lambda answer: [
        [row[key].strip(" ."), row["score"]] for row in (answer if isinstance(answer, list) else [answer])
    ]


def _text(key: str) -> Answer:
    # Tools differ in a space at the end, where a text is cut before its end.
    return lambda answer: (answer[0] if isinstance(answer, list) else answer)[key].rstrip()


def _whole(answer: Any) -> Any:
    return answer


MASKED = ["The result [MASK] worth it.", "Can you store a [MASK] instrument for school?"]
SPANS = [{"question": question, "context": CONTEXT} for question in ("What is the river of Shelstead?", "Where?")]
NLI = [{"text": text, "labels": ["travel", "cooking", "sport"]} for text in TEXTS[:1] + TEXTS[2:]]
ALL = ("fp32", "int8", "q8", "q4")

SENTIMENT = Asked("tiny-sentiment", "text-classification", TEXTS, _scored("label"), _scored("label"), ALL)
NER = Asked("tiny-ner", "token-classification", TEXTS, _scored("entity"), _scored("entity"))
QA = Asked("tiny-qa", "question-answering", SPANS, _scored("answer"), _scored("answer"))
MLM = Asked("tiny-mlm", "fill-mask", MASKED, _scored("token_str"), _scored("token_str"))
ZERO_SHOT = Asked(
    "tiny-nli",
    "zero-shot-classification",
    NLI,
    lambda answer: [answer["labels"], answer["scores"]],
    lambda answer: [answer["labels"], answer["scores"]],
)
VECTORS = Asked("tiny-embedder", "sentence-similarity", TEXTS, lambda vector: vector.tolist(), _whole)
RANKING = Asked("tiny-reranker", "text-ranking", PAIRS, float, _whole)
LM = Asked(
    "tiny-lm",
    "text-generation",
    PROMPTS,
    _text("generated_text"),
    _text("generated_text"),
    ("fp32", "q4"),
    WRITE,
    WRITE,
)
TRANSLATION = Asked(
    "tiny-translator",
    "translation",
    TEXTS,
    _text("translation_text"),
    _text("translation_text"),
    ("fp32", "int8"),
    WRITE,
    WRITE,
)
BARE_LM = Asked("tiny-lm", "text-generation", PROMPTS, _text("generated_text"), _whole, ("fp32",), WRITE, WRITE)

#: What a tool does in its own way, by tool and task.
NOTES = {
    ("transformers.js", "text-generation"): "in a batch the tool itself writes on after a row's end, to the longest's",
    (
        "transformers.js",
        "question-answering",
    ): "the tool cuts the answer out of the text by its own tokens, without the "
    "full stop, and weighs improbable answers otherwise",
}

#: Tool, the peer with its environment, its script, the layout, and what it is asked.
RUNS: list[tuple[str, str, str, str, Asked]] = [
    *[("optimum-onnx", "sentence-transformers", "optimum_onnx.py", "onnxpress", asked)
      for asked in (SENTIMENT, NER, QA, MLM, ZERO_SHOT)],
    *[("optimum-onnx", "sentence-transformers", "optimum_onnx.py", "optimum", asked)
      for asked in (SENTIMENT, LM, TRANSLATION)],
    *[("sentence-transformers", "sentence-transformers", "sentence_transformers_onnx.py", "onnxpress", asked)
      for asked in (VECTORS, RANKING)],
    *[("transformers.js", "transformers.js", "transformers_js.mjs", "onnxpress", asked)
      for asked in (SENTIMENT, NER, QA, MLM, ZERO_SHOT, RANKING)],
    *[("transformers.js", "transformers.js", "transformers_js.mjs", "transformers.js", asked)
      for asked in (LM, TRANSLATION)],
    ("fastembed", "fastembed", "fastembed_custom.py", "onnxpress", RANKING),
    ("onnxruntime-genai", "onnxruntime-genai", "genai.py", "genai", BARE_LM),
]  # fmt: skip
CASES = [
    pytest.param(*run, variant, id=f"{run[0]}-{run[3]}-{run[4].task}-{variant}")
    for run in RUNS
    for variant in run[4].variants
]


@pytest.mark.parametrize(("tool", "peer", "script", "layout", "asked", "variant"), CASES)
def test_a_tool_answers_as_we_do(
    tool: str, peer: str, script: str, layout: str, asked: Asked, variant: str, store: Store, trained: Any
) -> None:
    artifact = store.artifact(trained(asked.model), None, asked.variants, layout=layout)
    if variant not in artifact.manifest.variants:
        pytest.skip(f"{variant} of {asked.model} was refused by the gate")
    job = {
        "task": asked.task,
        "folder": str(artifact.folder),
        "variant": variant,
        "suffix": PRECISIONS[variant].suffix,
        "items": list(asked.items),
        "options": dict(asked.options),
    }
    answers = _ask(peer, script, job)
    pipe = onnxpress.pipeline(asked.task, artifact, precision=variant, threads=1)
    ask = _ours(pipe, asked)
    ours, theirs = list(map(asked.ours, ask(list(asked.items)))), list(map(asked.theirs, answers["together"]))
    if (tool, asked.task) == ("transformers.js", "text-generation"):
        theirs = [text[: len(known)] for text, known in zip(theirs, ours, strict=True)]
    together = difference(ours, theirs)
    alone = [asked.ours(ask([item])[0]) for item in asked.items]
    apart = difference(alone, list(map(asked.theirs, answers["alone"])))
    largest = None if together is None or apart is None else max(together, apart)
    assert largest is None or largest < 1e-4
    record(
        Seen(True, tool, answers["version"], layout, asked.task, variant, largest, NOTES.get((tool, asked.task), ""))
    )


@pytest.mark.parametrize("normalize", [True, False], ids=["normalized", "as it is"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_fastembed_s_custom_model(pooling: str, normalize: bool, exported: Any, tmp_path: Path) -> None:
    from tests.fixtures.tiny import tiny_checkpoint

    folder = tiny_checkpoint("bert", "feature-extraction", tmp_path / "bert") or tmp_path / "bert"
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), *([("Normalize", "2_Normalize")] * normalize)]
    entries = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(entries))
    (folder / "1_Pooling").mkdir()
    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    settings = {"word_embedding_dimension": width, "pooling_mode": pooling}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    artifact = exported(folder, "sentence-similarity")
    job = {"task": "sentence-similarity", "folder": str(artifact.folder), "suffix": "", "items": TEXTS}
    answers = _ask(
        "fastembed", "fastembed_custom.py", job | {"pooling": pooling, "normalize": normalize, "dimensions": width}
    )
    ours = onnxpress.pipeline(model=artifact, threads=1).encode(TEXTS).tolist()
    largest = max(difference(ours, answers[how]) or 0.0 for how in ("alone", "together"))
    assert largest < 1e-4
    note = "pooling and normalization are the caller's to say; it has no layers after pooling"
    record(Seen(True, "fastembed", answers["version"], "onnxpress", "sentence-similarity", "fp32", largest, note))


def _ours(pipe: Any, asked: Asked) -> Callable[[list[Any]], Any]:
    if asked.task == "sentence-similarity":
        return lambda items: list(pipe.encode(items))
    if asked.task == "text-ranking":
        return lambda items: list(pipe.predict([tuple(item) for item in items]))
    if asked.task == "zero-shot-classification":
        return lambda items: [pipe(item["text"], item["labels"]) for item in items]
    if asked.task == "question-answering":
        return lambda items: [pipe(**item) for item in items]
    if asked.task == "fill-mask":  # a list of one gives its own answers, not a list of them
        return lambda items: pipe(items) if len(items) > 1 else [pipe(items[0])]
    return lambda items: pipe(items, **asked.call)


def _ask(peer: str, script: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """What the tool prints last."""
    place = next((entry for entry in state() if entry.name == peer and entry.installed), None)
    if place is None or place.folder is None:
        pytest.skip(f"The peer {peer} is not installed: `onnxpress peers --install {peer}`.")
    path = TOOLS / script
    if path.suffix == ".mjs":  # node looks for packages beside the script
        path = Path(place.folder) / f"{os.getpid()}-{script}"
        shutil.copyfile(TOOLS / script, path)
    try:
        run = subprocess.run(
            [interpreter(peer), path], input=json.dumps(job), capture_output=True, text=True, timeout=600, check=False
        )
    finally:
        if path.parent != TOOLS:
            path.unlink()
    assert run.returncode == 0, run.stderr[-2000:]
    answers: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return answers
