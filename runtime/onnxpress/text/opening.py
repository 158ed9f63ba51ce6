"""The tokenizer of an artifact: every file that it reads is the one the manifest names."""

from __future__ import annotations

from collections.abc import Iterator

from onnxpress.format.processors import TokenizerSettings
from onnxpress.layouts.artifact import Artifact
from onnxpress.text.tokenizer import Tokenizer


def open_tokenizer(artifact: Artifact) -> Tokenizer | None:
    """The artifact's tokenizer; None: it takes no text.

    Raises:
        MissingFile, CorruptFile: a file is not there, or not what the manifest says.
        MissingDependency: tokenizers is not installed.
    """
    settings = artifact.manifest.processors.text
    if settings is None:
        return None
    files = {name: artifact.file(name) for name in _file_names(settings)}
    return Tokenizer(files[settings.file], settings, files)


def _file_names(settings: TokenizerSettings) -> Iterator[str]:
    yield settings.file
    if settings.segmentation is not None and settings.segmentation.charsmap_file is not None:
        yield settings.segmentation.charsmap_file
    if settings.target is not None:
        yield from _file_names(settings.target)
