"""fp16: numbers of 16 bits throughout, half as large, and what a GPU computes fastest."""

from onnxpress.format.precisions import PRECISIONS
from onnxpress_exporter.precisions.int8 import INT8
from onnxpress_exporter.precisions.row import FOR_GPUS, Limits, Precision, Scheme

FP16 = Precision(
    runtime=PRECISIONS["fp16"],
    storage="float16",
    compute="fp16",
    passes=FOR_GPUS,
    ladder=(),
    embeddings=None,
    schemes=(Scheme(body=None, head=None),),
    limits=Limits(max_error=0.05, batch_error=0.01),
    thresholds={
        **INT8.thresholds,
        "cosine, mean": 0.9999,
        "cosine, worst": 0.999,
        "label agreement": 0.99,
        "letter agreement": 0.98,
        "pixel agreement": 0.99,
        "mask IoU": 0.97,
        "depth error": 0.01,
        "depth error, worst": 0.02,
        "picture error, worst": 0.006,
        "spectral distance": 0.1,
        "word error": 0.015,
        "next-token agreement": 0.985,
        "among the reference's first 5": 0.999,
        "perplexity ratio": 1.005,
        "divergence": 0.002,
        "scores' correlation": 0.999,
        "scores' correlation, untrained": 0.95,
    },
    metric_loss=INT8.metric_loss,
)
