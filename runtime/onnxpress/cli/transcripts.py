"""Transcripts where a caller wants them: `onnxpress run MODEL talk.wav --format srt --out subtitles`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from onnxpress.errors import InputError
from onnxpress.format.callers_files import is_url
from onnxpress.speech.subtitles import cues_of, gathered, written


@runtime_checkable
class TellsTimes(Protocol):
    """A pipeline whose results say what was said when. `line_times`: the `return_timestamps` of which lines are made:
    True where these are segments, "word" where words have to be gathered."""

    line_times: ClassVar[bool | str]


@dataclass(slots=True)
class Transcripts:
    """Writes transcripts: to the terminal, to one file, or for several into a folder, named as the sounds are.

    Args:
        form: one of `FORMATS`.
        target: a file or a folder; None: what is written is handed back.
        gathers: whether chunks are words that are gathered to lines.
    """

    form: str
    target: Path | None
    gathers: bool
    _names: set[str] = field(default_factory=set)

    @property
    def is_file(self) -> bool:
        """Whether there is room for one transcript alone."""
        return self.target is not None and self.target.suffix.lower() == f".{self.form}" and not self.target.is_dir()

    def check(self, count: int) -> None:
        """Raises InputError where so many transcripts do not go into one file, or the target is no folder."""
        if count > 1 and self.is_file:
            raise InputError(f"--out {self.target} is one file, and there are several sounds: name a folder.")
        if self.target is not None and self.target.is_file() and not self.is_file:
            raise InputError(f"--out {self.target}: it is written as .{self.form}, or into a folder.")

    def text(self, result: Mapping[str, Any]) -> str:
        """The transcript of one sound."""
        cues = cues_of(result, lambda: float(getattr(result, "seconds", 0.0)))
        return written(result, gathered(cues) if self.gathers else cues, self.form)

    def write(self, sound: Any, text: str) -> Path:
        """Write a transcript to its file, which is named.

        Raises:
            InputError: no room, or the file cannot be written.
        """
        assert self.target is not None
        name = self._free_name(sound)
        self.check(len(self._names))
        file = self.target if self.is_file else self.target / f"{name}.{self.form}"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(f"--out {file}: cannot be written ({error.strerror or error}).") from error
        return file

    def _free_name(self, sound: Any) -> str:
        """The name of the sound's file without its ending, or a number, that no other transcript of the call has."""
        path = sound.get("path") if isinstance(sound, Mapping) else sound
        if isinstance(path, str) and not path.startswith("data:"):
            stem = Path(path.partition("?")[0] if is_url(path) else path).stem
        else:
            stem = "sound"
        name, number = stem, 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name)
        return name
