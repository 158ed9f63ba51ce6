"""What timm says of a model's pictures: no file of their own, but `pretrained_cfg` in config.json."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from onnxpress.errors import CorruptFile
from onnxpress.format.pictures import CHANNELS, MAX_EDGE

#: Where config.json says it, and the class of transformers that reads it, without "ImageProcessor".
PRETRAINED, KIND = "pretrained_cfg", "TimmWrapper"

_USUAL: Mapping[str, Any] = {
    "input_size": (3, 224, 224),
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "crop_pct": 0.875,
    "crop_mode": "center",
}


def is_of_timm(config: Mapping[str, Any]) -> bool:
    """Whether config.json is that of a model of timm, saved by timm or by transformers."""
    return isinstance(config.get(PRETRAINED), Mapping) and config.get("model_type", "timm_wrapper") == "timm_wrapper"


def timm_values(config: Mapping[str, Any], where: object) -> SimpleNamespace:
    """The values of TimmWrapperImageProcessor, as `timm.data.resolve_data_config` finds them for it.

    Raises:
        CorruptFile: one is of another kind than it should be. `where`: the file, for the message.
    """
    saved = config[PRETRAINED]
    data = {name: saved[name] if saved.get(name) else value for name, value in _USUAL.items()}
    channels = saved.get("in_chans") or saved.get("chans") or CHANNELS
    if not saved.get("input_size"):
        edge = saved.get("img_size") or _USUAL["input_size"][1]
        data["input_size"] = (channels, edge, edge)
    kinds = {
        "input_size": (_is_size(data["input_size"]), "channels, height and width"),
        "mean": (_is_row(data["mean"]), f"{CHANNELS} numbers"),
        "std": (_is_row(data["std"]), f"{CHANNELS} numbers"),
        "crop_pct": (_is_number(data["crop_pct"]) and 0 < data["crop_pct"] < MAX_EDGE, "a number above 0"),
        "interpolation": (isinstance(data["interpolation"], str), "a name"),
        "crop_mode": (isinstance(data["crop_mode"], str), "a name"),
    }
    for name, (fits, words) in kinds.items():
        if not fits:
            raise CorruptFile(f"{where}: {PRETRAINED}.{name} should be {words}, not {data[name]!r:.60}.")
    rows = {name: tuple(data[name]) * (CHANNELS if len(data[name]) == 1 else 1) for name in ("mean", "std")}
    return SimpleNamespace(class_name=f"{KIND}ImageProcessor", data_config={**data, **rows})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    edges = isinstance(value, (list, tuple)) and all(isinstance(edge, int) and 1 <= edge <= MAX_EDGE for edge in value)
    return edges and len(value) == len(("channels", "height", "width"))


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) in (1, CHANNELS) and all(map(_is_number, value))
