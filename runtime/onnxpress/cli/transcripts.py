"""Transcripts as subtitles and tables, in the forms of OpenAI's Whisper: `onnxpress run MODEL talk.wav --format srt`.

Pure, but for the files that `Transcripts` writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from onnxpress.errors import InputError
from onnxpress.format.callers_files import is_url

FORMATS = ("txt", "srt", "vtt", "tsv", "json")

#: The most characters and seconds of a line that is gathered from words.
_LINE_CHARACTERS, _LINE_SECONDS = 42, 5.0


@runtime_checkable
class TellsTimes(Protocol):
    """A pipeline whose results say what was said when. `line_times`: the `return_timestamps` of which lines are made:
    True where these are segments, "word" where words have to be gathered."""

    line_times: ClassVar[bool | str]


@dataclass(frozen=True, slots=True)
class Cue:
    """What is said from `start` to `end`, in seconds. `language`: its name, where it was asked for."""

    start: float
    end: float
    text: str
    language: str | None = None


def cues_of(result: Mapping[str, Any]) -> list[Cue]:
    """The chunks of a result as cues, in whose times nothing goes back; those without text are left out.

    Args:
        result: of automatic-speech-recognition; without chunks it is one cue, of the whole sound. Where an end is not
            known, that of the sound stands, which the result tells beside its entries.
    """
    whole: list[Mapping[str, Any]] = [{"text": result["text"], "timestamp": (0.0, None)}]
    seconds = float(getattr(result, "seconds", 0.0))
    cues: list[Cue] = []
    latest, ends = 0.0, 0.0
    for chunk in result.get("chunks", whole):
        start, end = chunk.get("timestamp", (None, None))
        # Without a start it begins where the one before ends.
        latest = max(latest, ends if start is None else float(start))
        ends = max(latest, seconds if end is None else float(end))
        if text := " ".join(chunk["text"].split()):
            cues.append(Cue(latest, ends, text, chunk.get("language")))
    return cues


def gathered(words: Iterable[Cue]) -> list[Cue]:
    """Words as lines that can be read: of 42 characters and 5 seconds at most, unless one word has more."""
    lines: list[Cue] = []
    for word in words:
        if lines and _has_room(lines[-1], word):
            line = lines.pop()
            word = Cue(line.start, max(line.end, word.end), f"{line.text} {word.text}", line.language)
        lines.append(word)
    return lines


def _has_room(line: Cue, word: Cue) -> bool:
    return (
        len(line.text) + 1 + len(word.text) <= _LINE_CHARACTERS
        and word.end - line.start <= _LINE_SECONDS
        and line.language == word.language
    )


def written(result: Mapping[str, Any], cues: Sequence[Cue], form: str) -> str:
    """A transcript in one of `FORMATS`, with a line break at its end."""
    return _WRITERS[form](result, cues)


def _txt(result: Mapping[str, Any], cues: Sequence[Cue]) -> str:
    return "".join(f"{cue.text}\n" for cue in cues) or "\n"


def _srt(result: Mapping[str, Any], cues: Sequence[Cue]) -> str:
    return "".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_without_arrows(cue.text)}\n\n"
        for number, cue in enumerate(cues, 1)
    )


def _vtt(result: Mapping[str, Any], cues: Sequence[Cue]) -> str:
    return "WEBVTT\n\n" + "".join(
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_without_markup(cue.text)}\n\n" for cue in cues
    )


def _tsv(result: Mapping[str, Any], cues: Sequence[Cue]) -> str:
    rows = (f"{_milliseconds(cue.start)}\t{_milliseconds(cue.end)}\t{cue.text}\n" for cue in cues)
    return "start\tend\ttext\n" + "".join(rows)


def _json(result: Mapping[str, Any], cues: Sequence[Cue]) -> str:
    segments = [
        {
            "id": number,
            "start": cue.start,
            "end": cue.end,
            "text": cue.text,
            **({} if cue.language is None else {"language": cue.language}),
        }
        for number, cue in enumerate(cues)
    ]
    return json.dumps({"text": result["text"], "segments": segments}, ensure_ascii=False) + "\n"


_WRITERS: Mapping[str, Callable[[Mapping[str, Any], Sequence[Cue]], str]] = {
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
    "tsv": _tsv,
    "json": _json,
}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(seconds: float, mark: str) -> str:
    """Hours, minutes, seconds and, after `mark`, thousandths; WebVTT leaves hours out where there are none."""
    rest, thousandths = divmod(_milliseconds(seconds), 1000)
    minutes, second = divmod(rest, 60)
    hours, minute = divmod(minutes, 60)
    hour = f"{hours:02d}:" if hours or mark == "," else ""
    return f"{hour}{minute:02d}:{second:02d}{mark}{thousandths:03d}"


def _without_arrows(text: str) -> str:
    """What a player does not take for a line of times."""
    return text.replace("-->", "->")


def _without_markup(text: str) -> str:
    """As WebVTT writes characters that begin its tags and entities."""
    return _without_arrows(text).replace("&", "&amp;").replace("<", "&lt;")


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
        cues = cues_of(result)
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
