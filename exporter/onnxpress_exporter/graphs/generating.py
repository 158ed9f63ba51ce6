"""A model's graphs: built from its weights where a reader knows the architecture, else traced. Verifies nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import onnx_ir

from onnxpress.format.manifest import GenerationSettings, GraphInfo, TensorInfo
from onnxpress_exporter.errors import NotBuildable, TraceError, UnsupportedCheckpoint
from onnxpress_exporter.graphs.build import build_graphs, read
from onnxpress_exporter.graphs.lengths import attend_in_full, refuse_length_dependent
from onnxpress_exporter.graphs.names import CROSS_DECODER, DECODER, ENCODER, ROLES

if TYPE_CHECKING:
    from onnxpress_exporter.graphs.describing import Perceives

Cache = Literal["shared", "growing", "state", "none"]


@dataclass(frozen=True, slots=True)
class Built:
    """Graphs by name. `traced`: why they were not built; None: they were. `seeing`: those that read pictures, and are
    as the tracer left them."""

    graphs: Mapping[str, onnx_ir.Model]
    cache: Cache
    limit: int | None
    traced: str | None = None
    seeing: tuple[str, ...] = ()

    @property
    def settings(self) -> GenerationSettings:
        """What the manifest says of how they are called."""
        return GenerationSettings(self.cache, self.limit, self.traced)


def build(model: Any) -> Built:
    """Graphs of a transformers model in float32, whose weights are read when they are saved.

    Raises:
        UnsupportedCheckpoint: it computes something else at another length, or no reader knows it, and it cannot be
            traced either.
        ReaderError: a reader that knows the model failed.
    """
    refuse_length_dependent(model)
    attention = attend_in_full(model)
    try:
        architecture = read(model)
    except NotBuildable as reason:
        return _traced(model, f"{reason}{attention}")
    return Built(build_graphs(architecture), "shared", architecture.decoder.limit)


def build_describing(model: Any, sources: Sequence[TensorInfo], example: Mapping[str, Any]) -> Built:
    """Graphs of a model that looks at a picture and writes about it; what sees is traced.

    Args:
        sources: what it takes of pictures, and of questions about them; `example`: tensors of some, by name.

    Raises:
        UnsupportedCheckpoint: it is of an unknown kind, or cannot be traced.
        ReaderError: a reader that knows its decoder failed.
    """
    from onnxpress_exporter.graphs import describing

    describer = describing.describer_of(model)
    return _perceiving(describer, sources, example, describer.decoder)


def build_listening(model: Any, sounds: TensorInfo, example: Any) -> Built:
    """Graphs of a model that hears a sound of any length and writes what is said, traced.

    Args:
        sounds: what it takes of sounds, and `example`, a tensor of some.

    Raises:
        UnsupportedCheckpoint: as `build_describing`.
    """
    from onnxpress_exporter.graphs import listening

    return _perceiving(listening.listener_of(model), (sounds,), {sounds.name: example})


def _perceiving(
    parts: Perceives, sources: Sequence[TensorInfo], example: Mapping[str, Any], readable: Any = None
) -> Built:
    """`readable`: the decoder as a model that a reader may know."""
    from onnxpress_exporter.graphs import describing, traced_cache

    architecture, reason = None, f"no reader knows {type(parts.model).__name__}"
    if readable is not None:
        try:
            architecture = read(readable, looks=True)
        except NotBuildable as why:
            reason = str(why)
    try:
        seeing = {ENCODER: describing.trace_seeing(parts, sources, example)}
        if architecture is not None:
            return Built(
                {**seeing, **build_graphs(architecture)}, "shared", architecture.decoder.limit, seeing=(ENCODER,)
            )
        writing = {CROSS_DECODER: describing.trace_writing(parts, example)}
    except TraceError as error:
        raise UnsupportedCheckpoint(f"{type(parts.model).__name__} cannot be exported: {error}.") from error
    return Built({**seeing, **writing}, "growing", traced_cache.traced_limit(parts.decoder), reason, (ENCODER,))


def _traced(model: Any, reason: str) -> Built:
    # Tracing takes seconds to import.
    from onnxpress_exporter.graphs import traced_cache as growing

    try:
        cache, graphs, why = _trace_kind(model, growing)
    except TraceError as error:
        raise UnsupportedCheckpoint(
            f"{type(model).__name__} cannot be exported: its graph cannot be built ({reason}), and not be traced "
            f"either: {error}."
        ) from error
    return Built(graphs, cache, growing.traced_limit(model), f"{reason}{why}{_SLOW.get(cache, '')}")


#: What a user should know of a traced graph beside why it was traced.
_SLOW = {
    "state": "; it keeps a state, and reads one token at a time, prompts too",
    "none": "; it keeps nothing of what it has read: every new token reads the whole text again",
}


def _trace_kind(model: Any, growing: Any) -> tuple[Cache, Mapping[str, onnx_ir.Model], str]:
    """Trace what the model keeps: keys and values, a state, or nothing; and why nothing, if it keeps what no graph can.

    Raises:
        TraceError: it cannot be traced, not even where nothing is kept.
    """
    if model.config.is_encoder_decoder:
        return "growing", growing.trace_encoder_decoder(model), ""
    if not growing.keeps_anything(model):
        return "none", {DECODER: growing.trace_whole(model)}, ""
    cache: Cache = "state" if growing.keeps_states(model) else "growing"
    try:
        return cache, {DECODER: growing.trace_step(model) if cache == "state" else growing.trace_decoder(model)}, ""
    except TraceError as why:
        try:
            return "none", {DECODER: growing.trace_whole(model)}, f"; what it keeps fits no graph here: {why}"
        except TraceError as error:
            if str(error) == str(why):
                raise  # for one reason
            raise TraceError(f"{why}; nor read whole for every token: {error}") from error


def graph_info(name: str, model: onnx_ir.Model) -> GraphInfo:
    """What the graph of this name takes, returns and does, as the manifest tells it."""
    return GraphInfo(tuple(map(_tensor, model.graph.inputs)), tuple(map(_tensor, model.graph.outputs)), ROLES[name])


def _tensor(value: onnx_ir.Value) -> TensorInfo:
    assert value.dtype is not None and value.shape is not None and value.name is not None
    axes = tuple(axis if isinstance(axis, int) else str(axis.value) for axis in value.shape)
    return TensorInfo(value.name, str(value.dtype.numpy()), axes)
