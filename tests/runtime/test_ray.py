"""Ray Data and Ray Serve on this machine, with what docs/production.md shows.

Ray is not among what the tests install. In an environment that has `onnxpress[cpu,ray]`, onnx and pytest:

    PYTHONPATH=runtime:. python -m pytest --noconftest tests/runtime/test_ray.py
"""

from __future__ import annotations

import json
import re
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import onnxpress

from ..fixtures.artifacts import write_artifact

ray = pytest.importorskip("ray")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.filterwarnings("default")

PAGE = (Path(__file__).parents[2] / "docs" / "production.md").read_text(encoding="utf-8")
TEXTS = ["good", "bad", "very good film"]


def _shown(name: str) -> str:
    """The code that the page shows under this name."""
    (block,) = re.findall(rf"<!-- {name} -->\n((?: {{4}}.*\n|\n)+)", PAGE)
    return textwrap.dedent(block)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("ray") / "artifact")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_a_file_is_answered_by_actors(cluster: None, artifact: Path, tmp_path: Path) -> None:
    texts: list[Any] = [TEXTS[number % 3] for number in range(300)]
    texts[7] = None
    parquet.write_table(pyarrow.table({"id": list(range(300)), "review": texts}), tmp_path / "reviews.parquet")
    code = _shown("ray data").replace("int8", "fp32")
    for name, path in (("my-artifact", artifact), ("reviews.parquet", tmp_path / "reviews.parquet"),
                       ("answers", tmp_path / "answers")):  # fmt: skip
        code = code.replace(f'"{name}"', repr(str(path)))
    exec(compile(code, "docs/production.md", "exec"), {})
    answers = {row["id"]: row for row in parquet.read_table(tmp_path / "answers").to_pylist()}
    assert len(answers) == 300 and [answers[number]["review"] for number in range(300)] == texts
    with onnxpress.pipeline(model=str(artifact)) as pipe:
        expected = dict(zip(TEXTS, pipe(TEXTS), strict=True))
    for number, row in answers.items():
        assert row["result"] == (None if number == 7 else expected[texts[number]])
        assert (row["why"] is None) == (number != 7)


def test_an_actor_has_the_threads_that_it_was_given(cluster: None, artifact: Path) -> None:
    class Counting:
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            from onnxpress.ray import _cpus_of_actor

            return {"threads": [_cpus_of_actor()]}

    rows = ray.data.range(1).map_batches(Counting, compute=ray.data.ActorPoolStrategy(size=1), num_cpus=2)
    assert rows.take_all() == [{"threads": 2}]
    from onnxpress.ray import _cpus_of_actor

    assert _cpus_of_actor() is None


def test_a_deployment_answers(cluster: None, artifact: Path) -> None:
    serve = pytest.importorskip("ray.serve")
    names: dict[str, Any] = {}
    exec(compile(_shown("ray serve"), "docs/production.md", "exec"), names)
    serve.start(http_options={"port": 18765})
    try:
        serve.run(names["Answering"].bind(str(artifact)))
        request = urllib.request.Request(
            "http://127.0.0.1:18765/", b'{"inputs": "good"}', {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert json.load(reply)["label"] == "good"
    finally:
        serve.shutdown()
