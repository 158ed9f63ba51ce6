"""Keys and values of an encoder's text, made by the decoder of the encoder's states, as other tools' graphs do.

    encoder_model: ids -> states -> present.N.encoder.key, .value
    decoder_model_merged: past_key_values.N.encoder.key, .value -> ...
    -> encoder_model: ids -> last_hidden_state
       decoder_model_merged: encoder_hidden_states, use_cache_branch, past_key_values.N.encoder.key -> ...,
                             present.N.encoder.key = Concat(of what was kept, of the states)

`use_cache_branch` bool (1) says which of both there is: the other one is cut to length 0, so that nothing is computed
of it, and no branches are needed. Lengths of rows are those of the past, which is empty in the first call.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.attention_mask import SEQLENS, TOTAL, Front
from onnxpress_exporter.passes.graph import add_constant, axes, remove_dead, unused_name

STATES, HIDDEN_STATES, USE_CACHE, PLACES = (
    "last_hidden_state",
    "encoder_hidden_states",
    "use_cache_branch",
    "position_ids",
)
_INT32, _INT64, _FLOAT, _BOOL = (
    onnx_ir.DataType.INT32,
    onnx_ir.DataType.INT64,
    onnx_ir.DataType.FLOAT,
    onnx_ir.DataType.BOOL,
)
_ALL = 2**62
_ROWS, _READ = "batch_size", "encoder_sequence_length"


def cross_keys(encoder: onnx_ir.Model, decoder: onnx_ir.Model) -> int:
    """Move what makes keys and values of a text from one graph to the other. How many of them there are.

    Raises:
        ValueError: the encoder's graph has no one value that all of them are made of.
    """
    states = _cut(encoder.graph)
    front = Front(decoder.graph, "cross")
    hidden = _input(decoder.graph, HIDDEN_STATES, _FLOAT, [_ROWS, _READ, _width(states)])
    cached = _input(decoder.graph, USE_CACHE, _BOOL, [1])
    everything, nothing = front.ints(_ALL), front.ints(0)
    new = front.node("new", "Where", [cached, nothing, everything], _INT64, [1])
    old = front.node("old", "Where", [cached, everything, nothing], _INT64, [1])
    read = front.node("states", "Slice", [hidden, nothing, new, front.ints(1)], _FLOAT, [_ROWS, None, _width(states)])
    _lengths(decoder.graph, front, cached)
    front.done()
    moved = _move(encoder, decoder, states, read)
    for name, value in moved.items():
        _join(decoder.graph, name, value, old)
    states.name = STATES
    encoder.graph.outputs.append(states)
    for model in (encoder, decoder):
        remove_dead(model)
    _in_order(decoder.graph)
    return len(moved)


def _in_order(graph: onnx_ir.Graph) -> None:
    """Put keys and values in the order in which tools count them: all of a layer side by side."""
    for values in (graph.inputs, graph.outputs):
        ordered = sorted(values, key=lambda value: _layer(str(value.name)))  # which keeps the order otherwise
        values.clear()
        values.extend(ordered)


def _layer(name: str) -> int:
    number = name.split(".")[1] if "." in name else ""
    return int(number) if number.isdigit() else -1


def _width(states: onnx_ir.Value) -> int:
    width = (axes(states) or (None,))[-1]
    if not isinstance(width, int):
        raise ValueError("the width of the encoder's states is not known")
    return width


def _cut(graph: onnx_ir.Graph) -> onnx_ir.Value:
    """The last value of three axes that all outputs are made of, and nothing else that depends on the text."""
    order = list(graph)
    for node in reversed(order):
        (value, *others) = node.outputs
        if not others and len(axes(value) or ()) == 3 and value.dtype == _FLOAT and not _reached(graph, order, value):
            return value
    raise ValueError("its keys and values are not made of one value")


def _reached(graph: onnx_ir.Graph, order: Iterable[onnx_ir.Node], without: onnx_ir.Value) -> bool:
    """Whether an output depends on an input otherwise than through a value, or not on that."""
    dependent, through = {id(value) for value in graph.inputs}, {id(without)}
    for node in order:
        outputs = [value for value in node.outputs if value is not without]
        if any(id(value) in dependent for value in node.inputs):
            dependent |= {id(value) for value in outputs}
        if any(id(value) in through for value in node.inputs):
            through |= {id(value) for value in outputs}
    return any(id(value) in dependent or id(value) not in through for value in graph.outputs)


def _move(
    encoder: onnx_ir.Model, decoder: onnx_ir.Model, states: onnx_ir.Value, read: onnx_ir.Value
) -> dict[str, onnx_ir.Value]:
    """Move the nodes between the states and the outputs, with their constants; the outputs' values by name."""
    last, outputs = states.producer(), {str(value.name): value for value in encoder.graph.outputs}
    nodes = _between(encoder.graph, states)
    encoder.graph.outputs.clear()
    anchor = next(iter(node for node in decoder.graph if not (node.name or "").startswith("cross.")))
    assert last is not None
    for node in nodes:
        for place, value in enumerate(node.inputs):
            if value is states:
                node.replace_input_with(place, read)
            elif value is not None and value.producer() is None:
                node.replace_input_with(place, _constant(encoder.graph, decoder.graph, value))
    encoder.graph.remove(nodes)
    for node in nodes:
        for value in node.outputs:
            value.name = unused_name(decoder.graph, f"cross.{value.name}")
        node.name = node.outputs[0].name
        decoder.graph.insert_before(anchor, node)
    return outputs


