"""The words that a precision's row is written in: what it is, and how products and tables are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxpress.format import precisions

Thresholds = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Integers:
    """A site as integer products, 8 bits by 8 bits.

    `each_row`: a range of activations for each row, or one for all, which is faster. `unsigned`: weights of 0 to 255
    with a zero for each output, which are more exact, and slower to multiply.
    """

    each_row: bool = True
    unsigned: bool = False

    def __str__(self) -> str:
        rows = "a range for each row" if self.each_row else "one range for all rows"
        return f"{rows}, and weights without a sign" if self.unsigned else rows


@dataclass(frozen=True, slots=True)
class Blocks:
    """A site with weights of `bits` bits, each `block` input channels with a scale of their own."""

    bits: int
    block: int = 32
    symmetric: bool = False

    def __str__(self) -> str:
        return f"{self.bits}-bit weights in blocks of {self.block}"


@dataclass(frozen=True, slots=True)
class IntegerConvolution:
    """A site of convolutions, 8 bits by 8 bits, with one range for all that they read."""

    def __str__(self) -> str:
        return "convolutions of integers"


#: How one site's products are stored and multiplied.
Treatment = Integers | Blocks | IntegerConvolution

#: Rewrites for GPUs, which want few large nodes where processors want sums of their own.
FOR_GPUS = ("skip_norms", "bias_gelu", "packed_attention")

#: One constant range for all rows.
ONE_RANGE = Integers(each_row=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest errors of raw outputs, as fractions of the output's range: beside the reference, and in a batch."""

    max_error: float
    batch_error: float


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a model that writes text is stored: `body` its products and tables, `head` the product that gives the scores
    with its table; None: as they are.

    `exact`: roles of graphs whose products are stored as the head is. `integers`: roles of graphs whose products become
    integer products instead, with a range for each row; they are faster than blocks where several rows are stepped
    together, or a prompt is read.
    """

    body: Blocks | None
    head: Blocks | None
    integers: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()

    def __str__(self) -> str:
        if self.integers:
            return f"integer products in {', '.join(sorted(self.integers))}"
        if self.body == self.head:
            return str(self.body or "16 bits")
        others = "".join(f" and the {role}'s" for role in sorted(self.exact))
        return f"{self.body}, the scores'{others} {self.head}"


#: Of a quantized variant only what is broken shows in raw outputs, numbers that are none, or any number: its answers
#: are judged.
BROKEN = Limits(max_error=1.0, batch_error=0.05)

#: The same text gives the same answer alone and in a batch, at every precision.
SAME_IN_A_BATCH: Thresholds = {"batch cosine distance": 1e-5, "batch disagreement": 0.0}


@dataclass(frozen=True, slots=True)
class Precision:
    """All that the exporter knows of a precision.

    Attributes:
        runtime: the row of whoever runs it: name, suffix of files, machines it suits.
        storage: how the weights of products are stored, in words.
        compute: the precision of everything that is not quantized.
        passes: rewrites by their modules' names in `onnxpress_exporter.passes`, in order: the reference's of a traced
            graph, others' of the reference's graph once products and tables are stored.
        ladder: how a site of a model that reads may be treated, each way more exact than the one before. After the last
            comes `compute`. Empty: nothing is treated site by site.
        embeddings: how large tables are stored; None: as everything else is.
        schemes: how a model that writes is stored: what is tried, in order, until the gate lets it pass.
        limits: of raw outputs.
        thresholds: what answers have to reach, by figure. What is "untrained" has no preferences that could be kept,
            and errors grow from layer to layer; "divergence" is in nats.
        metric_loss: what may be lost of a task's own metric on labelled rows.
    """

    runtime: precisions.Precision
    storage: str
    compute: str
    passes: tuple[str, ...]
    ladder: tuple[Treatment, ...]
    embeddings: Blocks | None
    schemes: tuple[Scheme, ...]
    limits: Limits
    thresholds: Thresholds
    metric_loss: float

    @property
    def name(self) -> str:
        """As it is named on the command line and in the manifest."""
        return self.runtime.name

    @property
    def suffix(self) -> str:
        """Of its graph files."""
        return self.runtime.suffix

    @property
    def targets(self) -> tuple[str, ...]:
        """The machines it suits."""
        return self.runtime.targets

    @property
    def half(self) -> bool:
        """Whether what is not quantized has 16 bits."""
        return self.compute == "fp16"

    @property
    def has_integers(self) -> bool:
        """Whether products of integers by integers are what it is made of."""
        return any(isinstance(step, Integers) for step in self.ladder)

    @property
    def usual_treatments(self) -> tuple[Treatment, ...]:
        """The treatments that a site gets unless repair finds it another: the last is every site's, those before it are
        on trial, faster and less exact."""
        return self.ladder[: 1 + next(place for place, treatment in enumerate(self.ladder) if treatment != ONE_RANGE)]
