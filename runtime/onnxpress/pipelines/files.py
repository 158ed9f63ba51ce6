"""Reads JSON files of an artifact."""

from __future__ import annotations

import json
from typing import Any

from onnxpress.errors import CorruptFile
from onnxpress.layouts.artifact import Artifact


def read_json(artifact: Artifact, name: str) -> dict[str, Any]:
    """A file of the artifact that holds one JSON object; empty if the artifact has no such file.

    Raises:
        CorruptFile: it holds something else.
    """
    if name not in artifact.manifest.files:
        return {}
    path = artifact.file(name)
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{path}: not JSON ({error}). Export again.") from None
    if not isinstance(content, dict):
        raise CorruptFile(f"{path}: not a JSON object. Export again.")
    return content
