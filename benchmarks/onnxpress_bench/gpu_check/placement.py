"""Which nodes of a graph ONNX Runtime leaves to the processor although the graph runs on a GPU.

Shapes and positions are computed on the host by design: such nodes are small, and counted apart from those that compute
with the model's numbers, which may not be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxpress.engine.providers import CPU, import_onnxruntime, index_of, provider_of

#: Operators that ONNX Runtime computes on the host where they make shapes, sizes and positions.
SHAPE_OPERATORS = frozenset((
    "Shape", "Size", "Gather", "Unsqueeze", "Squeeze", "Concat", "Slice", "Cast", "Range", "Constant",
    "Add", "Sub", "Mul", "Div", "Mod", "Equal", "Where", "Expand", "Reshape", "ReduceMax", "ReduceMin", "ReduceProd",
    "ConstantOfShape", "Min", "Max", "Not", "Less", "Greater", "If", "Identity",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placement:
    """Nodes of one graph by provider. `host_operators`: operator -> nodes on the host, those of shapes left out."""

    nodes: Mapping[str, int]
    host_operators: Mapping[str, int]

    @property
    def whole(self) -> bool:
        """Whether the device computes everything but shapes."""
        return not self.host_operators


def placement_of(path: Path, device: str) -> Placement:
    """Open a graph on a device and ask where its nodes are. Nothing runs."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    row = provider_of(device)
    providers = [(row.name, row.options_of(index_of(device)))]
    session = ort.InferenceSession(path, options, providers=providers, enable_fallback=False)
    assigned = [
        (part.ep_name, node.op_type)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    ]
    return placed(assigned, row.name)


def placed(assigned: list[tuple[str, str]], provider: str) -> Placement:
    """What (provider, operator) of each node says of a graph that should run on `provider`."""
    host = Counter(
        operator for name, operator in assigned if name == CPU.name != provider and operator not in SHAPE_OPERATORS
    )
    return Placement(dict(Counter(name for name, _ in assigned)), dict(host))
