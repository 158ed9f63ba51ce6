"""A PyTorch module and a spec -> an ONNX graph, named and shaped as the spec says.

The only importer of transformers.exporters and torch.onnx. Knows nothing of tasks or files.
"""

from __future__ import annotations

import ast
import gc
import re
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import onnx_ir

from onnxpress_exporter.errors import TraceError, UnsupportedCheckpoint
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable

if TYPE_CHECKING:
    import torch

OPSET = 20

#: The axis that inputs have whose pictures may be of any size.
_HEIGHT = "height"

#: How torch.export says that an axis which has to vary does not.
_FIXED_AXIS = re.compile(r"static shape of (\d+) for dimension inputs\['(\w+)'\]\.shape\[(\d+)\]")


def check_runs(part: Traceable) -> None:
    """Make sure that a module runs on its examples, before they are traced, which takes longer.

    Raises:
        UnsupportedCheckpoint: it does not: it wants something else, or more.
    """
    import torch

    try:
        with torch.no_grad():
            part.module(**part.inputs)
    except Exception as error:
        kind = type(getattr(part.module, "checkpoint", part.module)).__name__
        raise UnsupportedCheckpoint(
            f"{kind} does not answer on {', '.join(part.inputs)}, which is all that this version gives a model of its "
            f"task: {_reason(error)}. If it wants more, such as a table or places on a page, use transformers."
        ) from error


def trace(model: torch.nn.Module, spec: GraphSpec, inputs: Mapping[str, torch.Tensor]) -> onnx_ir.Model:
    """Trace `model` on `inputs`, whose named axes (in `spec`) stay free in the graph.

    The graph has exactly the spec's inputs and outputs, in its order and with its axis names, and
    nothing that differs between two runs. Raises TraceError if PyTorch cannot capture the model,
    or if an axis that should vary was fixed by it.
    """
    import torch
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter

    config = OnnxConfig(
        dynamic_shapes={
            _argument(tensor.name): {
                axis: torch.export.Dim.DYNAMIC for axis, name in enumerate(tensor.axes) if isinstance(name, str)
            }
            for tensor in spec.inputs
        },
        opset_version=OPSET,
        # Limits such as max_position_embeddings become assertions, dropped, not failures.
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    named_inputs = {_argument(tensor.name): inputs[tensor.name] for tensor in spec.inputs}
    with _traceable(model, inputs, spec), _uncollected(), torch.no_grad():
        try:
            # Typed for transformers' own models; any module works.
            exporter: Any = OnnxExporter()  # type: ignore[no-untyped-call]
            exported = exporter.export(_wrapped(model, spec), named_inputs, config)
        except Exception as error:
            name = type(getattr(model, "checkpoint", model)).__name__  # of the model that is wrapped, if one is
            raise TraceError(f"PyTorch could not capture {name} for {spec.name}: {_reason(error)}") from error
    graph_model: onnx_ir.Model = exported.program
    if (unknown := unmade_value(graph_model.graph)) is not None:
        raise TraceError(
            f"torch.onnx {torch.__version__} wrote a graph {spec.name} that reads {unknown}, which nothing in it makes"
        )
    _name_values(graph_model, spec)
    _name_axes(graph_model, spec)
    _name_products(graph_model)
    _strip(graph_model, spec)
    return graph_model


def unmade_value(graph: onnx_ir.Graph, outer: Set[onnx_ir.Value] = frozenset()) -> str | None:
    """The name of a value that a node reads and that is none of its scope; None: there is no such. `outer`: those of
    the scopes around it."""
    known = {*outer, *graph.inputs, *graph.initializers.values()}
    for node in graph:
        for value in node.inputs:
            if value is not None and value not in known:
                return str(value.name)
        for attribute in node.attributes.values():
            if attribute.type == onnx_ir.AttributeType.GRAPH and (name := unmade_value(attribute.as_graph(), known)):
                return name
        known.update(node.outputs)
    return None


def _reason(error: BaseException) -> str:
    """Which axis was fixed, if the innermost error says so; otherwise its first line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    if axis := _FIXED_AXIS.search(str(error)):
        size, name, place = axis.groups()
        return (
            f"the graph would hold for one size only, as axis {place} of {name} is {size} in it: the model's code "
            "loops over that axis in Python, or reads its size as a number"
        )
    if type(error).__name__ == "GuardOnDataDependentSymNode":
        return (
            "the model's code goes another way by what its tensors hold, such as which expert a token is for, and a "
            "graph has one way"
        )
    fixed = [line for line in lines if "static shape" in line or "constant" in line]
    return f"{(fixed or lines or ['no reason given'])[0]} ({type(error).__name__})"


def _argument(name: str) -> str:
    """An input's name as Python allows it."""
    return name.replace(".", "_")


def _wrapped(model: torch.nn.Module, spec: GraphSpec) -> torch.nn.Module:
    """A module that takes the spec's inputs by name and returns its outputs, alone and in order."""
    import torch

    name_of = {_argument(tensor.name): tensor.name for tensor in spec.inputs}
    names = [tensor.name for tensor in spec.outputs]

    class Outputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, **kwargs: torch.Tensor) -> dict[str, torch.Tensor]:
            outputs = self.model(**{name_of[argument]: value for argument, value in kwargs.items()})
            return {name: outputs[name] for name in names}

    return Outputs().eval()


