"""What a sound is to an encoder's layers: convolved frames, and where they stand. Knows no family."""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.graphs.build.architecture import Convolution, SoundStack
from onnxpress_exporter.graphs.build.mlp import activate
from onnxpress_exporter.graphs.build.nodes import emit, graph_input, weight
from onnxpress_exporter.graphs.build.stack import Stream


def sound_stream(graph: onnx_ir.Graph, stack: SoundStack) -> Stream:
    """The stream at its beginning, float32 (texts, places, width), of the graph's one input."""
    bands = int(stack.convolutions[0].weight.shape[1])
    frames = stack.frames
    x = graph_input(graph, stack.takes, ["texts", bands, frames])
    for number, convolution in enumerate(stack.convolutions):
        frames = -(-frames // convolution.stride)
        name = f"{stack.name}.convolution.{number}"
        x = activate(graph, f"{name}.activated", _convolve(graph, name, convolution, x, frames), stack.activation)
    width = int(stack.convolutions[-1].weight.shape[0])
    x = emit(graph, f"{stack.name}.frames", "Transpose", [x], {"perm": [0, 2, 1]}, axes=["texts", frames, width])
    return Stream(x, (weight(graph, f"{stack.name}.positions", stack.positions),))


def _convolve(
    graph: onnx_ir.Graph, name: str, convolution: Convolution, x: onnx_ir.Value, frames: int
) -> onnx_ir.Value:
    outputs, _, width = (int(size) for size in convolution.weight.shape)
    inputs = [x, weight(graph, f"{name}.weight", convolution.weight)]
    if convolution.bias is not None:
        inputs.append(weight(graph, f"{name}.bias", convolution.bias))
    attributes = {"kernel_shape": [width], "strides": [convolution.stride], "pads": [width // 2] * 2}
    return emit(graph, name, "Conv", inputs, attributes, axes=["texts", outputs, frames])