def _between(graph: onnx_ir.Graph, states: onnx_ir.Value) -> list[onnx_ir.Node]:
    """The nodes that the outputs need beside the states, in order."""
    wanted, needed = {id(value) for value in graph.outputs}, []
    for node in reversed(list(graph)):
        if any(id(value) in wanted for value in node.outputs) and states not in node.outputs:
            needed.append(node)
            wanted |= {id(value) for value in node.inputs if value is not None and value is not states}
    return needed[::-1]


def _constant(source: onnx_ir.Graph, target: onnx_ir.Graph, value: onnx_ir.Value) -> onnx_ir.Value:
    """The same constant in another graph; one of few numbers is looked for there."""
    assert value.name is not None and value.const_value is not None
    if value.const_value.size <= 16:
        return add_constant(target, value.name, value.const_value.numpy())
    if value.name in target.initializers and target.initializers[value.name].const_value is value.const_value:
        return target.initializers[value.name]
    name = value.name
    while name in target.initializers:
        name += "_"
    copy = onnx_ir.Value(name=name, const_value=value.const_value, type=value.type, shape=value.shape)
    target.register_initializer(copy)
    return copy


def _join(graph: onnx_ir.Graph, present: str, new: onnx_ir.Value, until: onnx_ir.Value) -> None:
    """What was kept, or what is made, in the place of the past; it is an output, too."""
    past = next(value for value in graph.inputs if value.name == present.replace("present.", "past_key_values.", 1))
    source = new.producer()
    assert source is not None
    zero, axis = (add_constant(graph, f"ints_{number}", np.array([number], np.int64)) for number in (0, 2))
    cut = onnx_ir.node("Slice", [past, zero, until, axis], name=f"{present}.kept")
    cut.outputs[0].name, cut.outputs[0].type = f"{present}.kept", onnx_ir.TensorType(_FLOAT)
    both = onnx_ir.node("Concat", [cut.outputs[0], new], {"axis": 2}, name=present)
    both.outputs[0].name, both.outputs[0].type = present, onnx_ir.TensorType(_FLOAT)
    both.outputs[0].shape = past.shape
    onnx_ir.convenience.replace_all_uses_with(past, both.outputs[0])
    cut.replace_input_with(0, past)
    graph.insert_after(source, [cut, both])
    graph.outputs.append(both.outputs[0])


def _lengths(graph: onnx_ir.Graph, front: Front, cached: onnx_ir.Value) -> None:
    """Lengths and places from the past's, in the place of this runtime's own inputs."""
    inputs = {str(value.name): value for value in graph.inputs}
    if SEQLENS not in inputs:
        return
    ids, past = inputs["input_ids"], next(value for name, value in inputs.items() if ".decoder.key" in name)
    used = front.node("used", "Cast", [cached], _INT64, [1], to=int(_INT64))
    before = front.node("before", "Mul", [front.size(past, 2), used], _INT64, [1])
    after = front.node("after", "Add", [before, front.size(ids, 1)], _INT64, [1])
    last = front.node("last", "Sub", [after, front.ints(1)], _INT64, [1])
    every = front.node("every", "Expand", [last, front.size(ids, 0)], _INT64, [_ROWS])
    computed = {
        SEQLENS: front.node("seqlens", "Cast", [every], _INT32, [_ROWS], to=int(_INT32)),
        TOTAL: front.scalar(after, "total"),
    }
    if PLACES in inputs:
        ends = [
            front.node(f"{value.name}.end", "Squeeze", [value, front.ints(0)], _INT64, []) for value in (before, after)
        ]
        step = add_constant(graph, "int_1", np.array(1, np.int64))
        row = front.node("row", "Range", [*ends, step], _INT64, ["sequence_length"])
        shape = front.node("ids.shape", "Shape", [ids], _INT64, [2])
        computed[PLACES] = front.node("places", "Expand", [row, shape], _INT64, [_ROWS, "sequence_length"])
    for name, value in computed.items():
        onnx_ir.convenience.replace_all_uses_with(inputs[name], value)
        graph.inputs.remove(inputs[name])


def _input(graph: onnx_ir.Graph, name: str, dtype: onnx_ir.DataType, shape: list[int | str | None]) -> onnx_ir.Value:
    value = onnx_ir.Value(name=name, shape=onnx_ir.Shape(shape), type=onnx_ir.TensorType(dtype))
    graph.inputs.append(value)
    return value
