"""Renders results as text for people. Pure: takes values and returns text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
