"""Which nodes of a graph ONNX Runtime leaves to the processor although the graph runs on a GPU.

Shapes and positions are computed on the host by design: such nodes are small, and named apart from those that compute
with the model's numbers. A copy between host and device stands for an edge that crosses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Operators that ONNX Runtime computes on the host where they make shapes, sizes and positions.
SHAPE_OPERATORS = frozenset((
    "Shape", "Size", "Gather", "Unsqueeze", "Squeeze", "Concat", "Slice", "Cast", "Range", "Constant",
    "Add", "Sub", "Mul", "Div", "Mod", "Equal", "Where", "Expand", "Reshape", "ReduceMax", "ReduceMin", "ReduceProd",
    "ConstantOfShape", "Min", "Max", "Not", "Less", "Greater", "If", "Identity",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placement:
    """Nodes of one graph by provider. `host_operators`: operator -> nodes on the host, those of shapes left out."""

    device_nodes: int
    host_nodes: int
    host_operators: Mapping[str, int]

    @property
    def whole(self) -> bool:
        """Whether the device computes everything but shapes."""
        return not self.host_operators


def placement_of(path: Path, device_index: int = 0) -> Placement:
    """Open a graph on the GPU and ask where its nodes are. Nothing runs."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    providers = [("CUDAExecutionProvider", {"device_id": device_index}), "CPUExecutionProvider"]
    session = ort.InferenceSession(path, options, providers=providers)
    nodes: Counter[str] = Counter()
    host: Counter[str] = Counter()
    for subgraph in session.get_provider_graph_assignment_info():
        on_host = subgraph.ep_name == "CPUExecutionProvider"
        for node in subgraph.get_nodes():
            nodes["host" if on_host else "device"] += 1
            if on_host and node.op_type not in SHAPE_OPERATORS:
                host[node.op_type] += 1
    return Placement(nodes["device"], nodes["host"], dict(host))
