"""What holds for all tests: signals, a core for each worker, how many examples hypothesis tries, and the fixtures that
make each checkpoint and artifact once for a run, whoever asks for it."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import onnxpress
from onnxpress import Artifact
from tests.fixtures.store import Store, locked

MODELS = Path(__file__).parents[1] / "models"

Exported = Callable[..., Artifact]

# A shell that starts the tests in the background makes them ignore SIGINT, and their children with them; the tests of
# Ctrl-C need it. A handler is reset to the default when a child starts, an ignored signal is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A test names a number of its own only where its examples are expensive: "nightly" tries as many of those.
# Neither looks at the time that an example takes: how fast the machine is decides nothing.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _UNTIMED, max_examples=40)
settings.register_profile("nightly", _UNTIMED, max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker of a parallel run a core of its own: workers that share cores make each other's threads wait."""
    config.addinivalue_line("markers", "nightly: takes minutes; `make nightly` runs it, `make test` does not")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw") and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})


def pytest_collection_finish() -> None:
    """What is imported by now and the thousands of tests stay: no later collection of garbage looks at them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def hardly_timed() -> Iterator[None]:
    """Exports time each variant once, at one shape: seconds for each that only tests of timing itself are about."""
    from onnxpress_exporter.gate import timing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "SHAPES", timing.SHAPES[:1])
        patch.setattr(timing, "ROUNDS", 1)
        patch.setattr(timing, "BUDGET_S", 0.0)
        yield


@cache
def _list_conversions_once() -> None:
    """torch.onnx lists its thousands of conversions anew for every graph: a tenth of the time that a tiny one takes."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    listed_for = cache(ONNXRegistry.from_torchlib)

    def copied(opset_version: int) -> ONNXRegistry:
        registry, listed = ONNXRegistry(), listed_for(opset_version)
        registry.__dict__.update(listed.__dict__)
        registry.functions = {target: list(conversions) for target, conversions in listed.functions.items()}
        return registry

    ONNXRegistry.from_torchlib = staticmethod(copied)  # type: ignore[method-assign, assignment]


@pytest.fixture(scope="session", autouse=True)
def traced_faster() -> Iterator[None]:
    """Hundreds of graphs are traced in a run; PyTorch is imported where the first of them is."""
    from onnxpress_exporter.graphs import trace

    prepare = trace._traceable

    def prepared(*arguments: Any) -> Any:
        _list_conversions_once()
        return prepare(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_traceable", prepared)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that lives as long as the run and is the same for all its workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def store() -> Store:
    """Artifacts by the sources that made them, kept from run to run."""
    return Store()


@pytest.fixture(scope="session")
def tiny(shared: Path) -> Callable[..., Path]:
    """`tiny(architecture, task, **config)` -> the folder of a checkpoint with random weights."""

    @cache
    def make(architecture: str, task: str, **config: Any) -> Path:
        from tests.fixtures.tiny import tiny_checkpoint

        folder = shared / "checkpoints" / _name(architecture, task, repr(sorted(config.items())))
        return _made_once(folder, lambda unfinished: tiny_checkpoint(architecture, task, unfinished, **config))

    return make


@pytest.fixture(scope="session")
def describer(shared: Path) -> Callable[[str], Path]:
    """`describer(name)` -> the folder of a checkpoint that writes about pictures, with random weights."""

    @cache
    def make(name: str) -> Path:
        from tests.fixtures.tiny_describers import tiny_describer

        return _made_once(shared / "checkpoints" / f"describer-{name}", lambda folder: tiny_describer(name, folder))

    return make


@pytest.fixture(scope="session")
def chooser(trained: Callable[[str], Path], shared: Path) -> Path:
    """A checkpoint that chooses: the trained reranker's weights, which score pairs by the same layers."""

    def make(folder: Path) -> None:
        from transformers import AutoTokenizer, XLMRobertaForMultipleChoice, XLMRobertaForSequenceClassification

        ranking = XLMRobertaForSequenceClassification.from_pretrained(trained("tiny-reranker"))
        choosing = XLMRobertaForMultipleChoice(ranking.config)
        choosing.roberta.load_state_dict(ranking.roberta.state_dict(), strict=False)
        choosing.roberta.pooler.dense.load_state_dict(ranking.classifier.dense.state_dict())
        choosing.classifier.load_state_dict(ranking.classifier.out_proj.state_dict())
        choosing.save_pretrained(folder)
        AutoTokenizer.from_pretrained(trained("tiny-reranker")).save_pretrained(folder)

    return _made_once(shared / "checkpoints" / "chooser", make)


def _made_once(folder: Path, make: Callable[[Path], Any]) -> Path:
    """A checkpoint that processes share: the first of them makes it."""
    with locked(folder):
        if not folder.exists():
            unfinished = folder.with_name(folder.name + ".unfinished")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def trained() -> Callable[[str], Path]:
    """`trained("tiny-ner")` -> the folder of a checkpoint that a script in models/ trained."""

    def find(name: str) -> Path:
        folder = MODELS / name
        assert (folder / "model.safetensors").is_file(), f"{folder} is missing; models/train.py {name} makes it"
        return folder

    return find


@pytest.fixture(scope="session")
def exported(store: Store) -> Exported:
    """`exported(checkpoint, task=None, precision=("fp32",))` -> its artifact. For reading: tests share it."""

    @cache
    def make(checkpoint: Path, task: str | None = None, precision: tuple[str, ...] = ("fp32",)) -> Artifact:
        return store.artifact(checkpoint, task, precision)

    return make


@pytest.fixture(scope="session")
def ours(exported: Exported) -> Callable[..., Any]:
    """`ours(checkpoint, task, exported_as=None)` -> the onnxpress pipeline of the exported checkpoint."""

    @cache
    def make(checkpoint: Path, task: str, exported_as: str | None = None) -> Any:
        return onnxpress.pipeline(task, exported(checkpoint, exported_as or task), threads=1)

    return make


def _name(*parts: str) -> str:
    from tests.fixtures.store import digest

    return "-".join((*parts[:2], digest(*parts)[:8]))
