"""The tokenizer of an artifact: every file that it reads is the one the manifest names."""

from __future__ import annotations

from collections.abc import Iterator

from onnxpress.errors import ArtifactError
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


def required_tokenizer(artifact: Artifact) -> Tokenizer:
    """The tokenizer of an artifact whose model takes or writes text.

    Raises:
        ArtifactError: it has none, or as `open_tokenizer`.
    """
    if (tokenizer := open_tokenizer(artifact)) is None:
        raise ArtifactError(f"{artifact.folder}: no tokenizer, so it cannot be asked for text. Export again.")
    return tokenizer


def _file_names(settings: TokenizerSettings) -> Iterator[str]:
    yield settings.file
    if settings.segmentation is not None and settings.segmentation.charsmap_file is not None:
        yield settings.segmentation.charsmap_file
    if settings.target is not None:
        yield from _file_names(settings.target)
