"""Opens the model that an artifact's graphs make, by its manifest. Knows which kinds there are."""

from __future__ import annotations

from dataclasses import replace

from onnxpress.engine.session import Session
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import Manifest
from onnxpress.generation.decoder import DecoderModel, EncoderDecoderModel
from onnxpress.generation.decoders.cross import CrossModel
from onnxpress.generation.decoders.graph import TEXT_STATES, DecoderGraph, FirstGraph, present, read
from onnxpress.generation.decoders.growing import GrowingDecoder
from onnxpress.generation.decoders.rows import RowsDecoder
from onnxpress.generation.decoders.shared_model import SharedModel
from onnxpress.generation.decoders.text_keys import TextKeys
from onnxpress.generation.decoders.traced import TracedModel

DECODER, ENCODER, CROSS_DECODER = "model", "encoder_model", "decoder_model_merged"
#: The role of a graph that makes keys and values of texts, in other tools' exports.
KEYS_ROLE = "keys"
#: The role of a graph that reads the first tokens of a row.
PROMPT_ROLE = "prompt"
#: Kinds of caches of which a graph returns longer ones.
_GROWING = ("growing", "fused")


def decoder_model(manifest: Manifest, session: Session, prefix_bytes: int = 256 * 2**20) -> DecoderModel:
    """The decoder-only model of an artifact.

    Arguments:
        prefix_bytes: memory for what earlier calls have read, so that it need not be read again.

    Raises:
        UnsupportedFormat: the artifact has no such model, or one that this runtime cannot run.
    """
    graph, limit, cache = _decoder(manifest, DECODER)
    if graph.text:
        raise UnsupportedFormat(f"Graph {DECODER!r} wants an encoder's keys and values. Export again.")
    graph = as_stored(graph, session)
    if cache == "shared":
        return SharedModel(session, graph, limit, prefix_bytes)
    first = next((name for name, info in manifest.graphs.items() if info.role == PROMPT_ROLE), None)
    if first is not None:
        inputs = frozenset(tensor.name for tensor in manifest.graphs[first].inputs)
        graph = replace(graph, first=FirstGraph(first, inputs), single=True)
    return TracedModel(GrowingDecoder if cache in _GROWING else RowsDecoder, session, graph, limit)


def encoder_decoder_model(manifest: Manifest, session: Session) -> EncoderDecoderModel:
    """The encoder-decoder model of an artifact.

    Raises:
        UnsupportedFormat: the artifact has no such model, or one that this runtime cannot run.
    """
    graph, limit, cache = _decoder(manifest, CROSS_DECODER)
    if ENCODER not in manifest.graphs or not (graph.text or TEXT_STATES in graph.inputs):
        raise UnsupportedFormat(f"Graph {CROSS_DECODER!r} takes no keys and values of an encoder. Export again.")
    keys = _keys(manifest, session, graph)
    return CrossModel(session, ENCODER, as_stored(graph, session), limit, cache in _GROWING, keys)


def _keys(manifest: Manifest, session: Session, graph: DecoderGraph) -> TextKeys | None:
    """What makes keys and values of texts; None: the encoder returns them, or the decoder makes them at each step."""
    if not graph.text or any(tensor.name == present(graph.text[0]) for tensor in manifest.graphs[ENCODER].outputs):
        return None
    name = next((name for name, info in manifest.graphs.items() if info.role == KEYS_ROLE), CROSS_DECODER)
    return TextKeys(session, name, manifest.graphs[name], graph.text)


def _decoder(manifest: Manifest, name: str) -> tuple[DecoderGraph, int | None, str]:
    """The graph, the most tokens of a row, and the kind of its cache."""
    settings = manifest.generation
    if settings is None or name not in manifest.graphs:
        raise UnsupportedFormat(
            f"The artifact has no graph {name!r} that continues text; it has: {', '.join(manifest.graphs)}."
        )
    return read(name, manifest.graphs[name], settings.cache), settings.max_length, settings.cache


def as_stored(graph: DecoderGraph, session: Session) -> DecoderGraph:
    """With the dtype of keys and values in this variant, which the manifest does not tell."""
    first = next(iter((*graph.past, *graph.states)), None)
    return graph if first is None else replace(graph, dtype=session.input_dtype(first, graph.name))
