"""The structural check of an untrusted `.onnx` file, before ONNX Runtime is given it.

`scan` reads a ModelProto without the onnx package and without touching the weights. It returns what
the file says of itself, or raises an error that names what is wrong with it.

What ONNX Runtime 1.31 does without it: functions that call each other twice, 18 levels deep (3 KB),
keep it busy for more than 25 s; a name that is not UTF-8 surfaces as UnicodeDecodeError; of two
initializers of one name it takes the last, of two graphs the union, both silently. It refuses external
data outside of the folder by itself; that the older versions onnxpress accepts do is not relied upon.

This module does not know the manifest, and does not judge whether a graph computes anything sensible.
"""

from __future__ import annotations

import stat
from collections import Counter
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from onnxpress.errors import ArtifactError, CorruptFile, MissingFile, UnsupportedFormat
from onnxpress.graphcheck.face import Value
from onnxpress.graphcheck.protowire import VARINT, Buffer, Message, damaged, fields, forged, tag
from onnxpress.graphcheck.tensor import ExternalFiles, ListedFiles
from onnxpress.graphcheck.walk import (
    MAX_NODES,
    Body,
    Function,
    Operator,
    Walk,
    read_opset,
    walk_function,
    walk_graph,
)

# The newest that ONNX Runtime 1.31.1 opens, found by handing it a one-node model of each version.
# The keys are also the domains whose operators a graph may use.
MAX_IR_VERSION: Final = 13
MAX_OPSET: Final = {"": 26, "ai.onnx.ml": 5, "com.microsoft": 1, "com.microsoft.nchwc": 1}
# Operators that run what their attributes or other files hold: compiled blobs, or Python.
FORBIDDEN_OPERATORS: Final = frozenset(
    {"EPContext", "Snpe", "PyOp", "PythonOp", "PythonOpGrad", "TritonOp", "ATen", "ATenOp"}
)
MAX_FUNCTIONS: Final = 10_000
MAX_CALL_DEPTH: Final = 32
# Numbers that an operator makes of a constant size: more than any mask of a model has, and 1 GiB of floats.
MAX_MADE: Final = 1 << 28
MAX_FILE_BYTES: Final = (1 << 31) - 1  # protobuf's own limit; larger models use external data

_IR_VERSION, _GRAPH, _OPSET, _TRAINING, _FUNCTION = tag(1, VARINT), tag(7), tag(8), tag(20), tag(25)
_MODEL: Final = Message(
    "the model",
    once=frozenset({_IR_VERSION, _GRAPH, tag(2), tag(3), tag(4), tag(5, VARINT), tag(6)}),
    many=frozenset({_OPSET, _FUNCTION, _TRAINING, tag(14), tag(26)}),
)


#: Attention that takes a row's tokens to be the first ones, and padding to follow them, whatever a mask says.
RIGHT_PADDED: Final = frozenset({"GroupQueryAttention", "SparseAttention"})
#: ONNX Runtime's dynamic quantization.
BATCH_DEPENDENT: Final = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"})


@dataclass(frozen=True, slots=True)
class GraphFile:
    """What a model file says of itself.

    `opsets` maps operator domains to versions, with "" for ai.onnx. `takes` leaves out those that
    initializers fill. `external` holds the locations of external data as the file spells them,
    relative to its own folder, sorted. `node_count` and `initializer_bytes` cover subgraphs, functions
    and external data. `batch_dependent`: operators that take one range for a whole tensor, so that a row's result
    depends on what stands beside it. `loops`: whether an operator of it may go on for ever. `tables`: the shapes of
    initializers with two axes, such as a vocabulary's. `operators`: the names of all that it uses.
    """

    ir_version: int
    opsets: dict[str, int]
    takes: tuple[Value, ...]
    returns: tuple[Value, ...]
    external: tuple[str, ...]
    node_count: int
    initializer_bytes: int
    batch_dependent: tuple[str, ...] = ()
    tables: frozenset[tuple[int, ...]] = frozenset()
    loops: bool = False
    operators: frozenset[str] = frozenset()

    @property
    def right_padded(self) -> bool:
        """Whether padding on the left would be read as tokens."""
        return not self.operators.isdisjoint(RIGHT_PADDED)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(value.name for value in self.takes)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(value.name for value in self.returns)


