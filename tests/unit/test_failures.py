"""What a failed run was: the caller's inputs, the memory, or the engine. Asked of graphs that really fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxpress.engine.binding import Binding
from onnxpress.engine.failures import explain, is_out_of_memory
from onnxpress.engine.session import Session
from onnxpress.errors import EngineError, InputError, OnnxpressError, OutOfMemory

TABLE = "(float[3, 4] t, int64[n] i) => (float[n, 4] y) { y = Gather<axis = 0>(t, i) }"
ADD = "(float[n] a, float[m] b) => (float[k] y) { y = Add(a, b) }"
SAME = "(float[n, m] a, float[n, m] b) => (float[n, m] y) { y = Add(a, b) }"
RESHAPE = "(float[n] a, int64[k] s) => (float[x, y] z) { z = Reshape(a, s) }"
FILL = "(int64[k] s) => (float[x, y] z) { filled = ConstantOfShape(s) z = ReduceSum(filled) }"

T, F = np.zeros((3, 4), np.float32), np.float32

#: graph, inputs, the error's class, what its message says
CASES = {
    "missing": (TABLE, {"t": T}, InputError, r"missing: \['i'\]"),
    "unknown": (TABLE, {"t": T, "i": np.array([1]), "z": T}, InputError, r"unknown: \['z'\]"),
    "dtype": (TABLE, {"t": T.astype(np.float64), "i": np.array([1])}, InputError, "t: float64, but .* wants float32"),
    "rank": (TABLE, {"t": T, "i": np.array([[1]])}, InputError, "i: 2 axes"),
    "size": (TABLE, {"t": T[:2], "i": np.array([1])}, InputError, r"t: \(2, 4\), but .* wants \[3, 4\]"),
    "outside the table": (TABLE, {"t": T, "i": np.array([5])}, InputError, "cannot run .* idx=5"),
    "named axis": (
        SAME,
        {"a": np.zeros((6, 3), F), "b": np.zeros((5, 3), F)},
        InputError,
        "b and a do not fit each other: n is 5 in one, 6 in the other",
    ),
    "unnamed axis": (ADD, {"a": np.zeros(6, F), "b": np.zeros(5, F)}, InputError, "cannot run .* 5 by 6"),
    "reshape": (RESHAPE, {"a": np.zeros(6, F), "s": np.array([4, 2])}, InputError, "cannot run"),
    "memory": (FILL, {"s": np.array([2**20, 2**20])}, OutOfMemory, "more memory than there is"),
    "overflow": (FILL, {"s": np.array([2**40, 2**40])}, EngineError, "failed on s: int64"),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Session, dict[str, np.ndarray], type, str]:
    body, inputs, kind, message = CASES[request.param]
    onnx.save(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> g {body}'), tmp_path / "g.onnx")
    return Session({"model": tmp_path / "g.onnx"}, threads=1), inputs, kind, message


def test_a_run_says_whose_fault_it_was(case: tuple[Session, dict[str, np.ndarray], type, str]) -> None:
    session, inputs, kind, message = case
    with pytest.raises(OnnxpressError, match=message) as caught:
        session.run(inputs)
    assert type(caught.value) is kind


def test_a_bound_run_says_the_same(case: tuple[Session, dict[str, np.ndarray], type, str]) -> None:
    session, inputs, kind, message = case
    if "unknown" in message:
        message = "no input 'z'"
    binding = Binding(session)
    output = session.opened("model").session.get_outputs()[0]
    target = np.zeros([axis if axis == 4 else 1 for axis in output.shape], F)
    with pytest.raises(OnnxpressError, match=message) as caught:
        binding.bind(inputs, {output.name: target})
        binding.run()
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=x ; expr=cudaMalloc((void**)&p, size);", OutOfMemory),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", OutOfMemory),
        ("BFCArena: Available memory of 1024 is smaller than requested bytes of 4096", OutOfMemory),
        ("std::bad_alloc", OutOfMemory),
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", EngineError),
        ("CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0", EngineError),
        ("[ONNXRuntimeError] : 11 : EP_FAIL : Non-zero status code returned while running MatMul node.", EngineError),
    ],
)
def test_failures_of_a_gpu(tmp_path: Path, message: str, kind: type) -> None:
    onnx.save(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> g {SAME}'), tmp_path / "g.onnx")
    session = Session({"model": tmp_path / "g.onnx"}, threads=1).opened("model").session
    inputs = {"a": np.zeros((2, 3), F), "b": np.zeros((2, 3), F)}
    error = explain(RuntimeError(message), session, inputs, "model")
    assert type(error) is kind
    assert is_out_of_memory(MemoryError())
