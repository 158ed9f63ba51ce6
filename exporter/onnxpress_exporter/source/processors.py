"""Loads a checkpoint's image processor or feature extractor, as transformers resolves its class and its settings."""

from __future__ import annotations

import warnings
from typing import Any

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.checkpoint import Checkpoint, first_line


def load_image_processor(checkpoint: Checkpoint) -> Any:
    """The checkpoint's processor, of the classes that are built on Pillow.

    Raises:
        UnsupportedCheckpoint: there is none, or transformers cannot load it without torchvision.
    """
    from transformers import AutoImageProcessor

    return _loaded(checkpoint, AutoImageProcessor, "image processor", backend="pil")


def load_feature_extractor(checkpoint: Checkpoint) -> Any:
    """The checkpoint's feature extractor.

    Raises:
        UnsupportedCheckpoint: there is none that transformers can load.
    """
    from transformers import AutoFeatureExtractor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bands without a frequency, which its models were trained with
        return _loaded(checkpoint, AutoFeatureExtractor, "feature extractor")


def _loaded(checkpoint: Checkpoint, loader: Any, noun: str, **arguments: Any) -> Any:
    try:
        return loader.from_pretrained(
            checkpoint.model_folder,
            trust_remote_code=checkpoint.trust_remote_code,
            local_files_only=True,
            **arguments,
        )
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"transformers cannot load the {noun} of {checkpoint.model_folder}: {first_line(error)}"
        ) from error
