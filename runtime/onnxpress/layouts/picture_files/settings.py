"""Finds the file in which a model's image processor was saved, and reads it as a program of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.errors import CorruptFile, MissingFile, UnsupportedFormat
from onnxpress.format.pictures import ImageSettings, faults_of
from onnxpress.layouts.files import Files
from onnxpress.layouts.picture_files.classes import CLASSES
from onnxpress.layouts.picture_files.readers import read_values
from onnxpress.layouts.picture_files.timm import KIND, is_of_timm, timm_values
from onnxpress.layouts.picture_files.values import values_of

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"

_SUFFIX = "ImageProcessor"


@dataclass(frozen=True, slots=True)
class PictureSettings:
    """`image`: the program; `kind`: the class it was read of, without "ImageProcessor"; `source`: what says so."""

    image: ImageSettings
    kind: str
    source: str


def read_pictures(files: Files, config: Mapping[str, Any]) -> PictureSettings:
    """How a model's pictures become arrays.

    Args:
        config: config.json, whose model_type tells the class where no file names one.

    Raises:
        MissingFile: there is no such file.
        UnsupportedFormat: it is of a class that is not read here.
        CorruptFile: it is not what it should be.
    """
    nested = files.settings(PROCESSOR).get("image_processor")
    source, saved = (PROCESSOR, nested) if isinstance(nested, Mapping) else (PREPROCESSOR, files.settings(PREPROCESSOR))
    if not saved and is_of_timm(config):
        return _checked(files, "config.json", KIND, timm_values(config, files.folder / "config.json"))
    if not saved:
        raise MissingFile(
            f"{files.folder / PREPROCESSOR}: there is no such file, so it is not known how pictures are resized and "
            "normalized. Copy it from the checkpoint that the graph was exported from."
        )
    kind = _class_of(saved, config)
    if kind not in CLASSES:
        raise UnsupportedFormat(
            f"{files.folder / source}: its image processor is {f'{kind}{_SUFFIX}' if kind else 'not named'}, which is "
            "not read here, nor by `onnxpress export` and `onnxpress adopt` of this version. A newer one may read it."
        )
    return _checked(files, source, kind, values_of(kind, saved, files.folder / source))


def _checked(files: Files, source: str, kind: str, values: Any) -> PictureSettings:
    settings = read_values(f"{kind}{_SUFFIX}", values)
    for name, fault in faults_of(settings):
        raise CorruptFile(f"{files.folder / source}: {name}: {fault}. Download it again.")
    return PictureSettings(settings, kind, source)


def _class_of(saved: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The name of its class, without "ImageProcessor"; "": nothing tells."""
    named = saved.get("image_processor_type") or config.get("image_processor_type")
    if not isinstance(named, str) and isinstance(older := saved.get("feature_extractor_type"), str):
        named = older.replace("FeatureExtractor", _SUFFIX)
    if isinstance(named, str):
        return named.removesuffix("Fast").removesuffix("Pil").removesuffix(_SUFFIX)
    model_type = str(config.get("model_type", "")).replace("-", "_")
    return next((kind for kind, row in CLASSES.items() if model_type in row.types), "")
