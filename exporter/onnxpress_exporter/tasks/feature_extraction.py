"""feature-extraction: the last hidden state of every token, or of every moment of a sound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.judging.figures import batch_distance, compare_vectors
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.tasks.outputs import hidden_states
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Probes
from onnxpress_exporter.tasks.sentence_files import write_embedder_if_there

#: A body alone, which every checkpoint has. Of some encoder-decoders, the encoder makes sentence embeddings.
BARE = Head("AutoModel", classes={"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"})


def _states_of_sounds(model: Any) -> tuple[TensorInfo, ...]:
    """ "last_hidden_state" (batch, ...): running the model tells the other axes."""
    return (TensorInfo("last_hidden_state", "float32", ("batch",)),)


_OF_TEXTS = ExportTask(
    name="feature-extraction",
    head=BARE,
    outputs=hidden_states,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_vectors,
    beside_others=batch_distance,
    metric=None,
    options={"return_tensors": "np", "truncation": True},
    files_of_library=write_embedder_if_there,
)

#: Of sounds, what sentences have does not apply.
_OF_SOUNDS = replace(
    _OF_TEXTS,
    takes="audio",
    outputs=_states_of_sounds,
    options={"return_tensors": "np"},
    files_of_library=lambda checkpoint, model, folder, pickled: None,
)

FEATURE_EXTRACTION = replace(_OF_TEXTS, kinds=(_OF_SOUNDS,))
