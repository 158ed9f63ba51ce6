"""Two loops compiled for this processor: multiply-adds that stay in registers, and a sum that only reads memory.

Both are given to LLVM as text, for vectors of a chosen width, so the same few lines serve x86 and Arm. No optimisation
pass runs over them, only code generation: what the text says is what the processor does. llvmlite is imported when a
loop is compiled, not with this module, which knows nothing of threads, time or rates.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError, MissingDependency

FLOAT_BITS = 32

#: Sums kept apart while memory is read, so that no addition waits for the one before it.
READ_SUMS = 8

#: Places that are read from by turns: several streams of prefetching carry some 5% more than one (measured on Zen 3).
READ_STREAMS = 4


@dataclass(frozen=True, slots=True)
class Host:
    """The processor as LLVM names it; `features` maps names such as "avx2" to whether it has them."""

    triple: str
    cpu: str
    features: Mapping[str, bool]

    @property
    def is_x86(self) -> bool:
        """Whether vectors may be wider than 128 bits and registers fewer than 32."""
        return self.triple.startswith(("x86_64", "i386", "i686", "amd64"))


@dataclass(frozen=True, slots=True)
class Kernels:
    """Both loops for one vector width. `engine` owns the machine code and must live as long as the functions."""

    vector_bits: int
    accumulators: int
    add_function: Callable[[int, int, float], None]
    sum_function: Callable[[int, int, int], None]
    engine: Any

    @property
    def lanes(self) -> int:
        """fp32 numbers in one vector."""
        return self.vector_bits // FLOAT_BITS

    @property
    def operations_per_step(self) -> int:
        """Floating-point operations of one step of `multiply_add`; a multiply-add counts as two."""
        return 2 * self.lanes * self.accumulators


def host() -> Host:
    """The processor that this process runs on.

    Raises:
        MissingDependency: llvmlite is absent.
    """
    binding = _llvm()
    return Host(binding.get_default_triple(), binding.get_host_cpu_name(), dict(binding.get_host_cpu_features()))


def vector_widths(processor: Host) -> tuple[int, ...]:
    """Vector widths in bits that are worth timing, widest first.

    The widest is not always the fastest: some processors lower their clock for 512-bit vectors, or have one unit for
    them where they have two for 256. Arm's scalable vectors are left out: Neoverse V1 runs two of 256 bits where it
    runs four of 128. On a processor that gains by them, Fujitsu's A64FX, the figure is too low.
    """
    if processor.is_x86 and processor.features.get("avx512f"):
        return (512, 256)
    if processor.is_x86 and processor.features.get("avx"):
        return (256,)
    return (128,)


def compile_kernels(processor: Host, vector_bits: int) -> Kernels:
    """Machine code of both loops; the processor has to be the one of this process.

    Raises:
        MissingDependency: llvmlite is absent.
    """
    binding = _llvm()
    accumulators = _accumulators(processor, vector_bits)
    module = binding.parse_assembly(_text(vector_bits // FLOAT_BITS, accumulators))
    engine = binding.create_mcjit_compiler(module, _target_machine(processor))
    engine.finalize_object()
    # ctypes lets go of the interpreter's lock during the call, so threads run these side by side.
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    add_type = ctypes.CFUNCTYPE(None, pointer, count, ctypes.c_float)
    sum_type = ctypes.CFUNCTYPE(None, pointer, count, pointer)
    return Kernels(
        vector_bits=vector_bits,
        accumulators=accumulators,
        add_function=add_type(engine.get_function_address("multiply_add")),
        sum_function=sum_type(engine.get_function_address("read_sum")),
        engine=engine,
    )


def assembly(processor: Host, vector_bits: int) -> str:
    """The loops as a processor's own instructions; it may be another processor than this one."""
    binding = _llvm()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    module = binding.parse_assembly(_text(vector_bits // FLOAT_BITS, _accumulators(processor, vector_bits)))
    text: str = _target_machine(processor).emit_assembly(module)
    return text


def multiply_add(kernels: Kernels, state: NDArray[np.float32], steps: int, factor: float) -> None:
    """Take `steps` times through the accumulators in turn, adding to each `factor` times the one after it.

    `state`: float32 (accumulators, lanes), contiguous; replaced by the result. Lanes never mix.
    """
    _check(state, (kernels.accumulators, kernels.lanes))
    kernels.add_function(state.ctypes.data, steps, factor)


def read_sum(kernels: Kernels, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of `values`, float32 (n,), each read once: float32 (READ_SUMS, lanes), whose own sum is that of `values`.

    n has to be a multiple of READ_SUMS * lanes.
    """
    sums = np.zeros((READ_SUMS, kernels.lanes), dtype=np.float32)
    if values.size % sums.size:
        raise InputError(f"{values.size} values are no multiple of the {sums.size} read at a time")
    _check(values, values.shape[:1])
    kernels.sum_function(values.ctypes.data, values.size // sums.size, sums.ctypes.data)
    return sums


def _check(array: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    """The loops get bare addresses: a wrong array would corrupt memory instead of failing."""
    if array.dtype != np.float32 or array.shape != shape or not array.flags.c_contiguous:
        raise InputError(f"expected a contiguous float32 {shape}, got {array.dtype} {array.shape}")


def _llvm() -> Any:
    """llvmlite's binding, ready to compile for this processor."""
    try:
        from llvmlite import binding
    except ImportError as error:
        raise MissingDependency(
            "Measuring the machine's limits needs llvmlite: `pip install 'onnxpress[bench]'`."
        ) from error
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


def _target_machine(processor: Host) -> Any:
    features = ",".join(f"{'+' if has else '-'}{name}" for name, has in sorted(processor.features.items()))
    target = _llvm().Target.from_triple(processor.triple)
    return target.create_target_machine(cpu=processor.cpu, features=features, opt=3)


def _accumulators(processor: Host, vector_bits: int) -> int:
    """How many accumulators fit the registers beside the factor: enough to hide 4 cycles on 2 units, or on 4.

    x86 has 16 vector registers, and 32 with AVX-512 (for narrower vectors with its VL part); Arm has 32.
    """
    with_32 = "avx512f" if vector_bits == 512 else "avx512vl"
    return 24 if not processor.is_x86 or processor.features.get(with_32) else 12


def _text(lanes: int, accumulators: int) -> str:
    """LLVM's text of both loops."""
    vector = f"<{lanes} x float>"
    # fmuladd is one fused instruction where the processor has it, and a multiplication and an addition elsewhere.
    # A product of two constants could be moved out of the loop there, hence the neighbour as one of its factors.
    add = _loop(
        vector,
        accumulators,
        "steps",
        [
            f"%n{i} = call {vector} @llvm.fmuladd.v{lanes}f32({vector} {_after(i, accumulators)}, "
            f"{vector} %factors, {vector} %a{i})"
            for i in range(accumulators)
        ],
    )
    # Stream s is the s-th quarter of the values; each step reads the next few vectors of every quarter.
    together = READ_SUMS // READ_STREAMS
    read = _loop(
        vector,
        READ_SUMS,
        "blocks",
        [f"%base = mul i64 %i, {together}"]
        + [
            f"%b{i} = mul i64 %blocks, {i // together * together}\n"
            f"  %c{i} = add i64 %b{i}, {i % together}\n"
            f"  %o{i} = add i64 %base, %c{i}\n"
            f"  %p{i} = getelementptr {vector}, ptr %values, i64 %o{i}\n"
            f"  %v{i} = load {vector}, ptr %p{i}, align 4\n"
            f"  %n{i} = fadd {vector} %a{i}, %v{i}"
            for i in range(READ_SUMS)
        ],
    )
    return f"""
declare {vector} @llvm.fmuladd.v{lanes}f32({vector}, {vector}, {vector})

define void @multiply_add(ptr %state, i64 %steps, float %factor) {{
entry:
  %one = insertelement {vector} poison, float %factor, i32 0
  %factors = shufflevector {vector} %one, {vector} poison, <{lanes} x i32> zeroinitializer
{add}}}

define void @read_sum(ptr %values, i64 %blocks, ptr %state) {{
entry:
{read}}}
"""


def _after(index: int, accumulators: int) -> str:
    """The next accumulator as this step finds it: the last one's neighbour is the first, already added to."""
    return "%n0" if index == accumulators - 1 else f"%a{index + 1}"


def _loop(vector: str, count: int, times: str, body: list[str]) -> str:
    """A loop over `count` vectors held in registers, loaded from %state and stored there: %a are old, %n are new."""
    lines = []
    for i in range(count):
        lines += [f"%s{i} = getelementptr {vector}, ptr %state, i64 {i}", f"%l{i} = load {vector}, ptr %s{i}, align 4"]
    lines += [f"%some = icmp sgt i64 %{times}, 0", "br i1 %some, label %loop, label %none", "none:", "ret void"]
    lines += ["loop:", "%i = phi i64 [ 0, %entry ], [ %next, %loop ]"]
    lines += [f"%a{i} = phi {vector} [ %l{i}, %entry ], [ %n{i}, %loop ]" for i in range(count)]
    lines += body
    lines += ["%next = add i64 %i, 1", f"%more = icmp slt i64 %next, %{times}", "br i1 %more, label %loop, label %done"]
    lines += ["done:", *(f"store {vector} %n{i}, ptr %s{i}, align 4" for i in range(count)), "ret void"]
    return "".join(f"{'' if line.endswith(':') else '  '}{line}\n" for line in lines)
