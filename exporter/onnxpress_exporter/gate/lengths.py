"""How long the inputs of verification are. Knows no graph."""

from __future__ import annotations

from dataclasses import dataclass

from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact

#: Tokens of the longest of the usual inputs, where the model itself has no limit, or a far one: enough to leave every
#: window.
LONGEST_TOKENS = 512

#: One more input is as long as the model takes, where that is more: a form of attention may change above some length.
#: It costs one run of PyTorch, so that it is bounded three times. By tokens: attention's scores are (heads, tokens,
#: tokens), 1 GB for each layer in turn at 16 heads. By work: half a minute or so of two cores, at two operations for
#: each weight and token. By the scores of a model that writes: 1 GB.
MOST_TOKENS = 4096
MOST_OPERATIONS = 2e12
MOST_SCORES = 256_000_000
#: Tokens of that input where the model has no limit.
UNLIMITED_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a model that writes is compared.

    Attributes:
        judged: tokens of real texts that variants are judged on, all together.
        calibration: those that quantization watches.
        written: texts whose continuations are compared.
        of_variants: tokens of the longest text that a variant's raw outputs are compared on; None: all that fp32's are.
            Its answers are judged besides, and what it keeps of fp32's graph was verified there.
        in_pieces: tokens of the longest text that is read in pieces and beside others, too; None: all are. A longer
            one is read some tokens at a time in any case.
    """

    judged: int
    calibration: int
    written: int
    of_variants: int | None
    in_pieces: int | None = None


#: More numbers make a model large: each token then takes a hundredth of a second and more, and fewer are asked for.
LARGE = 200_000_000
USUAL_EXTENT = Extent(judged=3072, calibration=4096, written=8, of_variants=None)
EXTENT_OF_LARGE = Extent(judged=2048, calibration=2048, written=3, of_variants=128, in_pieces=128)


def extent_of(weights: int) -> Extent:
    """How much of a model with so many numbers is compared."""
    return EXTENT_OF_LARGE if weights > LARGE else USUAL_EXTENT


def far_tokens(limit: int | None, weights: int, vocabulary: int = 1) -> int | None:
    """Tokens of the input that is as long as the model takes; None: the usual ones are, or one would cost too much.

    Args:
        weights: how many numbers the model has.
        vocabulary: scores of each token.
    """
    most = min(
        limit or UNLIMITED_TOKENS, MOST_TOKENS, int(MOST_OPERATIONS / (2 * max(1, weights))), MOST_SCORES // vocabulary
    )
    return most if most > LONGEST_TOKENS else None


def weights_of(artifact: Artifact) -> int:
    """About how many numbers an artifact's fp32 graphs hold, by the size of their files."""
    files = artifact.manifest.variants[REFERENCE].files
    return sum((artifact.folder / name).stat().st_size for name in files) // 4
