"""The measuring process's pure parts: padding, resources, installation size, inputs, noise, kinds of backends."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress import Artifact, InputError
from onnxpress.pipelines import TASKS
from onnxpress_bench import backends, resources
from onnxpress_bench.backends import BACKENDS, BackendSpec, Batching, backend_class, in_batches, kind_of
from onnxpress_bench.install import closure
from onnxpress_bench.padding import padding_share
from onnxpress_bench.scenarios import SCENARIOS, scenario
from onnxpress_bench.workloads import workload_of
from onnxpress_bench.workloads.texts import LENGTHS, make_texts
from tests.fixtures.embedder import write_embedder
from tests.fixtures.processes import HANG_S, in_fresh_process

texts = st.lists(st.text("ab ", min_size=1, max_size=40), min_size=1, max_size=40)


def spec(kind: str) -> BackendSpec:
    return BackendSpec(kind, kind, "sentence-similarity", "", 1)


@given(texts, st.integers(1, 9), st.booleans())
def test_batches_hold_every_item_once(items: list[str], rows: int, sort: bool) -> None:
    batches = in_batches(items, Batching(rows, sort))
    assert sorted(index for batch in batches for index in batch) == list(range(len(items)))
    assert all(len(batch) == rows for batch in batches[:-1]) and 1 <= len(batches[-1]) <= rows


@given(texts)
def test_padding_is_none_alone_and_never_negative(items: list[str]) -> None:
    tokens = [len(item) for item in items]
    assert padding_share(spec("pytorch"), Batching(1), items, tokens) == 0
    together = padding_share(spec("pytorch"), Batching(8), items, tokens)
    apart = padding_share(spec("pytorch"), Batching(8, sort=True), items, tokens)
    assert together is not None and apart is not None
    assert 0 <= apart < 1 and 0 <= together < 1
    assert padding_share(spec("fastembed"), Batching(), items, tokens) is None


@given(texts)
def test_sorting_by_length_pads_least_when_every_batch_is_full(items: list[str]) -> None:
    full = items * 8
    tokens = [len(item) for item in full]
    together = padding_share(spec("pytorch"), Batching(8), full, tokens)
    apart = padding_share(spec("pytorch"), Batching(8, sort=True), full, tokens)
    assert together is not None and apart is not None and apart <= together + 1e-12


def test_padding_of_one_long_text_among_short_ones() -> None:
    items, tokens = ["a"] * 3 + ["a" * 9], [1, 1, 1, 9]
    assert padding_share(spec("pytorch"), Batching(4), items, tokens) == pytest.approx(1 - 12 / 36)


@in_fresh_process
def test_peak_memory_follows_what_is_held() -> None:
    before = resources.peak_memory_bytes()
    block = bytearray(64_000_000)
    block[::4096] = b"x" * len(block[::4096])
    assert resources.peak_memory_bytes() - before > 60_000_000
    assert len(block) == 64_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_time_of_other_processes_is_told_apart() -> None:
    first = resources.read()
    resources.spin_ms(rounds=3)
    found = resources.between(first, resources.read())
    assert found["wall_s"] > 0 and found["others_cores"] >= 0 and found["stolen_cores"] >= 0


def test_energy_is_summed_over_packages_and_not_over_their_parts(tmp_path: Path) -> None:
    for zone, joules in (("intel-rapl:0", 5), ("intel-rapl:1", 7), ("intel-rapl:0:0", 3)):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text(str(joules * 1_000_000))
    assert resources.energy_j(tmp_path) == 12
    assert resources.energy_j(tmp_path / "none") is None
    now = resources.read()
    first, last = replace(now, energy_j=5.0), replace(now, wall_s=now.wall_s + 2, energy_j=9.0)
    assert resources.between(first, last)["energy_j"] == 4
    assert "energy_j" not in resources.between(last, replace(first, wall_s=now.wall_s + 3)), (
        "a counter that wrapped round"
    )


@pytest.mark.parametrize(
    ("line", "file"),
    [("0::/box", "box/memory.peak"), ("4:memory:/box", "memory/box/memory.max_usage_in_bytes")],
    ids=["cgroup 2", "cgroup 1"],
)
def test_the_container_s_peak(tmp_path: Path, line: str, file: str) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text(f"9:name=systemd:/\n{line}\n")
    assert resources.cgroup_peak_bytes(membership, tmp_path) is None
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("12345\n")
    assert resources.cgroup_peak_bytes(membership, tmp_path) == 12345


def test_an_installation_holds_what_it_needs() -> None:
    numpy = sum(Path(str(file.locate())).stat().st_size for file in distribution("numpy").files or () if file.locate())
    alone, both = closure(["numpy"]), closure(["numpy", "onnxruntime"])
    assert alone.versions == {"numpy": distribution("numpy").version}
    assert alone.size_bytes == pytest.approx(numpy, rel=0.01)
    assert both.size_bytes is not None and both.size_bytes > numpy
    assert closure(["numpy", "no-such-distribution"]).size_bytes is None


def test_an_extra_is_counted_only_where_it_is_asked_for() -> None:
    light, runtime = closure(["onnxpress"]).size_bytes, closure(["onnxpress[cpu]"]).size_bytes
    own = closure(["onnxruntime"]).size_bytes
    assert light is not None and runtime is not None and own is not None
    assert own / 3 < runtime - light <= own, "onnxruntime, less what both need"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return Artifact.open(write_embedder(tmp_path_factory.mktemp("inputs") / "artifact"))


def test_inputs_have_the_wanted_lengths_and_are_repeatable(artifact: Artifact) -> None:
    first = make_texts(artifact, 1, ("1x8", "4x12"))
    again, other = make_texts(artifact, 1, ("1x8", "4x12")), make_texts(artifact, 2, ("1x8", "4x12"))
    assert first == again and first.stream != other.stream
    assert {shape: {len(query) for query in queries} for shape, queries in first.shapes.items()} == {
        "1x8": {1},
        "4x12": {4},
    }
    assert len(first.stream) == len(first.stream_tokens)


def test_every_distribution_of_lengths_has_its_own_mean(artifact: Artifact) -> None:
    means = {name: make_texts(artifact, 0, lengths=name).tokens["stream"] for name in LENGTHS}
    assert means["queries"] < means["mixed"] <= means["documents"]


def test_a_file_gives_texts_or_lengths(artifact: Artifact, tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("a wonderful place\n\nbad food\n")
    assert make_texts(artifact, 0, lengths=str(file)).stream == ["a wonderful place", "bad food"]
    file.write_text("5\n9\n")
    found = make_texts(artifact, 0, lengths=str(file))
    assert len(found.stream) == 2 and found.stream_tokens[0] < found.stream_tokens[1]


@pytest.mark.parametrize("shape", ["8", "x8", "0x16", "8x2", "8x-1", "axb"])
def test_what_is_no_shape_is_refused(artifact: Artifact, shape: str) -> None:
    with pytest.raises(InputError, match="ROWSxTOKENS"):
        make_texts(artifact, 0, (shape,))


def test_what_is_no_distribution_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mixed, queries, documents"):
        make_texts(artifact, 0, lengths="gaussian")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(InputError, match="empty"):
        make_texts(artifact, 0, lengths=str(tmp_path / "empty"))


@pytest.mark.parametrize("name", list(BACKENDS))
def test_every_kind_of_backend_is_there(name: str) -> None:
    """Importing a backend's module imports no library: each may be missing here."""
    served = [task for task in TASKS if BACKENDS[name].serves(task)]
    assert served
    for task in served:
        backend = backend_class(name, task)
        assert backend.batchings and backend.distributions
        verb = {"prompts": "generate", "rewriting": "rewrite", "speech": "transcribe"}.get(workload_of(task).module)
        assert verb is None or hasattr(backend, verb), task


