"""The `vad` of a call: who listens for voices, and when a sound counts as speech."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from onnxpress.audio.spans import VoiceSettings
from onnxpress.audio.voice import RATE, SmallVoiceNet, VoiceListener
from onnxpress.errors import InputError
from onnxpress.pipelines.silero import open_silero
from onnxpress.speech.windows import VoiceActivity
from onnxpress.suggestions import nearest

_MODEL = "model"
_SETTINGS = tuple(field.name for field in fields(VoiceSettings))


def voice_activity(vad: Any, rate: int) -> VoiceActivity | None:
    """What the option asks for; None: nothing.

    Args:
        vad: None, a truth, the path of silero's model, or a mapping of settings and "model".
        rate: samples a second of what will be heard.

    Raises:
        InputError: it is none of these, or a setting is wrong; the file is not there, or is no such model.
    """
    if vad is None or vad is False:
        return None
    if vad is True:
        vad = {}
    elif isinstance(vad, (str, Path)):
        vad = {_MODEL: vad}
    if not isinstance(vad, Mapping):
        raise InputError(
            f"vad is {vad!r:.60}; it may be True, the path of silero_vad.onnx, or a mapping of "
            f"{', '.join((*_SETTINGS, _MODEL))}."
        )
    for name in vad:
        if name not in (*_SETTINGS, _MODEL):
            meant = nearest(str(name), [*_SETTINGS, _MODEL])
            hint = f" Did you mean {meant}?" if meant else ""
            raise InputError(f"vad has no setting {name!r:.40}; it has {', '.join((*_SETTINGS, _MODEL))}.{hint}")
    if rate != RATE:
        raise InputError(f"vad hears {RATE} samples a second, and this model {rate}: leave vad out.")
    settings = VoiceSettings(**{name: value for name, value in vad.items() if name != _MODEL})
    model = vad.get(_MODEL)
    if model is None:
        return VoiceActivity(SmallVoiceNet, settings)
    if not isinstance(model, (str, Path)):
        raise InputError(f"vad: model is {model!r:.60}; it must be the path of silero_vad.onnx.")
    return VoiceActivity(_silero(Path(model)), settings)


def _silero(path: Path) -> Callable[[], VoiceListener]:
    return _opened(path, path.stat().st_mtime_ns if path.exists() else 0)


#: The file is opened once as long as it does not change.
_opened = lru_cache(maxsize=2)(lambda path, changed: open_silero(path))
