"""Sounds that a model made, written to files: `onnxpress run speaker-artifact "Hello" --out hello.wav`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress.audio.writing import wav_of
from onnxpress.errors import InputError

_SUFFIX = ".wav"


def is_sound(result: Any) -> bool:
    """Whether a result is a sound that a model made."""
    return isinstance(result, Mapping) and hasattr(result.get("audio"), "dtype") and "sampling_rate" in result


def describe_sound(result: Any) -> Any:
    """What people are shown of a sound; None: the result is none."""
    if not is_sound(result):
        return None
    rate = int(result["sampling_rate"])
    return {"seconds": len(result["audio"]) / rate, "sampling_rate": rate}


@dataclass(slots=True)
class Recordings:
    """Writes sounds: to one file, or for several into a folder, numbered."""

    target: Path
    _count: int = 0

    @property
    def is_file(self) -> bool:
        """Whether there is room for one sound alone."""
        return self.target.suffix.lower() == _SUFFIX and not self.target.is_dir()

    def check(self, count: int) -> None:
        """Raises InputError where so many sounds do not go into one file, or the target is no folder."""
        if count > 1 and self.is_file:
            raise InputError(f"--out {self.target} is one file, and there are several sounds: name a folder.")
        if self.target.is_file() and not self.is_file:
            raise InputError(f"--out {self.target}: a sound is written as {_SUFFIX}, or into a folder.")

    def write(self, result: Any) -> list[Path]:
        """Write the sound, or the sounds, of a row; the files that were written.

        Raises:
            InputError: there is none, no room, or a file cannot be written.
        """
        several = isinstance(result, Sequence) and not isinstance(result, (str, bytes))
        written = []
        for sound in result if several else [result]:
            if not is_sound(sound):
                raise InputError("--out writes sounds, and this result is none.")
            self._count += 1
            self.check(self._count)
            file = self.target if self.is_file else self.target / f"sound-{self._count}{_SUFFIX}"
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(wav_of(sound["audio"], int(sound["sampling_rate"])))
            except OSError as error:
                raise InputError(f"--out {file}: cannot be written ({error.strerror or error}).") from error
            written.append(file)
        return written
