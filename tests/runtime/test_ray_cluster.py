"""Ray Data on two nodes in this machine, of which one dies in the middle; and a job that is killed and goes on.

As tests/runtime/test_ray.py, in an environment of its own that has Ray:

    PYTHONPATH=runtime:. python -m pytest --noconftest tests/runtime/test_ray_cluster.py
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.ray import Predictor

from ..fixtures.artifacts import write_artifact

ray = pytest.importorskip("ray")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.filterwarnings("default")

TEXTS = ["good", "bad", "very good film"]
ROWS, BATCH = 600, 10
PATIENCE_S = 300


class SlowPredictor(Predictor):
    """Takes its time, so that something can happen meanwhile, and says where it ran."""

    def __call__(self, batch: Any) -> Any:
        time.sleep(0.2)
        answered = super().__call__(batch)
        node = ray.get_runtime_context().get_node_id()
        return answered.append_column("node", pyarrow.array([node] * len(answered)))


def answered_slowly(rows: str, artifact: str) -> Any:
    """The rows of a folder with their answers, to come, by an actor on each of two nodes."""
    # The newer of Ray's two readers makes one block of small files, which one actor answers.
    ray.data.DataContext.get_current().use_datasource_v2 = False
    return ray.data.read_parquet(rows, override_num_blocks=30).map_batches(
        SlowPredictor,
        fn_constructor_kwargs={"model": artifact, "column": "text"},
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=1,
        batch_size=BATCH,
        batch_format="pyarrow",
        scheduling_strategy="SPREAD",
    )


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("ray") / "artifact")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Files of two batches each."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for first in range(0, ROWS, 2 * BATCH):
        ids = list(range(first, first + 2 * BATCH))
        table = pyarrow.table({"id": ids, "text": [TEXTS[number % 3] for number in ids]})
        parquet.write_table(table, folder / f"{first:04}.parquet")
    return folder


@pytest.fixture
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "include_dashboard": False})
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    with contextlib.suppress(ValueError):  # a job that failed may have connected again
        nodes.shutdown()


def _check(answers: Path, artifact: Path) -> list[dict[str, Any]]:
    """Every row is answered, and once."""
    table = parquet.read_table(answers).to_pylist()
    assert Counter(row["id"] for row in table) == Counter(range(ROWS))
    with onnxpress.pipeline(model=str(artifact)) as pipe:
        expected = dict(zip(TEXTS, pipe(TEXTS), strict=True))
    assert all(row["result"] == expected[row["text"]] for row in table)
    return table


def test_a_node_dies_in_the_middle(cluster: Any, artifact: Path, rows: Path, tmp_path: Path) -> None:
    second = cluster.add_node(num_cpus=3)
    cluster.wait_for_nodes()
    answered = answered_slowly(str(rows), str(artifact))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            answered.write_parquet(str(tmp_path / "answers"))
        except BaseException as error:
            failures.append(error)

    job = threading.Thread(target=work)
    job.start()
    _wait_for_parts(tmp_path / "answers", 4)
    assert job.is_alive()
    cluster.remove_node(second, allow_graceful=False)
    job.join(PATIENCE_S)
    assert not failures and not job.is_alive()
    nodes = Counter(row["node"] for row in _check(tmp_path / "answers", artifact))
    assert len(nodes) == 2, "the node that died had answered nothing"


_JOB = """
import sys
import ray
from ray.data.checkpoint import CheckpointConfig
from tests.runtime.test_ray_cluster import answered_slowly

rows, artifact, answers, done = sys.argv[1:]
ray.init(num_cpus=5, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(
    id_column="id", checkpoint_path=done, delete_checkpoint_on_success=False
)
answered_slowly(rows, artifact).write_parquet(answers)
"""


def test_a_job_that_was_killed_goes_on(artifact: Path, rows: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    command = [sys.executable, "-c", _JOB, *map(str, (rows, artifact, answers, tmp_path / "done"))]
    first = subprocess.Popen(command, start_new_session=True)
    _wait_for_parts(answers, 4)
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = {part.name for part in answers.glob("*.parquet")}
    assert before
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    _check(answers, artifact)
    assert before <= {part.name for part in answers.glob("*.parquet")}


def _wait_for_parts(folder: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(list(folder.glob("*.parquet"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)