@contextmanager
def _traceable(model: Any, inputs: Mapping[str, torch.Tensor], spec: GraphSpec) -> Iterator[None]:
    """Attention in plain operators, the form that graphs are optimized from, of windows in one form for all lengths,
    sizes of pictures that stay open, and experts' products over the tokens that each expert gets, whose number is no
    size of Python's; restored on exit.
    """
    import torch

    from onnxpress_exporter.graphs.sliding_windows import one_graph_for_all_lengths, slides  # imports torch
    from onnxpress_exporter.graphs.whole_numbers import sizes_left_open  # imports torch

    with ExitStack() as restored:
        config = getattr(model, "config", None)
        if getattr(config, "_attn_implementation", None) is not None and hasattr(model, "set_attn_implementation"):
            restored.callback(model.set_attn_implementation, _attention_of(config))
            model.set_attn_implementation("eager")
        for part in _with_experts(model):
            restored.callback(part.set_experts_implementation, part.get_experts_implementation())
            part.set_experts_implementation("grouped_mm")
        restored.enter_context(_as_converted(torch.nn.Module.to))
        for name in {type(part).__module__ for part in model.modules()}:
            # `len` of a tensor is a number of Python's; the size of its first axis may stay free.
            restored.enter_context(patch.object(sys.modules[name], "len", _length, create=True))
        if slides(model):
            restored.enter_context(one_graph_for_all_lengths(model, inputs))
        if any(_HEIGHT in tensor.axes for tensor in spec.inputs):
            restored.enter_context(sizes_left_open(model))
        yield


def _attention_of(config: Any) -> dict[str, Any]:
    """The attention of a model and of those within it, as transformers sets it: parts may have another. A part that the
    model leaves out, such as what reads texts beside a classifier of pictures, has none."""
    parts = ((name, getattr(config, name, None)) for name in getattr(config, "sub_configs", {}))
    has_one = {name: part for name, part in parts if getattr(part, "_attn_implementation", None) is not None}
    return {"": config._attn_implementation, **{name: _attention_of(part) for name, part in has_one.items()}}


def _length(value: Any) -> Any:
    """As `len`; of a tensor, the size of its first axis."""
    return value.shape[0] if hasattr(value, "shape") and len(value.shape) else len(value)


@contextmanager
def _as_converted(convert: Any) -> Iterator[None]:
    """Leave a module as it is where its code, while it runs, asks for the type that its weights have already."""
    import torch

    def to(module: torch.nn.Module, *wanted: Any, **more: Any) -> Any:
        if len(wanted) == 1 and not more and all(tensor.dtype == wanted[0] for tensor in module.parameters()):
            return module
        return convert(module, *wanted, **more)

    with patch.object(torch.nn.Module, "to", to):
        yield


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage among millions of objects that are nearly all in use: in a large process, a tenth of a
    trace's time goes into it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _with_experts(model: torch.nn.Module) -> Iterator[Any]:
    """The outermost transformers models in `model` that know several ways of running experts."""
    if getattr(model, "_can_set_experts_implementation", bool)():
        yield model
        return
    for part in model.children():
        yield from _with_experts(part)


