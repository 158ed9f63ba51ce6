"""What an artifact keeps of a checkpoint's generation config."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.write.generation import write_generation_config


class Settings:
    """As transformers' WatermarkingConfig."""

    def to_dict(self) -> dict[str, Any]:
        return {"bias": 2.0}


def model(**settings: Any) -> Any:
    return SimpleNamespace(generation_config=SimpleNamespace(to_dict=lambda: settings))


def test_settings_are_written_as_the_file_had_them(tmp_path: Path) -> None:
    write_generation_config(
        model(watermarking_config=Settings(), top_k=3, top_p=None, transformers_version="5"), tmp_path
    )
    written = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    assert written == {"top_k": 3, "watermarking_config": {"bias": 2.0}}


def test_a_setting_that_is_no_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="holds a complex: 1j"):
        write_generation_config(model(top_k=1j), tmp_path)
