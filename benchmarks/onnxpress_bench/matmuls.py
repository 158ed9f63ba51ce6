"""Matrix products of the libraries that are installed: how fast this machine's best software multiplies.

Each library is imported when its products are made; one that is absent is left out. Weights are constants, packed by
the library beforehand if it does that, as a model's are. Knows nothing of time or rates.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: M x K x N: an encoder's feed-forward layer over 1,024 tokens, and a large square, which many libraries do best.
SHAPES = ((1024, 768, 3072), (1536, 1536, 1536))

#: int8 weights that `vpmaddubsw` cannot saturate on; the values do not change the speed.
INT8_MAX = 63

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product that can be repeated: `call` computes it into memory it has, and returns that memory."""

    by: str
    operations: int
    call: Callable[[], NDArray[Any]]


def fp32_products(threads: int, shapes: tuple[Shape, ...] = SHAPES) -> list[Product]:
    """fp32 products on `threads` threads by every library that is here."""
    return [product for make in (_numpy, _torch, _onnxruntime_fp32) for product in make(threads, shapes)]


def int8_products(threads: int, shapes: tuple[Shape, ...] = SHAPES) -> list[Product]:
    """uint8 by int8 products with int32 sums. PyTorch's own is private, and without VNNI a reference loop: left out."""
    return list(_onnxruntime_int8(threads, shapes))


def fp32_operands(shape: Shape) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Activations and weights: float32 (M, K) and (K, N), the same ones at every call."""
    m, k, n = shape
    rng = np.random.default_rng(3)
    return rng.standard_normal((m, k), dtype=np.float32), rng.standard_normal((k, n), dtype=np.float32)


def int8_operands(shape: Shape) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Activations and weights: uint8 (M, K) and int8 (K, N), the same ones at every call."""
    m, k, n = shape
    rng = np.random.default_rng(5)
    return (
        rng.integers(0, 256, (m, k), dtype=np.uint8),
        rng.integers(-INT8_MAX, INT8_MAX + 1, (k, n), dtype=np.int8),
    )


def _numpy(threads: int, shapes: tuple[Shape, ...]) -> Iterator[Product]:
    """numpy's BLAS reads its number of threads from the environment, once: left out where that is another, or none."""
    variables = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    limit = next((os.environ[name] for name in variables if os.environ.get(name)), None)
    if limit != str(threads):
        return
    for shape in shapes:
        x, w = fp32_operands(shape)
        out = np.zeros((shape[0], shape[2]), dtype=np.float32)
        yield _product(f"numpy {np.__version__}", shape, partial(np.matmul, x, w, out=out))


def _torch(threads: int, shapes: tuple[Shape, ...]) -> Iterator[Product]:
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)
    for shape in shapes:
        x, w = (torch.from_numpy(operand) for operand in fp32_operands(shape))
        out = torch.zeros((shape[0], shape[2]))

        def call(x: Any = x, w: Any = w, out: Any = out) -> NDArray[Any]:
            return np.asarray(torch.mm(x, w, out=out))

        yield _product(f"torch {torch.__version__}", shape, call)


def _onnxruntime_fp32(threads: int, shapes: tuple[Shape, ...]) -> Iterator[Product]:
    for shape in shapes:
        x, w = fp32_operands(shape)
        yield from _onnxruntime(threads, shape, "MatMul", "", x, {"w": w}, np.float32)


def _onnxruntime_int8(threads: int, shapes: tuple[Shape, ...]) -> Iterator[Product]:
    for shape in shapes:
        x, w = int8_operands(shape)
        yield from _onnxruntime(threads, shape, "MatMulInteger", "", x, {"w": w}, np.int32)
        constants: dict[str, NDArray[Any]] = {
            "w": w,
            "x_scale": np.array(1.0, np.float32),
            "w_scale": np.ones(shape[2], np.float32),
        }
        yield from _onnxruntime(threads, shape, "MatMulIntegerToFloat", "com.microsoft", x, constants, np.float32)


def _onnxruntime(
    threads: int,
    shape: Shape,
    operator: str,
    domain: str,
    x: NDArray[Any],
    constants: Mapping[str, NDArray[Any]],
    result_type: type[np.generic],
) -> Iterator[Product]:
    """A session of one operator over `x` and `constants`; nothing where onnxruntime, or onnx to write it, is absent."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return
    type_of: Callable[[Any], TensorProto.DataType] = helper.np_dtype_to_tensor_dtype
    out = np.zeros((shape[0], shape[2]), dtype=result_type)
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", *constants], ["y"], domain=domain)],
        "product",
        [helper.make_tensor_value_info("x", type_of(x.dtype), x.shape)],
        [helper.make_tensor_value_info("y", type_of(out.dtype), out.shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, ir_version=10, opset_imports=opsets)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Its threads would go on spinning after the call, and take time from whatever is measured next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    # Bound: a fresh result of 12 MB at every call would cost page faults that are not the product's.
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    bound = onnxruntime.OrtValue.ortvalue_from_numpy(out)
    binding.bind_ortvalue_output("y", bound)

    def call() -> NDArray[Any]:
        session.run_with_iobinding(binding)
        return np.asarray(bound.numpy())

    yield _product(f"onnxruntime {onnxruntime.__version__} {operator}", shape, call)


def _product(by: str, shape: Shape, call: Callable[[], NDArray[Any]]) -> Product:
    """A multiplication and an addition for each of M * K * N."""
    return Product(f"{by} {'x'.join(map(str, shape))}", 2 * shape[0] * shape[1] * shape[2], call)