def scan(path: Path, *, root: Path, also: tuple[Path, ...] = ()) -> GraphFile:
    """Check the model at `path`, of the artifact in the folder `root`.

    The file and its external data have to lie inside `root`, or inside one of `also` (the folders where
    a Hub cache keeps the files it links to), once links are resolved.

    Raises:
        MissingFile: the file or its external data is not there.
        CorruptFile: it is damaged, contradicts itself, or reaches outside of the artifact.
        UnsupportedFormat: it needs operators, or versions of them, that this runtime does not have.
    """
    try:
        allowed = tuple(folder.resolve() for folder in (root, *also))
        walk = Walk(ExternalFiles(path.parent, allowed))
        with _mapped(path, allowed) as data:
            parts = _read(data, walk)
        return _judged(parts, walk)
    except ArtifactError as error:
        raise type(error)(f"{path}: {error}.") from None


def external_files(path: Path, *, root: Path, also: tuple[Path, ...] = ()) -> tuple[str, ...]:
    """The locations of a model's external data as the file spells them, whether they are there or not.

    Raises:
        ArtifactError: as `scan`.
    """
    try:
        allowed = tuple(folder.resolve() for folder in (root, *also))
        files = ListedFiles(path.parent, allowed)
        with _mapped(path, allowed) as data:
            _read(data, Walk(files))
        return tuple(sorted(files.sizes_bytes))
    except ArtifactError as error:
        raise type(error)(f"{path}: {error}.") from None


@dataclass(slots=True)
class _Parts:
    """The fields of a ModelProto that matter, before they are compared with each other."""

    ir_version: int = 0
    graph: Body | None = None
    opsets: list[tuple[str, int]] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)


def _mapped(path: Path, allowed: tuple[Path, ...]) -> mmap:
    """The content of the file at `path`, in place, once it is known to be a plain file."""
    try:
        real = path.resolve(strict=True)
        status = real.stat()
        if not any(real.is_relative_to(folder) for folder in allowed):
            raise forged(f"the file leads outside of the artifact, to {real}")
        if not stat.S_ISREG(status.st_mode):
            raise forged("this is not a regular file")
        if not status.st_size:
            raise damaged("the file is empty")
        if status.st_size > MAX_FILE_BYTES:
            raise CorruptFile("a graph file cannot exceed 2 GiB; export it with external data")
        with real.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        reason = getattr(error, "strerror", None) or "a loop of links"
        raise MissingFile(f"cannot be read ({reason}); export or download it again") from None


def _read(data: Buffer, walk: Walk) -> _Parts:
    if data[:24] == b"version https://git-lfs.":
        raise CorruptFile("this is a pointer of Git LFS, not the file itself; run `git lfs pull`")
    parts = _Parts()
    try:
        for key, first, last in fields(data, 0, len(data), _MODEL, walk.budget):
            if key == _IR_VERSION:
                parts.ir_version = first
                _check_ir_version(first)
            elif key == _GRAPH:
                parts.graph = Body()
                walk_graph(data, first, last, walk, parts.graph)
            elif key == _OPSET:
                parts.opsets.append(read_opset(data, first, last, walk))
            elif key == _FUNCTION:
                parts.functions.append(walk_function(data, first, last, walk))
                if len(parts.functions) > MAX_FUNCTIONS:
                    raise forged(f"it defines more than {MAX_FUNCTIONS:,} functions")
            elif key == _TRAINING:
                raise UnsupportedFormat("it holds training information; export it for inference")
    except IndexError:  # a tag or length that would stand behind the last byte
        raise damaged(f"the file ends within a field, after {walk.nodes} nodes") from None
    return parts


def _judged(parts: _Parts, walk: Walk) -> GraphFile:
    graph = parts.graph
    if graph is None or not parts.ir_version:
        raise damaged("this is not an ONNX model: it has no version, or no graph")
    opsets = _checked_opsets(parts)
    _check_operators(graph, parts.functions)
    largest = max((walk.sizes[name] for name in walk.sizing & walk.sizes.keys()), default=0)
    if largest > MAX_MADE:
        raise forged(f"one of its operators makes {largest:,} numbers of nothing, more than any model needs")
    takes = [value for value in graph.inputs if value.name not in graph.initializers]
    if not graph.outputs:
        raise damaged("its graph has no outputs")
    if any(len({value.name for value in values}) < len(values) for values in (takes, graph.outputs)):
        raise damaged("two of its inputs, or two of its outputs, have the same name")
    called = frozenset(operator[1].decode() for operator in _called(parts))
    return GraphFile(
        ir_version=parts.ir_version,
        opsets=opsets,
        takes=tuple(takes),
        returns=tuple(graph.outputs),
        external=tuple(sorted(walk.files.sizes_bytes)),
        node_count=walk.nodes,
        initializer_bytes=walk.initializer_bytes,
        batch_dependent=tuple(sorted(called & BATCH_DEPENDENT)),
        tables=frozenset(walk.tables),
        loops=(b"", b"Loop") in _called(parts),
        operators=called,
    )


