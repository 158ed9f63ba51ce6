"""Transcripts as subtitles and tables, in the forms of OpenAI's Whisper. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMATS = ("txt", "srt", "vtt", "tsv", "json")

#: The most characters and seconds of a line that is gathered from words.
_LINE_CHARACTERS, _LINE_SECONDS = 42, 5.0


@dataclass(frozen=True, slots=True)
class Cue:
    """What is said from `start` to `end`, in seconds. `language`: its name, where it was asked for."""

    start: float
    end: float
    text: str
    language: str | None = None


def cues_of(result: Mapping[str, Any], seconds: Callable[[], float]) -> list[Cue]:
    """The chunks of a result as cues, in whose times nothing goes back; those without text are left out.

    Args:
        result: of automatic-speech-recognition; without chunks it is one cue, of the whole sound.
        seconds: how long the sound is; called where an end is not known.
    """
    whole: list[Mapping[str, Any]] = [{"text": result["text"], "timestamp": (0.0, None)}]
    cues: list[Cue] = []
    latest, ends = 0.0, 0.0
    for chunk in result.get("chunks", whole):
        start, end = chunk.get("timestamp", (None, None))
        # Without a start it begins where the one before ends.
        latest = max(latest, ends if start is None else float(start))
        ends = max(latest, seconds() if end is None else float(end))
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
