"""fp32: the traced or built graph itself, which computes what PyTorch computes, in another order."""

from onnxpress.format.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import Limits, Precision

FP32 = Precision(
    runtime=PRECISIONS["fp32"],
    storage="float32",
    compute="fp32",
    passes=("simplify_mask", "fuse_attention", "first_token_only", "residual_sum", "keep_zero_padding"),
    ladder=(),
    embeddings=None,
    schemes=(),
    limits=Limits(max_error=1e-4, batch_error=1e-5),
    thresholds={},
    metric_loss=0.0,
)
