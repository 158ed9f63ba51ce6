"""The protocols of a gate, and of the reference whose answers count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from onnxpress.engine.session import Session
from onnxpress.format.manifest import Quality, Speed
from onnxpress.format.model import Trust
from onnxpress_exporter.gate.timing import Work
from onnxpress_exporter.quantize.quantizer import Judges

Arrays = Mapping[str, NDArray[Any]]


def fp32_in_words(trust: Trust) -> str:
    """What an artifact's fp32 variant is worth as a reference, for the manifest."""
    compared = "verified against" if trust == "verified" else "never compared with"
    return f"the fp32 variant, {compared} PyTorch"


class Runs(Protocol):
    """The part of a session that a pipeline uses."""

    device: str

    def run(self, inputs: Mapping[str, NDArray[Any]], graph: str = "model") -> dict[str, NDArray[Any]]:
        """Named outputs of a graph."""

    def close(self) -> None:
        """Free the memory."""


class Reference(Runs, Protocol):
    """The source of the right answers: PyTorch in fp32, or a graph that was verified against it.

    `name`: as reports tell it. `timed`: what its times are called beside a variant's; None: it is the fp32 variant.
    """

    name: str
    timed: str | None

    def run_otherwise(self, inputs: Mapping[str, NDArray[Any]], graph: str = "model") -> dict[str, NDArray[Any]]:
        """Named outputs of a graph, computed in the reference's other way: they differ from `run`'s by rounding."""


class Gate(Judges, Protocol):
    """Decides whether graphs may be written. `rows`: the labelled rows that variants are judged by too, in words."""

    rows: str | None

    def verify(self, precision: str, session: Session) -> Quality:
        """Compare raw outputs with the reference's.

        Raises:
            VerificationFailed: an error is above its limit; names the input, expected and obtained.
        """

    def prepare(self) -> None:
        """Ask the reference for what variants are judged by."""

    def speed(self, session: Session, plain: Session | None) -> Speed | None:
        """Times of a variant, beside the fp32 variant's where that is given; None on a busy machine."""

    def work(self, sessions: Mapping[str, Session]) -> Work:
        """What is timed of these sessions, by name."""
