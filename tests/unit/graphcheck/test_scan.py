"""The structural check of graph files: good ones pass and are described, bad ones are refused by name."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from onnxpress.errors import CorruptFile, MissingFile, OnnxpressError
from onnxpress.graphcheck.face import Value
from onnxpress.graphcheck.protowire import Budget, damaged, packed_varints, varint
from onnxpress.graphcheck.scan import MAX_IR_VERSION, MAX_OPSET, GraphFile, scan
from onnxpress.graphcheck.walk import MAX_FIELDS


def _load_bad_graphs() -> ModuleType:
    path = Path(__file__).parents[2] / "fixtures" / "bad" / "graphs.py"
    spec = importlib.util.spec_from_file_location("bad_graphs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


graphs = _load_bad_graphs()


def _scan_model(folder: Path, model: object) -> GraphFile:
    (folder / "model.onnx").write_bytes(model.SerializeToString())  # type: ignore[attr-defined]
    return scan(folder / "model.onnx", root=folder)


@pytest.mark.parametrize("name", graphs.BAD_GRAPHS)
def test_a_bad_graph_is_refused_by_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    folder.mkdir()
    bad = graphs.BAD_GRAPHS[name]
    bad(folder)
    with pytest.raises(bad.error, match=bad.says) as caught:
        scan(folder / "model.onnx", root=folder)
    assert type(caught.value) is bad.error
    assert "model.onnx" in str(caught.value)
    assert len(str(caught.value)) < 1000 + len(str(folder))
    assert any(
        advice in str(caught.value)
        for advice in ("again", "do not trust", "upgrade", "export it", "export the", "git lfs pull")
    )


def test_the_table_is_large() -> None:
    assert len(graphs.BAD_GRAPHS) >= 60


def test_a_good_graph_is_described(tmp_path: Path) -> None:
    graphs.write_good(tmp_path)
    assert scan(tmp_path / "model.onnx", root=tmp_path) == GraphFile(
        ir_version=10,
        opsets={"": 20, "com.microsoft": 1, "local": 1},
        takes=(Value("x", "float32", ("n", 4)),),
        returns=(Value("y", "float32", ("n", 4)),),
        external=("weights.bin",),
        node_count=5,
        initializer_bytes=16,
        operators=frozenset({"Add", "Half", "Neg", "Twice"}),
    )


@pytest.mark.parametrize("domain", ["ai.onnx.training", "ai.onnx.preview", "com.microsoft.experimental", "anybody.s"])
def test_an_operator_set_that_nothing_uses_passes(domain: str, tmp_path: Path) -> None:
    """ONNX Runtime's optimizer names some in every file that it writes."""
    imported = graphs.model(opsets=[*graphs.OPSETS, (domain, 1)])
    assert _scan_model(tmp_path, imported).opsets[domain] == 1
    of_function = graphs.model([graphs.call("F")], functions=[graphs.function("F")])
    of_function.functions[0].opset_import.append(helper.make_opsetid(domain, 1))
    assert domain not in _scan_model(tmp_path, of_function).opsets


@pytest.mark.parametrize("dtype", ["FLOAT", "INT64", "INT32", "FLOAT16", "BOOL"])
def test_a_value_tells_its_dtype_and_axes(dtype: str, tmp_path: Path) -> None:
    model = graphs.model()
    value = helper.make_tensor_value_info("x", getattr(TensorProto, dtype), ["batch", None, 7])
    model.graph.input[0].CopyFrom(value)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    scanned = _scan_model(tmp_path, model)
    names = {"FLOAT": "float32", "FLOAT16": "float16"}
    assert scanned.takes == (Value("x", names.get(dtype, dtype.lower()), ("batch", "", 7)),)
    assert scanned.returns == (Value("y", "float32", None),)


def test_a_value_that_is_no_tensor_has_no_dtype(tmp_path: Path) -> None:
    model = graphs.model()
    model.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    assert _scan_model(tmp_path, model).returns == (Value("y", None, None),)


def test_external_data_below_the_folder_passes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(bytes(40))
    tensor = graphs.external(location="sub/w.bin", offset="24", checksum="anything")
    assert _scan_model(tmp_path, graphs.model(tensors=[tensor])).external == ("sub/w.bin",)


def test_external_data_without_offset_and_length_takes_them_from_the_shape(tmp_path: Path) -> None:
    graphs.write_data(tmp_path)
    tensor = graphs.external()
    del tensor.external_data[1:]
    assert _scan_model(tmp_path, graphs.model(tensors=[tensor])).initializer_bytes == 16


