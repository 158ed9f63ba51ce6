"""feature-extraction: the last hidden state of every token."""

from __future__ import annotations

from onnxpress_exporter.judging.figures import batch_distance, compare_vectors
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.tasks.outputs import hidden_states
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Probes
from onnxpress_exporter.tasks.sentence_files import write_embedder_if_there

#: A body alone, which every checkpoint has. Of some encoder-decoders, the encoder makes sentence embeddings.
BARE = Head("AutoModel", classes={"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"})

FEATURE_EXTRACTION = ExportTask(
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
