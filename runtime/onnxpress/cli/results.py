"""Renders results as text for people, and as values of JSON. Pure."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from typing import Any

from onnxpress.cli.sounds import is_sound


def present(asked: Any, result: Any) -> str:
    """One input and its result."""
    title = asked if isinstance(asked, str) else str(asked)
    title = title if len(title) <= 100 else title[:97] + "..."
    return f"{title}\n{_indent(_result(result))}"


def _result(result: Any) -> str:
    if hasattr(result, "shape"):
        values = result.reshape(-1)
        shown = ", ".join(f"{value:.4f}" for value in values[:6])
        return f"{result.dtype} {tuple(result.shape)}: {shown}{', ...' if values.size > 6 else ''}"
    if isinstance(result, Mapping):
        return "  ".join(f"{name}: {_scalar(value)}" for name, value in result.items())
    if isinstance(result, (list, tuple)):
        if result and isinstance(result[0], (Mapping, list, tuple)):
            return "\n".join(_result(item) for item in result)
        return f"[{', '.join(_scalar(item) for item in result[:6])}{', ...' if len(result) > 6 else ''}]"
    return _scalar(result)


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    return str(value)


def _indent(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines()) if text else "  -"


def plain(value: Any) -> Any:
    """A result as JSON's values: arrays as lists, pictures and sounds as data URIs, bytes in base64, what is no number
    as null."""
    if isinstance(value, Exception):  # of one of several inputs that a row has
        return {"error": str(value)}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if hasattr(value, "save") and hasattr(value, "mode"):  # a mask, or another picture that a model made
        from onnxpress.image.seen import data_uri

        return data_uri(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such number
        return None
    if is_sound(value):
        from onnxpress.audio.writing import wav_data_uri

        return {**value, "audio": wav_data_uri(value["audio"], int(value["sampling_rate"]))}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def free_name(name: str, taken: Iterable[str]) -> str:
    """The name, or one like it that no field of a row has: those stay as they are."""
    names = set(taken)
    while name in names:
        name += "_"
    return name
