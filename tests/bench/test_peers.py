"""Peers for real, each in its own environment, on tiny models: what they answer is what PyTorch answers.

An environment that is not installed skips its tests; CI has none.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from onnxpress_bench.answers import compare_answers
from onnxpress_bench.backends import BACKENDS, BackendSpec
from onnxpress_bench.comparison import Settings
from onnxpress_bench.environments import interpreter, packages_folder
from onnxpress_bench.errors import MissingPeer, WorkerFailed
from onnxpress_bench.process import OURS, Interpreter, ask

pytest.importorskip("torch")
pytest.importorskip("transformers")

KINDS = ("openvino", "ctranslate2", "optimum-onnx", "fastembed")

#: task -> the architecture that it is tested on.
CASES: Mapping[str, str] = {
    "feature-extraction": "roberta",
    "sentence-similarity": "bert",
    "text-classification": "distilbert",
}


def case(kind: str, *rest: Any) -> Any:
    """A parameter that is skipped, before anything is made for it, where the peer is not installed."""
    try:
        interpreter(BACKENDS[kind].peer or "")
    except MissingPeer as error:
        return pytest.param(kind, *rest, marks=pytest.mark.skip(reason=str(error)))
    return pytest.param(kind, *rest)


PAIRS = [case(kind, task) for kind in KINDS for task in CASES if BACKENDS[kind].serves(task)]

#: What each is asked for in vain: settings, and embedding settings, that it cannot follow; and words of its reason.
REFUSALS = [
    case("openvino", {}, {"pooling": ["max"]}, "pooled by mean or cls"),
    case("optimum-onnx", {}, {"do_lower_case": True}, "lower-casing"),
    case("ctranslate2", {"model_type": "deberta-v2"}, {}, "deberta-v2"),
    case("fastembed", {}, {"truncate_dimensions": 8}, "full length"),
]


@dataclass(frozen=True)
class Model:
    """`located`: the spec of a peer without its name and workspace. `answers`: PyTorch's."""

    located: BackendSpec
    items: list[Any]
    answers: list[Any]


@pytest.fixture(scope="module")
def packages() -> Iterator[Path]:
    with packages_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Model]:
    from onnxpress_bench.run import settings_for
    from onnxpress_bench.subject import of_artifact
    from onnxpress_exporter import export
    from tests.fixtures.tiny import tiny_checkpoint

    settings: Settings = settings_for(True, threads=2)
    found = {}
    for task, architecture in CASES.items():
        base = tmp_path_factory.mktemp(task)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint = tiny_checkpoint(architecture, task, base / "checkpoint")
        artifact = export(checkpoint, base / "artifact", task=task)
        subject = of_artifact(artifact, str(checkpoint), settings, backends=["pytorch"])
        located = prepared(subject.specs[0], OURS)
        items = list(subject.inputs.stream[:12])
        found[task] = Model(located, items, piloted(located, items, OURS)["answers"])
    return found


def prepared(spec: BackendSpec, python: Interpreter) -> BackendSpec:
    return BackendSpec(**ask({"do": "prepare", "backend": asdict(spec)}, threads=2, interpreter=python)["backend"])


def piloted(spec: BackendSpec, items: list[Any], python: Interpreter) -> dict[str, Any]:
    job = {"do": "pilot", "backend": asdict(spec), "quality": items, "stream": items, "budget_s": 0.1}
    return ask(job, threads=2, interpreter=python)


def python_of(kind: str, packages: Path) -> Interpreter:
    return Interpreter(interpreter(BACKENDS[kind].peer or ""), packages)


@pytest.mark.parametrize(("kind", "task"), PAIRS)
def test_a_peer_answers_as_pytorch_does(
    kind: str, task: str, models: Mapping[str, Model], packages: Path, tmp_path: Path
) -> None:
    python, model = python_of(kind, packages), models[task]
    spec = replace(model.located, name=kind, kind=kind, workspace=str(tmp_path / "workspace"))
    spec = prepared(spec, python)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert files and not list(tmp_path.rglob("*.partial"))

    found = piloted(spec, model.items, python)
    figures = compare_answers(task, model.answers, found["answers"])
    assert min([1.0, *(value for name, value in figures.items() if not name.endswith("difference"))]) > 0.99999
    assert figures.get("largest score difference", 0.0) < 1e-5
    assert found["install_bytes"] > 1e7 and found["model_bytes"] > 1e4
    assert set(found["rates"]) >= {"batch 8"}

    # A later run converts nothing.
    assert prepared(spec, python) == spec
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize(("kind", "settings", "embedding", "reason"), REFUSALS)
def test_what_a_peer_cannot_serve_is_refused_with_a_reason(
    kind: str, settings: Any, embedding: Any, reason: str, models: Mapping[str, Model], packages: Path, tmp_path: Path
) -> None:
    known = models["sentence-similarity"].located
    changed = {**known.settings, **settings, "embedding": {**known.settings["embedding"], **embedding}}
    spec = replace(known, name=kind, kind=kind, workspace=str(tmp_path / "workspace"), settings=changed)
    with pytest.raises(WorkerFailed, match=f"NotMeasured: .*{reason}"):
        prepared(spec, python_of(kind, packages))
    assert not list(tmp_path.iterdir())
