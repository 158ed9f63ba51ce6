"""Remembers what was timed on this machine, in a cache folder. A machine that has no such folder forgets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from onnxpress.engine.machine import features, usable_cores
from onnxpress.format.cache import cache_folder
from onnxpress.format.files import write_file
from onnxpress.format.manifest import Manifest


def key_of(manifest: Manifest, precisions: Iterable[str], device: str, threads: int | None) -> str:
    """What times depend on, as a name: the variants' files, the device, the threads, the processor, the engine."""
    files = {
        name: [
            manifest.files[file].sha256
            for graph in manifest.variants[name].graphs.values()
            for file in (graph.file, *graph.external)
        ]
        for name in precisions
    }
    known = [files, device, threads or usable_cores(), sorted(features()), _engine_version()]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]


def recall(key: str) -> Mapping[str, float] | None:
    """Variant -> its time over the most exact one's; None: nothing is remembered, or nothing that can be read."""
    try:
        times = json.loads(_path(key).read_text(encoding="utf-8"))
        return {str(name): float(time) for name, time in times.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def remember(key: str, times: Mapping[str, float]) -> bool:
    """Keep times for later processes; whether that was possible."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(dict(times)).encode())
    except OSError:
        return False
    return True


def _path(key: str) -> Path:
    return cache_folder() / "times" / f"{key}.json"


def _engine_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # imports much, and few ask

    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return ""
