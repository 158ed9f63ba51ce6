"""q4: weights of 4 bits in blocks, an eighth of the size."""

from onnxpress.format.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import BROKEN, SAME_IN_A_BATCH, Blocks, Precision, Scheme

# Input channels that share a scale: as many as the gate lets pass, for the kernel keeps two numbers for each block
# beside the weights. Blocks without a zero of their own are faster to multiply.
_WIDE, _FOUR = Blocks(4, 128, symmetric=True), Blocks(4, 32, symmetric=True)
_FOUR_ZEROS, _NARROW, _EIGHT = Blocks(4, 32), Blocks(4, 16), Blocks(8, 32, symmetric=True)

Q4 = Precision(
    runtime=PRECISIONS["q4"],
    storage="4-bit blocks",
    compute="fp32",
    passes=(),
    ladder=(Blocks(4), Blocks(4, 16), Blocks(8)),
    embeddings=Blocks(4, 32),
    schemes=(
        Scheme(_WIDE, _WIDE),
        Scheme(_FOUR, _FOUR),
        Scheme(_FOUR, _EIGHT),
        Scheme(_FOUR_ZEROS, _EIGHT),
        Scheme(_NARROW, _EIGHT),
        # What an encoder gets wrong, every token that is written about it gets wrong; there is one run of it for all.
        Scheme(_FOUR, _EIGHT, exact=frozenset(("encoder",))),
        Scheme(_NARROW, _EIGHT, exact=frozenset(("encoder",))),
    ),
    limits=BROKEN,
    thresholds={
        "cosine, mean": 0.985,
        "cosine, worst": 0.95,
        "neighbour overlap": 0.85,
        "retrieval overlap": 0.85,
        "label agreement": 0.95,
        "letter agreement": 0.85,
        "span agreement": 0.85,
        "box agreement": 0.9,
        "top token agreement": 0.85,
        "pairs in order": 0.92,
        "largest score difference": 0.3,
        "pixel agreement": 0.93,
        "mask IoU": 0.8,
        "depth error": 0.1,
        "depth error, worst": 0.2,
        "picture error, worst": 0.04,
        "spectral distance": 0.5,
        "word error": 0.05,
        **SAME_IN_A_BATCH,
        # Of 24 tokens written in a row, a model of this agreement has changed its mind two or three times: less is
        # another model. The other figures are where trained checkpoints of that agreement were.
        "next-token agreement": 0.85,
        "among the reference's first 5": 0.98,
        "perplexity ratio": 1.08,
        "divergence": 0.06,
        "scores' correlation": 0.95,
        # 24 layers of random weights kept 0.33, where a broken graph has 0.
        "scores' correlation, untrained": 0.1,
    },
    metric_loss=0.02,
)
