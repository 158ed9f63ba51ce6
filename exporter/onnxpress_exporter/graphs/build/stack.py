"""Layers around a residual stream, of encoders and decoders alike. Knows no attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir

from onnxpress_exporter.graphs.build.architecture import Attention, Branch, Layer, Norm, SoundStack, Stack
from onnxpress_exporter.graphs.build.linear import bias, linear, product
from onnxpress_exporter.graphs.build.mlp import feed_forward
from onnxpress_exporter.graphs.build.nodes import axes_of, emit, multiply, normalize

#: (name, number of the layer, attention, what it reads) -> what its output projection reads.
Attend = Callable[[str, int, Attention, onnx_ir.Value], onnx_ir.Value]


@dataclass(frozen=True, slots=True)
class Stream:
    """The residual stream (rows, sequence, width): `done` plus terms that no node has added yet."""

    done: onnx_ir.Value
    terms: tuple[onnx_ir.Value, ...] = ()


def run_layers(graph: onnx_ir.Graph, stack: Stack | SoundStack, stream: Stream, attend: Attend) -> onnx_ir.Value:
    """The stream after all layers and the last norm."""
    for number, layer in enumerate(stack.layers):
        stream = _layer(graph, f"{stack.name or 'layers'}.{number}", number, layer, stream, attend)
    return read(graph, f"{stack.name}.norm".lstrip("."), stream, stack.norm)[0]


def read(graph: onnx_ir.Graph, name: str, stream: Stream, norm: Norm | None) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    """What a branch reads of the stream, normalized, and the stream with everything added.

    Sum is not fused with the norm when the graph is loaded, as Add would be: ONNX Runtime's kernels for both together
    are scalar, and take two to four times as long.
    """
    done = stream.done
    if stream.terms:
        done = emit(graph, f"{name}.sum", "Sum", [done, *stream.terms], axes=axes_of(done))
    return (done if norm is None else normalize(graph, name, done, norm)), done


def _layer(graph: onnx_ir.Graph, name: str, number: int, layer: Layer, stream: Stream, attend: Attend) -> Stream:
    x = stream.done
    for place, branch in enumerate(layer.branches):
        before = f"{name}.before_{_kind(branch)}"
        if place == 0 or not layer.parallel:
            x, done = read(graph, before, stream, branch.before)
            stream = Stream(done)
        elif branch.before is not None:
            x = normalize(graph, before, stream.done, branch.before)
        stream = Stream(stream.done, stream.terms + _terms(graph, name, number, branch, x, attend))
        if branch.joined is not None:
            stream = Stream(read(graph, f"{name}.joined_{_kind(branch)}", stream, branch.joined)[0])
    return stream


def _terms(
    graph: onnx_ir.Graph, name: str, number: int, branch: Branch, x: onnx_ir.Value, attend: Attend
) -> tuple[onnx_ir.Value, ...]:
    """What a branch adds to the stream; its last projection's bias is a term of its own where nothing comes after."""
    part, inside = branch.part, f"{name}.{_kind(branch)}"
    if isinstance(part, Attention):
        y, last, output = attend(inside, number, part, x), part.output, f"{inside}.output"
    else:
        y, last, output = feed_forward(graph, inside, part, x), part.down, f"{inside}.down"
    if branch.after is None and branch.multiplier == 1.0:
        y, added = product(graph, output, y, last), bias(graph, f"{output}.bias", last)
        return (y,) if added is None else (y, added)
    y, after = linear(graph, output, y, last), f"{name}.after_{_kind(branch)}"
    if branch.after is not None:
        y = normalize(graph, after, y, branch.after)
    return (y if branch.multiplier == 1.0 else multiply(graph, f"{after}.multiplied", y, branch.multiplier),)


def _kind(branch: Branch) -> str:
    if not isinstance(branch.part, Attention):
        return "feed_forward"
    return "cross" if branch.part.kind == "cross" else "attention"