def _called(parts: _Parts) -> set[Operator]:
    bodies = [function.body for function in parts.functions]
    return {operator for body in (parts.graph, *bodies) if body is not None for operator in body.calls}


def _check_ir_version(version: int) -> None:
    # At once, not in the end: what a newer version adds would be taken for damage.
    if version > MAX_IR_VERSION:
        raise UnsupportedFormat(
            f"it is written in ONNX IR version {version}, and {MAX_IR_VERSION} is the newest that is "
            "known; upgrade onnxpress and onnxruntime"
        )


def _checked_opsets(parts: _Parts) -> dict[str, int]:
    """The operator sets of the model; those of its functions are checked with them. A set that no operator is of may be
    any: ONNX Runtime's optimizer names several that it has no use for. `_check_operators` looks at those in use."""
    opsets = dict(parts.opsets)
    if len(opsets) < len(parts.opsets):
        raise forged("it names two versions of one operator set")
    if "" not in opsets:
        raise damaged("it does not say which version of the ai.onnx operators it uses")
    for domain, version in (*parts.opsets, *(o for f in parts.functions for o in f.opsets)):
        shown = repr(domain or "ai.onnx")
        if not 0 < version < 1 << 31:
            raise damaged(f"the version of the operators of {shown} is {version}")
        if version > MAX_OPSET.get(domain, version):
            raise UnsupportedFormat(
                f"it needs version {version} of the operators of {shown}, and {MAX_OPSET[domain]} is "
                "the newest that is known; upgrade onnxpress and onnxruntime"
            )
    return opsets


def _check_operators(graph: Body, functions: list[Function]) -> None:
    """Every operator is built in or defined by the model; inlining the functions comes to an end.

    Overloads of one name are counted as one function: more than ONNX Runtime expands, never less.
    """
    bodies: dict[Operator, Counter[Operator]] = {}
    overloads: set[tuple[Operator, bytes]] = set()
    for function in functions:
        operator = (function.domain, function.name)
        if (operator, function.overload) in overloads:
            raise forged(f"it defines the function {_shown(operator)} twice")
        overloads.add((operator, function.overload))
        bodies[operator] = bodies.get(operator, Counter()) + function.body.calls
    for calls in (Counter(list(bodies)), graph.calls, *bodies.values()):
        for operator in calls:
            _check_operator(operator, operator in bodies)
    if bodies:
        _check_expansion(graph.calls + Counter(list(bodies)), bodies)


def _check_operator(operator: Operator, defined: bool) -> None:
    try:
        domain, name = operator[0].decode(), operator[1].decode()
    except UnicodeDecodeError:
        raise damaged(f"the operator {_shown(operator)} is not UTF-8") from None
    if ":" in name or ":" in domain:  # ONNX Runtime joins domain, name and overload by colons
        raise forged(f"the operator {_shown(operator)} has a colon in its name")
    if name in FORBIDDEN_OPERATORS:
        raise UnsupportedFormat(
            f"it uses {_shown(operator)}, which runs code that the check cannot see; "
            "do not trust this file, or export it without"
        )
    if not defined and domain not in MAX_OPSET:
        raise UnsupportedFormat(
            f"it uses the operator {_shown(operator)}, which onnxpress does not run; export it without custom operators"
        )


def _check_expansion(calls: Counter[Operator], bodies: dict[Operator, Counter[Operator]]) -> None:
    """Replace function calls by bodies, a level at a time and in numbers only, until none is left."""
    nodes = 0
    for _ in range(MAX_CALL_DEPTH):
        nodes += sum(times for operator, times in calls.items() if operator not in bodies)
        inner: Counter[Operator] = Counter()
        for operator, times in calls.items():
            for name, count in bodies.get(operator, {}).items():
                inner[name] += count * times
        if nodes + inner.total() > MAX_NODES:
            raise forged(f"its functions expand to more than {MAX_NODES:,} nodes")
        if not inner:
            return
        calls = inner
    raise forged(f"its functions call each other in a circle, or over {MAX_CALL_DEPTH} levels deep")


def _shown(operator: Operator) -> str:
    return repr(b"::".join(operator if operator[0] else operator[1:]).decode(errors="replace"))
