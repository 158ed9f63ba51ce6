"""The messages of an ONNX model that hold graphs, walked field by field: who calls which operator.

Everything that ONNX Runtime would act on is read: nodes, subgraphs in attributes, tensors wherever
they stand, functions that the model brings along. What describes (types of intermediate values,
documentation, metadata) is stepped over. Nothing is decided here about operators and versions: the
walk fills a `Walk`, and `scan` judges it.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (IR version 13).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from onnxpress.errors import UnsupportedFormat
from onnxpress.graphcheck.constants import product_of
from onnxpress.graphcheck.face import Value, read_value
from onnxpress.graphcheck.protowire import (
    FIXED32,
    VARINT,
    Budget,
    Buffer,
    Message,
    damaged,
    fields,
    forged,
    tag,
    text,
    varint,
)
from onnxpress.graphcheck.tensor import ExternalFiles, read_tensor

# Far above any model there is: a decoder of 80 unfused layers has about 10,000 nodes of 15 fields.
MAX_NODES: Final = 100_000
MAX_FIELDS: Final = 1_000_000
MAX_DEPTH: Final = 16

# Operators that make tensors of the size that a constant says, and the operator of constants.
_SIZING: Final = frozenset({b"ConstantOfShape", b"Expand", b"Tile", b"Range"})
#: Those of them whose first input is what they repeat.
_REPEATING: Final = frozenset({b"Expand", b"Tile"})
_CONSTANT: Final = b"Constant"

_COPIED_BYTES: Final = 1 << 16  # smaller nodes are copied out of the map: bytes are faster to index
_SHARED_BYTES: Final = 64  # attributes up to this size are compared with those seen before

_G_NODE, _G_INITIALIZER, _G_SPARSE, _G_INPUT, _G_OUTPUT = tag(1), tag(5), tag(15), tag(11), tag(12)
_GRAPH: Final = Message(
    "a graph",
    once=frozenset({tag(2), tag(10)}),
    many=frozenset({_G_NODE, _G_INITIALIZER, _G_SPARSE, _G_INPUT, _G_OUTPUT, tag(13), tag(14), tag(16)}),
)
_N_NAMES = frozenset({tag(1), tag(2), tag(3)})  # inputs, outputs, its own
_N_OPERATOR, _N_ATTRIBUTE, _N_DOMAIN, _N_OVERLOAD = tag(4), tag(5), tag(7), tag(8)
_N_SKIPPED = frozenset({tag(6), tag(9), tag(10)})

# One value and a list of values, for each kind of attribute that is looked into.
_A_NAME = tag(1)
_A_TENSOR = tag(5)
_A_TENSORS = frozenset({_A_TENSOR, tag(10)})
_A_GRAPHS = frozenset({tag(6), tag(11)})
_A_SPARSES = frozenset({tag(22), tag(23)})
_ATTRIBUTE: Final = Message(
    "an attribute",
    once=frozenset(
        {_A_NAME, tag(2, FIXED32), tag(3, VARINT), tag(4), tag(5), tag(6)}
        | {tag(13), tag(14), tag(20, VARINT), tag(21), tag(22)}
    ),
    many=frozenset({tag(7, FIXED32), tag(7), tag(8, VARINT), tag(8), tag(9), tag(10), tag(11), tag(15)} | {tag(23)}),
)
_F_NAME, _F_NODE, _F_OPSET, _F_DOMAIN, _F_OVERLOAD = tag(1), tag(7), tag(9), tag(10), tag(13)
_F_ATTRIBUTE = tag(11)
_FUNCTION: Final = Message(
    "a function",
    once=frozenset({_F_NAME, _F_DOMAIN, _F_OVERLOAD, tag(8)}),
    many=frozenset({_F_NODE, _F_OPSET, _F_ATTRIBUTE, tag(4), tag(5), tag(6), tag(12), tag(14)}),
)
_O_DOMAIN, _O_VERSION = tag(1), tag(2, VARINT)
_OPSET: Final = Message("an operator set", once=frozenset({_O_DOMAIN, _O_VERSION}))

Operator = tuple[bytes, bytes]
"""Domain and name, as they stand in the file."""


@dataclass(slots=True)
class Walk:
    """What has been seen so far of one file."""

    files: ExternalFiles
    budget: Budget = field(default_factory=lambda: Budget(MAX_FIELDS))
    nodes: int = 0
    initializer_bytes: int = 0
    tables: set[tuple[int, ...]] = field(default_factory=set)  # shapes of initializers with two axes
    checked: set[bytes] = field(default_factory=set)  # short attributes, which nodes have in common
    sizing: set[bytes] = field(default_factory=set)  # names at operators that make tensors of a size
    sizes: dict[bytes, int] = field(default_factory=dict)  # constant -> the product of its numbers


@dataclass(slots=True)
class Body:
    """One graph or function: how often it names which operator (subgraphs included), its face."""

    calls: Counter[Operator] = field(default_factory=Counter)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Function:
    """A function that the model defines. Overloads of one name differ in `overload`."""

    domain: bytes
    name: bytes
    overload: bytes
    body: Body
    opsets: list[tuple[str, int]]


def walk_graph(data: Buffer, start: int, end: int, walk: Walk, body: Body, depth: int = 0) -> None:
    """Walk the GraphProto in `data[start:end]` and note it in `body`.

    Raises CorruptFile, MissingFile and UnsupportedFormat, without the name of the file.
    """
    if depth > MAX_DEPTH:
        raise forged(f"subgraphs are nested more than {MAX_DEPTH} deep")
    for key, first, last in fields(data, start, end, _GRAPH, walk.budget):
        if key == _G_NODE:
            _walk_node(data, first, last, walk, body, depth)
        elif key == _G_INITIALIZER:
            tensor = read_tensor(data, first, last, walk.files, walk.budget)
            if tensor.name in body.initializers or not tensor.name:
                raise forged(f"initializer {tensor.name!r} has no name, or one that is taken")
            body.initializers.add(tensor.name)
            walk.initializer_bytes += tensor.size_bytes
            _note_size(tensor.name.encode(), product_of(data, first, last, walk.budget), walk)
            if len(tensor.shape) == 2:
                walk.tables.add(tensor.shape)
        elif key == _G_INPUT:
            body.inputs.append(read_value(data, first, last, walk.budget))
        elif key == _G_OUTPUT:
            body.outputs.append(read_value(data, first, last, walk.budget))
        elif key == _G_SPARSE:
            raise _sparse()


def walk_function(data: Buffer, start: int, end: int, walk: Walk) -> Function:
    """Walk the FunctionProto in `data[start:end]`. Raises as `walk_graph` does."""
    function = Function(b"", b"", b"", Body(), [])
    for key, first, last in fields(data, start, end, _FUNCTION, walk.budget):
        if key == _F_NODE:
            _walk_node(data, first, last, walk, function.body, 0)
        elif key == _F_ATTRIBUTE:
            _walk_attribute(data, first, last, walk, function.body, 0)
        elif key == _F_OPSET:
            function.opsets.append(read_opset(data, first, last, walk))
        elif key == _F_NAME:
            function.name = data[first:last]
        elif key == _F_DOMAIN:
            function.domain = _normal(data[first:last])
        elif key == _F_OVERLOAD:
            function.overload = data[first:last]
    if not function.name:
        raise damaged("a function has no name")
    return function


def read_opset(data: Buffer, start: int, end: int, walk: Walk) -> tuple[str, int]:
    """Domain and version of an OperatorSetIdProto; the domain of ai.onnx is the empty string."""
    domain, version = "", 0
    for key, first, last in fields(data, start, end, _OPSET, walk.budget):
        if key == _O_DOMAIN:
            domain = text(data, first, last, "an operator domain")
        else:
            version = first
    return "" if domain == "ai.onnx" else domain, version


def _walk_node(data: Buffer, start: int, end: int, walk: Walk, body: Body, depth: int) -> None:
    """Walk a NodeProto. All its fields are a length and bytes, and here is where the time of a scan
    goes: so the loop of `fields` is written out, and attributes that were seen before are known."""
    walk.nodes += 1
    if walk.nodes > MAX_NODES:
        raise forged(f"it has more than {MAX_NODES:,} nodes")
    if end - start < _COPIED_BYTES:
        data, start, end = data[start:end], 0, end - start
    names: list[bytes] = []
    attributes: list[tuple[int, int]] = []
    operator = domain = overload = None
    position = start
    used = 0
    available = walk.budget.left
    for used in range(available + 1):  # noqa: B007 - read after the loop
        if position >= end:
            break
        key = data[position]
        size = data[position + 1]
        position += 2
        if size > 0x7F:
            high = data[position]
            if high < 0x80:
                size += (high << 7) - 0x80
                position += 1
            else:
                size, position = varint(data, position - 1, end)
        last = position + size
        if last > end:
            raise damaged("a field runs past the end of its node")
        if key in _N_SKIPPED:
            pass
        elif key in _N_NAMES:
            names.append(data[position:last])
        elif key == _N_ATTRIBUTE:
            attributes.append((position, last))
            _walk_once(data, position, last, walk, body, depth)
        elif key == _N_OPERATOR and operator is None:
            operator = data[position:last]
        elif key == _N_DOMAIN and domain is None:
            domain = data[position:last]
        elif key == _N_OVERLOAD and overload is None:
            overload = data[position:last]
        else:
            raise damaged(f"a node holds field {key >> 3} (type {key & 7}) twice or wrongly")
        position = last
    walk.budget.spend(used if position >= end else available + 1)
    if not operator:
        raise damaged("a node has no operator")
    try:
        b"\n".join(names).decode()  # a line feed neither completes nor hides a broken character
    except UnicodeDecodeError:
        raise damaged("the name of a node or of a value is not UTF-8") from None
    body.calls[_normal(domain), operator] += 1
    if operator in _SIZING:
        # Numbers that are repeated say no size: positions, such as 0 to 63, may be a constant.
        walk.sizing.update(names[1:] if operator in _REPEATING else names)
    elif operator == _CONSTANT:
        for first, last in attributes:
            for key, begin, finish in fields(data, first, last, _ATTRIBUTE, walk.budget):
                if key == _A_TENSOR:
                    product = product_of(data, begin, finish, walk.budget)
                    for name in names:
                        _note_size(name, product, walk)


def _note_size(name: bytes, product: int, walk: Walk) -> None:
    """Constants of subgraphs and functions may have the name of another: the largest counts."""
    if product > 1:
        walk.sizes[name] = max(product, walk.sizes.get(name, 1))


def _normal(domain: bytes | None) -> bytes:
    """Name a domain in one way: that of ai.onnx is also called "" or left out."""
    return b"" if domain is None or domain == b"ai.onnx" else domain


def _walk_once(data: Buffer, start: int, end: int, walk: Walk, body: Body, depth: int) -> None:
    """Walk an attribute, unless the very same bytes were found good before (axes, permutations)."""
    if end - start > _SHARED_BYTES:
        _walk_attribute(data, start, end, walk, body, depth)
    elif (short := data[start:end]) not in walk.checked:
        nodes = walk.nodes
        _walk_attribute(short, 0, end - start, walk, body, depth)
        if walk.nodes == nodes:  # it held no graph, whose nodes count each time
            walk.checked.add(short)


def _walk_attribute(data: Buffer, start: int, end: int, walk: Walk, body: Body, depth: int) -> None:
    named = False
    for key, first, last in fields(data, start, end, _ATTRIBUTE, walk.budget):
        if key == _A_NAME:
            named = bool(text(data, first, last, "the name of an attribute"))
        elif key in _A_TENSORS:
            read_tensor(data, first, last, walk.files, walk.budget)
        elif key in _A_GRAPHS:
            walk_graph(data, first, last, walk, Body(body.calls), depth + 1)
        elif key in _A_SPARSES:
            raise _sparse()
    if not named:
        raise damaged("an attribute has no name")


def _sparse() -> UnsupportedFormat:
    # A few bytes of indices expand to a tensor of any size, and no transformer needs them.
    return UnsupportedFormat("it holds sparse tensors; export the model with dense weights")
