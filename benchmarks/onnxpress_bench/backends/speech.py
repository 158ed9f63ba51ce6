"""What backends for automatic-speech-recognition share: the items of the task, on top of what each of them writes.

An item is {"audio": path of a .npy file, "rate_hz": n}, its answer {"text": ...}. A file, because a recording as JSON
would take longer to read than some models to load. Nothing of any one library is known here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec, Batching


class Speech(ABC):
    """One recording at a time, greedily, without timestamps and in English if the model knows several languages.

    `settings` of the spec: transcript_tokens, the most that a transcript may have; None: as many as the model allows.
    """

    batchings: Sequence[Batching] = (Batching(1),)
    distributions: Sequence[str] = ()

    def __init__(self, spec: BackendSpec) -> None:
        self.spec = spec

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        return spec

    @abstractmethod
    def load_libraries(self) -> None:
        """Import what is needed."""

    @abstractmethod
    def load(self) -> None:
        """Load the model and the tokenizer."""

    @abstractmethod
    def model_files(self) -> Sequence[Path]:
        """The files of the model."""

    @abstractmethod
    def transcribe(self, audio: Sequence[float], rate_hz: int) -> str:
        """The text of mono audio: float32 (samples,) in [-1, 1]."""

    def one(self, item: Any) -> Any:
        return {"text": self.transcribe(read_recording(item), item["rate_hz"])}

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        return [self.one(item) for item in items]


def read_recording(item: Mapping[str, Any]) -> Any:
    """A numpy array: float32 (samples,)."""
    import numpy as np

    return np.load(item["audio"])