def test_every_task_has_a_workload_that_its_scenarios_and_backends_serve() -> None:
    for task in TASKS:
        workload = workload_of(task)
        assert set(workload.usual) <= set(workload.scenarios) <= set(SCENARIOS)
        assert BACKENDS["pytorch"].serves(task)
        assert BACKENDS["onnxpress"].serves(task)


def test_what_a_backend_runs_is_at_most_60_lines() -> None:
    folder = Path(backends.__file__).parent
    classes = {
        backend_class(name, task).__module__ for name in BACKENDS for task in TASKS if BACKENDS[name].serves(task)
    }
    for module in classes:
        file = folder / f"{module.rpartition('.')[2]}.py"
        assert len(file.read_text().splitlines()) <= 60, file


def test_a_worker_imports_nothing_heavy_with_its_backends_and_workloads() -> None:
    code = (
        "import sys; from onnxpress_bench.backends import BACKENDS, backend_class;"
        "from onnxpress_bench.workloads import WORKLOADS; from importlib import import_module;"
        "[backend_class(name, task) for name, row in BACKENDS.items() for task in row.classes];"
        "[import_module(f'onnxpress_bench.workloads.{row.module}') for row in WORKLOADS];"
        "print(sorted({'numpy', 'torch', 'onnxruntime', 'onnxpress', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_scenario_is_there(name: str) -> None:
    assert callable(scenario(name))


def test_backends_of_other_packages_are_found_by_name() -> None:
    kind = kind_of("onnxpress_bench.backends.onnxpress:Onnxpress")
    assert kind is not None and kind.reads == "artifact"
    found = backend_class("onnxpress_bench.backends.onnxpress:Onnxpress", "fill-mask")
    assert found is backend_class("onnxpress", "fill-mask")
    assert kind_of("no-such-backend") is None and kind_of("a b:C") is None
