"""Checkpoints of timm, which transformers loads by its class TimmWrapper where timm is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxpress.layouts.picture_files.timm import is_of_timm
from onnxpress_exporter.errors import UnsupportedCheckpoint

_CLASSIFIER, _BODY = "TimmWrapperForImageClassification", "TimmWrapperModel"


def as_transformers_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with the names of the model type and of the class, which timm itself does not write: a model of as
    many classes as its file says, or of none."""
    if not is_of_timm(config):
        return dict(config)
    classes = config.get("num_classes", config["pretrained_cfg"].get("num_classes"))
    return {"model_type": "timm_wrapper", "architectures": [_BODY if classes == 0 else _CLASSIFIER], **config}


def check_timm(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise UnsupportedCheckpoint unless timm can be imported here, and has the architecture."""
    name = config.get("architecture")
    try:
        import timm
    except Exception as error:  # torchvision raises RuntimeError beside a PyTorch that it was not built for
        lines = str(error).splitlines()
        raise UnsupportedCheckpoint(
            f"{folder} holds {name!r:.60} as timm saves it, which is exported where timm and torchvision are "
            f"installed: pip install timm torchvision. Here they are not: {lines[0] if lines else error!r:.200}"
        ) from error
    if not isinstance(name, str) or not timm.is_model(name):
        raise UnsupportedCheckpoint(
            f"timm {timm.__version__} has no architecture {name!r:.60}, which {folder} was saved of. A newer one may."
        )
