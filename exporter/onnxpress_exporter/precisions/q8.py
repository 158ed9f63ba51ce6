"""q8: weights of 8 bits in blocks; as exact as int8, on every processor."""

from onnxpress.format.precisions import PRECISIONS
from onnxpress_exporter.precisions.int8 import INT8
from onnxpress_exporter.precisions.row import BROKEN, Blocks, Precision, Scheme

_EIGHT = Blocks(8, 32, symmetric=True)

Q8 = Precision(
    runtime=PRECISIONS["q8"],
    storage="8-bit blocks",
    compute="fp32",
    passes=(),
    ladder=(Blocks(8),),
    embeddings=Blocks(8, 128),
    schemes=(Scheme(_EIGHT, _EIGHT),),
    limits=BROKEN,
    thresholds=INT8.thresholds,
    metric_loss=INT8.metric_loss,
)
