"""int8: integer products, 8 bits by 8 bits, whose rows depend on nothing but themselves.

Its thresholds are what a search or a classifier built on the original would not notice.
"""

from onnxpress.format.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import BROKEN, ONE_RANGE, SAME_IN_A_BATCH, Blocks, Integers, Precision, Scheme

#: Of models that write, where integer products are not exact enough. Blocks without a zero of their own are faster to
#: multiply.
_EIGHT = Blocks(8, 32, symmetric=True)

INT8 = Precision(
    runtime=PRECISIONS["int8"],
    storage="8-bit integers, and activations in 8 bits",
    compute="fp32",
    passes=(),
    ladder=(ONE_RANGE, Integers(), Integers(unsigned=True), Blocks(8)),
    embeddings=Blocks(8, 128),
    schemes=(
        Scheme(_EIGHT, _EIGHT, integers=frozenset(("decoder", "encoder"))),
        Scheme(_EIGHT, _EIGHT, integers=frozenset(("encoder",))),
    ),
    limits=BROKEN,
    thresholds={
        "cosine, mean": 0.999,
        "cosine, worst": 0.997,
        "neighbour overlap": 0.97,
        "retrieval overlap": 0.97,
        "label agreement": 0.98,
        "letter agreement": 0.93,
        "span agreement": 0.95,
        "box agreement": 0.95,
        "top token agreement": 0.95,
        "pairs in order": 0.97,
        "largest score difference": 0.15,
        "pixel agreement": 0.97,
        "mask IoU": 0.9,
        "depth error": 0.05,
        "depth error, worst": 0.1,
        "picture error, worst": 0.018,
        "spectral distance": 0.3,
        "word error": 0.03,
        **SAME_IN_A_BATCH,
        "next-token agreement": 0.96,
        "among the reference's first 5": 0.995,
        "perplexity ratio": 1.01,
        "divergence": 0.01,
        "scores' correlation": 0.998,
        "scores' correlation, untrained": 0.9,
    },
    metric_loss=0.005,
)