def test_a_hub_cache_passes_only_when_its_blobs_are_allowed(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0123" / "onnx"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    graphs.write_good(blobs)
    (blobs / "model.onnx").rename(blobs / "aaa")
    (blobs / "weights.bin").rename(blobs / "bbb")
    (snapshot / "model.onnx").symlink_to("../../../blobs/aaa")
    (snapshot / "weights.bin").symlink_to("../../../blobs/bbb")
    root = snapshot.parent
    assert scan(snapshot / "model.onnx", root=root, also=(blobs,)).external == ("weights.bin",)
    with pytest.raises(CorruptFile, match="outside of the artifact"):
        scan(snapshot / "model.onnx", root=root)


def test_an_input_that_an_initializer_fills_is_none(tmp_path: Path) -> None:
    model = graphs.model()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]))
    assert _scan_model(tmp_path, model).inputs == ("x",)


def test_every_operator_of_a_subgraph_is_counted(tmp_path: Path) -> None:
    model = graphs.model([graphs.call("If", "", then_branch=graphs.branch(3))])
    assert _scan_model(tmp_path, model).node_count == 1 + 4


TYPES = [kind for kind in range(1, 27) if kind != TensorProto.STRING]


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("kind", TYPES, ids=TensorProto.DataType.Name)
@pytest.mark.parametrize("shape", [(), (3,), (5, 3), (2, 0, 7)], ids=str)
def test_tensors_of_every_type_as_onnx_writes_them(
    kind: int, shape: tuple[int, ...], raw: bool, tmp_path: Path
) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    array = np.ones(shape).astype(dtype)
    tensor = numpy_helper.from_array(array, "w")
    if not raw:
        tensor = helper.make_tensor("w", kind, shape, array.flatten())
    found = _scan_model(tmp_path, graphs.model(tensors=[tensor]))
    bits = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}.get(kind, array.dtype.itemsize * 8)
    assert found.initializer_bytes == (array.size * bits + 7) // 8
    grown = TensorProto()
    grown.CopyFrom(tensor)
    grown.dims.append(5)
    if array.size:
        with pytest.raises(CorruptFile, match="tensor 'w' of shape"):
            _scan_model(tmp_path, graphs.model(tensors=[grown]))


def test_strings_pass(tmp_path: Path) -> None:
    words = helper.make_tensor("words", TensorProto.STRING, [2], [b"a", b"\xff"])
    assert _scan_model(tmp_path, graphs.model(tensors=[words])).initializer_bytes == 0


def test_numbers_pass_packed_or_not(tmp_path: Path) -> None:
    """Writers pack these lists; readers have to take them either way, so both are counted."""
    tensor = TensorProto(name="w", data_type=TensorProto.INT64, dims=[3], int64_data=[1])
    alone = b"\x38\x02" + b"\x38" + graphs.encoded_varint((1 << 64) - 1)
    content = tensor.SerializeToString() + alone
    assert list(TensorProto.FromString(content).int64_data) == [1, 2, -1]
    graph = graphs.model(tensors=[]).graph.SerializeToString() + graphs.length_field(5, content)
    model = graphs.model()
    model.ClearField("graph")
    whole = model.SerializeToString() + graphs.length_field(7, graph)
    (tmp_path / "model.onnx").write_bytes(whole)
    assert scan(tmp_path / "model.onnx", root=tmp_path).initializer_bytes == 24


