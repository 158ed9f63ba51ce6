"""q4f16: weights of 4 bits in blocks, everything else in 16 bits, for GPUs."""

from onnxpress.format.precisions import PRECISIONS
from onnxpress_exporter.precisions.q4 import Q4
from onnxpress_exporter.precisions.row import BROKEN, FOR_GPUS, Blocks, Precision, Scheme

_FOUR, _EIGHT = Blocks(4, 32, symmetric=True), Blocks(8, 32, symmetric=True)

Q4F16 = Precision(
    runtime=PRECISIONS["q4f16"],
    storage="4-bit blocks",
    compute="fp16",
    passes=FOR_GPUS,
    ladder=Q4.ladder,
    embeddings=Q4.embeddings,
    schemes=(Scheme(_FOUR, _FOUR), Scheme(Blocks(4, 32), _EIGHT), Scheme(Blocks(4, 16), _EIGHT)),
    limits=BROKEN,
    thresholds=Q4.thresholds,
    metric_loss=Q4.metric_loss,
)
