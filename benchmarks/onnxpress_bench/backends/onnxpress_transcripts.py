"""How onnxpress is asked for a transcript, so that it searches as the others do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What Whisper hears at once.
WINDOW_S = 30


def transcript_options(pipe: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a pipeline's call: in English if the model knows several languages; one that answers letters of
    moments has no other way."""
    if pipe.manifest.generation is None:
        return {}
    from onnxpress.pipelines.files import read_json

    search = {"num_beams": settings["transcript_beams"], "do_sample": False}
    windows: dict[str, Any] = {}
    if batch := settings["transcript_batch"]:
        windows = {"chunk_length_s": WINDOW_S, "batch_size": batch}
    if limit := settings["transcript_tokens"]:
        search["max_new_tokens"] = limit
    if read_json(pipe.loaded.artifact, "generation_config.json").get("is_multilingual"):
        search |= {"language": "en", "task": "transcribe"}
    return {"generate_kwargs": search, **windows}