def _name_values(model: onnx_ir.Model, spec: GraphSpec) -> None:
    graph = model.graph
    values = {value.name: value for value in graph.inputs}
    if missing := [tensor.name for tensor in spec.inputs if _argument(tensor.name) not in values]:
        raise TraceError(f"The traced graph {spec.name} does not have the input {missing[0]}.")
    if len(graph.outputs) != len(spec.outputs):
        raise TraceError(f"The traced graph {spec.name} has {len(graph.outputs)} outputs, not {len(spec.outputs)}.")
    for value, tensor in zip(graph.outputs, spec.outputs, strict=True):
        value.name = tensor.name
    inputs = [values[_argument(tensor.name)] for tensor in spec.inputs]
    for value, known in zip(inputs, spec.inputs, strict=True):
        value.name = known.name
    graph.inputs.clear()
    graph.inputs.extend(inputs)


def _name_axes(model: onnx_ir.Model, spec: GraphSpec) -> None:
    """Give anonymous symbols ("s43") the spec's names, everywhere; other symbols get a number."""
    graph = model.graph
    renamed: dict[str, str] = {}
    for value, tensor in zip(graph.inputs, spec.inputs, strict=True):
        for axis, name in enumerate(tensor.axes):
            size = value.shape[axis] if value.shape is not None else None
            if isinstance(name, int):
                continue
            if isinstance(size, int):
                raise TraceError(
                    f"{spec.name}: the axis {name!r} of {tensor.name} was fixed at {size} while "
                    "tracing, so the graph would be wrong at any other size."
                )
            renamed[str(getattr(size, "value", size))] = name
    for value in _values(model):
        if value.shape is None:
            continue
        dims: list[Any] = []
        for dim in value.shape:
            if isinstance(dim, int):
                dims.append(dim)
                continue
            symbol = getattr(dim, "value", None)
            dims.append(None if symbol is None else _renamed(symbol, renamed))
        value.shape = onnx_ir.Shape(dims)
    for value, tensor in zip(graph.outputs, spec.outputs, strict=True):
        value.shape = onnx_ir.Shape(tensor.axes)


#: Where torch.onnx notes the modules that a node comes from, outermost first, and last the operator's own name.
_SCOPES = "pkg.torch.onnx.name_scopes"
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})


def _name_products(model: onnx_ir.Model) -> None:
    """Give the products of constant weights the names of their modules, for whoever reads what became of them.

    A module that is called twice, or that has two products, gives its name with a number.
    """
    graph = model.graph
    taken = {value.name for value in (*_values(model), *graph.initializers.values())}
    for node in graph:
        output = node.outputs[0]
        if node.op_type not in _PRODUCTS or _SCOPES not in node.metadata_props or output.is_graph_output():
            continue
        if not _is_constant(node.inputs[1]):
            continue
        module = _module(ast.literal_eval(node.metadata_props[_SCOPES]))
        names = (module if number == 1 else f"{module}.{number}" for number in count(1))
        output.name = next(name for name in names if name not in taken)
        taken.add(output.name)


def _is_constant(value: onnx_ir.Value | None) -> bool:
    """An initializer, or one transposed."""
    maker = None if value is None else value.producer()
    if maker is not None and maker.op_type == "Transpose":
        value = maker.inputs[0]
    return value is not None and value.const_value is not None


def _module(scopes: Sequence[str]) -> str:
    """The innermost module's path in the checkpoint: without the wrappers' attributes, which every path begins with."""
    path = scopes[-2] if len(scopes) > 1 else ""
    return path.removeprefix("model.").removeprefix("checkpoint.") or scopes[-1]


_SYMBOL = re.compile(r"[A-Za-z_]\w*")


def _renamed(symbol: str, names: Mapping[str, str]) -> str | None:
    """`symbol`, which may be an expression, in the spec's names; None if it needs any other."""
    symbols = set(_SYMBOL.findall(symbol))
    if not symbols <= names.keys():
        return None
    return _SYMBOL.sub(lambda match: names[match.group()], symbol)


def _values(model: onnx_ir.Model) -> Iterator[onnx_ir.Value]:
    yield from model.graph.inputs
    for node in model.graph.all_nodes():
        yield from node.outputs


def _strip(model: onnx_ir.Model, spec: GraphSpec) -> None:
    """Drop what differs between runs or machines: stack traces, paths, counters, versions."""
    model.producer_name, model.producer_version = "onnxpress", None
    model.domain = model.doc_string = None
    model.metadata_props.clear()
    graph = model.graph
    graph.name, graph.doc_string = spec.name, None
    graph.metadata_props.clear()
    for value in (*_values(model), *graph.initializers.values()):
        value.doc_string = None
        value.metadata_props.clear()
    for node in graph.all_nodes():
        node.doc_string = None
        node.metadata_props.clear()
