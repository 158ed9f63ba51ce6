"""What a manifest must hold beside the types of its fields: names that are listed, numbers that can be carried out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from onnxpress.errors import InvalidManifest, UnsupportedFormat
from onnxpress.format.precisions import PRECISIONS
from onnxpress.format.variants import DEFAULT_FORM, GraphFiles, Variant

if TYPE_CHECKING:
    from onnxpress.format.manifest import Manifest
    from onnxpress.format.processors import TokenizerSettings

_SHA256 = re.compile(r"[0-9a-f]{64}")


def validate(manifest: Manifest, where: str) -> None:
    """Check what the types do not say.

    Raises:
        InvalidManifest: a field contradicts another, or cannot be carried out.
        UnsupportedFormat: a precision that a newer version has.
    """
    for name, info in manifest.files.items():
        if info.bytes < 0:
            raise _contradiction(where, f"files.{name}.bytes", "negative")
        if not _SHA256.fullmatch(info.sha256):
            raise _contradiction(where, f"files.{name}.sha256", "not 64 lower-case hexadecimal digits")
    roles = [graph.role for graph in manifest.graphs.values()]
    if len(set(roles)) != len(roles):
        raise _contradiction(where, "graphs", f"two graphs have one role: {', '.join(sorted(roles))}")
    if not manifest.variants:
        raise _contradiction(where, "variants", "there is none")
    for precision, variant in manifest.variants.items():
        _validate_variant(manifest, precision, variant, where)
    for part, fault in _faults(manifest):
        raise _contradiction(where, part, fault)
    entailment = manifest.postprocessing.entailment
    if entailment is not None and not 0 <= entailment < len(manifest.postprocessing.labels):
        raise _contradiction(where, "postprocessing.entailment", "not the number of a label")
    if (detection := manifest.postprocessing.detection) is not None and (detection.most or 1) < 1:
        raise _contradiction(where, "postprocessing.detection.most", "not positive")
    if (manifest.postprocessing.samples_of_moment or 1) < 1:
        raise _contradiction(where, "postprocessing.samples_of_moment", "not positive")
    _validate_segmentation(manifest, where)
    _validate_tokenizer(manifest, manifest.processors.text, where, "processors.text")


def _faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What cannot be carried out: the field, and why. Of pictures and sounds, each by its own module."""
    if (audio := manifest.processors.audio) is not None:
        from onnxpress.format import sounds

        yield from ((f"processors.audio.{name}", fault) for name, fault in sounds.faults_of(audio))
    if (image := manifest.processors.image) is not None:
        from onnxpress.format import pictures

        yield from ((f"processors.image.{name}", fault) for name, fault in pictures.faults_of(image))
    if (voice := manifest.postprocessing.speech) is not None:
        from onnxpress.format import speech

        yield from ((f"postprocessing.speech.{name}", fault) for name, fault in speech.faults_of_speech(voice))


def _validate_variant(manifest: Manifest, precision: str, variant: Variant, where: str) -> None:
    at = f"variants.{precision}"
    _require_known(precision, where, at)
    if set(variant.graphs) != set(manifest.graphs):
        raise _contradiction(where, f"{at}.graphs", f"{sorted(variant.graphs)} instead of {sorted(manifest.graphs)}")
    _validate_files(manifest, variant.graphs, where, f"{at}.graphs")
    for form, row in variant.forms.items():
        if form == DEFAULT_FORM or not set(row.graphs) <= set(manifest.graphs):
            raise _contradiction(where, f"{at}.forms.{form}", "not another form of these graphs")
        _validate_files(manifest, row.graphs, where, f"{at}.forms.{form}.graphs")
    for place, tuning in enumerate(variant.tunings):
        if tuning.form not in (DEFAULT_FORM, *variant.forms):
            raise _contradiction(where, f"{at}.tunings[{place}].form", f"there is no form {tuning.form!r}")


def _validate_files(manifest: Manifest, graphs: Mapping[str, GraphFiles], where: str, at: str) -> None:
    for graph, files in graphs.items():
        if files.precision is not None:
            _require_known(files.precision, where, f"{at}.{graph}.precision")
        for name in files.names:
            _require_listed(manifest, name, where, f"{at}.{graph}")


def _validate_segmentation(manifest: Manifest, where: str) -> None:
    settings, at = manifest.postprocessing.segmentation, "postprocessing.segmentation"
    if settings is None:
        return
    from onnxpress.format.pictures import MAX_EDGE

    if not settings.subtasks:
        raise _contradiction(where, f"{at}.subtasks", "there is none")
    outputs = len(manifest.graphs[manifest.graph_name("encoder")].outputs)
    if outputs < (2 if settings.answers == "queries" else 1):
        raise _contradiction(where, f"{at}.answers", f"{settings.answers!r}, of a graph with {outputs} output(s)")
    size = settings.mask_size
    if size is not None and (len(size) != 2 or not all(1 <= edge <= MAX_EDGE for edge in size)):
        raise _contradiction(where, f"{at}.mask_size", f"not two sizes from 1 to {MAX_EDGE}")


def _validate_tokenizer(manifest: Manifest, tokenizer: TokenizerSettings | None, where: str, at: str) -> None:
    if tokenizer is None:
        return
    _require_listed(manifest, tokenizer.file, where, f"{at}.file")
    if tokenizer.segmentation is not None and tokenizer.segmentation.charsmap_file is not None:
        _require_listed(manifest, tokenizer.segmentation.charsmap_file, where, f"{at}.segmentation.charsmap_file")
    if tokenizer.max_length is not None and tokenizer.max_length < 1:
        raise _contradiction(where, f"{at}.max_length", "not positive")
    boxes = tokenizer.boxes
    for box in () if boxes is None else (boxes.question, boxes.begin, boxes.others):
        if len(box) != 4 or not all(0 <= corner <= 1000 for corner in box):
            raise _contradiction(where, f"{at}.boxes", f"{box} is not four numbers from 0 to 1000")
    target = tokenizer.target
    if target is not None and target.target is not None:
        raise _contradiction(where, f"{at}.target.target", "the target side of a target side")
    _validate_tokenizer(manifest, target, where, f"{at}.target")


def _require_known(precision: str, where: str, at: str) -> None:
    if precision not in PRECISIONS:
        raise UnsupportedFormat(
            f"{where}: {at}: unknown precision {precision!r}; this onnxpress knows {', '.join(PRECISIONS)}. "
            "Upgrade onnxpress."
        )


def _require_listed(manifest: Manifest, name: str, where: str, at: str) -> None:
    if name not in manifest.files:
        raise _contradiction(where, at, f"{name!r} is not listed in files")


def _contradiction(where: str, field_name: str, reason: str) -> InvalidManifest:
    return InvalidManifest(f"{where}: {field_name}: {reason}. Export again.")