def test_the_versions_are_those_that_onnxruntime_opens(tmp_path: Path) -> None:
    """A newer ONNX Runtime may open more: then the constants are due. It must not open fewer."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4

    def opens(ir_version: int, opset: int) -> bool:
        model = graphs.model(opsets=[("", opset)])
        model.ir_version = ir_version
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception:
            return False
        return True

    assert opens(MAX_IR_VERSION, MAX_OPSET[""])
    if onnxruntime.__version__.startswith("1.31."):
        assert not opens(MAX_IR_VERSION + 1, MAX_OPSET[""])
        assert not opens(MAX_IR_VERSION, MAX_OPSET[""] + 1)


def test_a_missing_artifact_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="nowhere"):
        scan(tmp_path / "nowhere" / "model.onnx", root=tmp_path)


def test_weights_are_not_read(tmp_path: Path) -> None:
    """A gigabyte of weights, as a hole in the file: read, it would take far longer and more memory."""
    tensor = TensorProto(name="w", data_type=1, dims=[1 << 28]).SerializeToString()
    size = 1 << 30
    raw = b"\x4a" + graphs.encoded_varint(size)
    graph_head = b"\x2a" + graphs.encoded_varint(len(tensor) + len(raw) + size) + tensor + raw
    rest = graphs.model(tensors=[])
    tail = rest.graph.SerializeToString()
    rest.ClearField("graph")
    head = rest.SerializeToString()
    head += b"\x3a" + graphs.encoded_varint(len(graph_head) + size + len(tail)) + graph_head
    with (tmp_path / "model.onnx").open("wb") as file:
        file.write(head)
        file.seek(size, 1)
        file.write(tail)
    program = (
        "import resource, sys; from pathlib import Path; from onnxpress.graphcheck.scan import scan\n"
        "path = Path(sys.argv[1]); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = scan(path, root=path.parent)\n"
        "print(found.initializer_bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model.onnx")],
        capture_output=True,
        text=True,
        check=True,
    )
    scanned_bytes, grown_kib = map(int, done.stdout.split())
    assert scanned_bytes == size
    assert grown_kib < 20_000


# --- any damage ---------------------------------------------------------------------------------


def _rich_model() -> bytes:
    """A small model that has one of everything that the scan looks into."""
    add = helper.make_node("Add", ["x", "w"], ["v"], name="add", axes=[0, 1], doc_string="d" * 130)
    model = graphs.model(
        [
            add,
            graphs.constant(helper.make_tensor("c", TensorProto.INT64, [2], [1, 1 << 40])),
            helper.make_node("Twice", ["v"], ["y"], domain="local"),
            graphs.call("If", "", then_branch=graphs.branch(2)),
        ],
        [graphs.external(), graphs.weight("u"), helper.make_tensor("s", 8, [2], [b"a", b"b"])],
        [graphs.function("Twice", "Half", "Half"), graphs.function("Half")],
        [*graphs.OPSETS, ("local", 1)],
    )
    model.metadata_props.add(key="k", value="v" * 130)
    return bytes(model.SerializeToString())


RICH = _rich_model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mutations")
    graphs.write_data(made)
    (made / "model.onnx").touch()
    return made


def _passes_or_is_refused(folder: Path, content: bytes) -> None:
    with (folder / "model.onnx").open("r+b") as file:  # in place: a new file each time is 5x slower
        file.write(content)
        file.truncate()
    start = time.thread_time()
    try:
        scan(folder / "model.onnx", root=folder)
    except OnnxpressError as error:
        assert "model.onnx" in str(error)
    assert time.thread_time() - start < 2


def test_the_model_that_is_mutated_is_good(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(RICH)
    assert scan(folder / "model.onnx", root=folder).node_count == 10


def test_every_truncation(folder: Path) -> None:
    for size in range(len(RICH)):
        _passes_or_is_refused(folder, RICH[:size])


def test_every_byte_replaced(folder: Path) -> None:
    for at in range(len(RICH)):
        for byte in (0x00, 0xFF, RICH[at] ^ 1):
            _passes_or_is_refused(folder, RICH[:at] + bytes([byte]) + RICH[at + 1 :])


_EDITS = st.lists(
    st.tuples(st.integers(0, len(RICH)), st.integers(0, 12), st.binary(max_size=12)),
    min_size=1,
    max_size=6,
)
_HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_BOUNDED = settings(suppress_health_check=_HEALTH)


@given(edits=_EDITS)
@_BOUNDED
def test_any_edit(folder: Path, edits: list[tuple[int, int, bytes]]) -> None:
    content = RICH
    for at, removed, inserted in edits:
        content = content[:at] + inserted + content[at + removed :]
    _passes_or_is_refused(folder, content)


@given(content=st.binary(max_size=400))
@example(content=b"\x08\x0a\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
@_BOUNDED
def test_any_bytes(folder: Path, content: bytes) -> None:
    _passes_or_is_refused(folder, content)


# --- the wire -----------------------------------------------------------------------------------


@given(values=st.lists(st.integers(0, 2**64 - 1)))
def test_varints_are_read_back_and_counted(values: list[int]) -> None:
    data = b"".join(map(graphs.encoded_varint, values))
    position, read = 0, []
    while position < len(data):
        value, position = varint(data, position, len(data))
        read.append(value)
    assert read == values
    assert packed_varints(data, 0, len(data)) == len(values)


@pytest.mark.parametrize("data", [b"\x80" * 10 + b"\x01", b"\xff" * 9 + b"\x02", b"\x80"])
def test_a_varint_beyond_64_bits_or_its_end_is_damage(data: bytes) -> None:
    with pytest.raises(CorruptFile, match="integer"):
        varint(data, 0, len(data))


def test_a_budget_ends() -> None:
    budget = Budget(MAX_FIELDS)
    budget.spend(MAX_FIELDS)
    with pytest.raises(CorruptFile, match="absurd number"):
        budget.spend(1)
    assert "again" in str(damaged("x"))
