"""The record of the check as lines for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]


def lines(entries: Sequence[Entry]) -> Iterator[str]:
    """What a record says: answers, then times beside the base, then memory, failures and what was left out."""
    for entry in entries:
        if entry["type"] == "parity":
            yield _parity(entry)
        elif entry.get("kind") == "times":
            new = f", {entry['new_tokens']} new" if "new_tokens" in entry else ""
            yield f"{entry['row']} {entry['batch']}x{entry['tokens']}{new}, over {entry['base']}:"
            yield from (f"  {time['name']:32} {time['median_ms']:9.3f} ms  {_gain(time)}" for time in entry["times"])
        elif entry.get("kind") == "memory":
            taken = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in entry["device_bytes"].items())
            yield f"{entry['row']}, memory on the device: {taken}"
    summary = entries[-1]
    yield from (f"FAILED {why}" for why in summary.get("failures", ()))
    yield from (f"left out, {what}" for what in summary.get("left_out", ()))
    yield f"{'passed' if summary.get('passed') else 'failed'} in {summary.get('seconds')} s"


def _parity(entry: Entry) -> str:
    if "refused" in entry:
        return f"{entry['row']} {entry['precision']}: has no such variant: {str(entry['refused']).splitlines()[0]}"
    if "placement" not in entry:
        return f"{entry['row']}: failed"
    errors = [
        f"{name.removeprefix('beside ')}: error {judged['max_error']:.2g} of {judged['max_error_limit']:g}"
        for name, judged in entry.items()
        if name.startswith("beside ") and "max_error" in judged
    ]
    return f"{entry['row']} {entry['precision']}: {'; '.join(errors)}{'' if not entry['failures'] else '; FAILED'}"


def _gain(time: Entry) -> str:
    if time["gain_low"] is None:
        return f"{time['gain']:.2f}x"
    return f"{time['gain']:.2f}x [{time['gain_low']:.2f}, {time['gain_high']:.2f}]"
