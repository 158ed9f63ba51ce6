"""Makes the inputs of a task's pipeline from texts or pictures: those that variants are calibrated on and judged by.

The checkpoint shapes them: its mask token, its prompts, its longest row, its labels through the pipeline. How a text
becomes an item is the task's own. Knows no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import captions
from onnxpress_exporter.judging.pictures import calibration_pictures, judged_pictures
from onnxpress_exporter.judging.sounds import calibration_sounds, judged_sounds
from onnxpress_exporter.judging.speech import calibration_speech, judged_speech
from onnxpress_exporter.judging.texts import CALIBRATION, JUDGED

#: Material and the artifact that it is for -> items of the task's pipeline.
MakeItems = Callable[[Sequence[Any], Manifest], list[Any]]


@dataclass(frozen=True, slots=True)
class Material:
    """What items are made of, for an artifact: to take ranges from, and, other, to judge by."""

    calibration: Callable[[Manifest], Sequence[Any]]
    judged: Callable[[Manifest], Sequence[Any]]


#: Sentences that make one longer text: inputs are not all of one length.
PARAGRAPHS = (2, 5, 12)

#: Sentences that pictures or sounds are compared with, cut to so many words.
_SENTENCES, _CAPTION_WORDS = 40, 8

#: Words of a paragraph where the model's limit would refuse more: tasks that do not cut.
_LONGEST_WORDS = 200


def calibration_items(make: MakeItems, manifest: Manifest, sounds: Material) -> list[Any]:
    """The inputs that the ranges of quantization are taken from; `sounds`: of what, where the model takes sounds."""
    return make(_material(manifest, sounds).calibration(manifest), manifest)


def calibration_texts(manifest: Manifest) -> list[str]:
    """The same, for a graph that reads the texts that pictures or sounds are compared with: of a few words."""
    said = _captions(manifest)
    return [*map(said.sentence.format, said.calibration), *(_first_words(text) for text in CALIBRATION)]


def judged_texts(manifest: Manifest) -> list[str]:
    """The texts that pictures or sounds are compared with to judge a variant, none of which the calibration has."""
    said = _captions(manifest)
    return [*map(said.sentence.format, said.judged), *(_first_words(text) for text in JUDGED[:_SENTENCES])]


def _captions(manifest: Manifest) -> captions.Captions:
    return captions.OF_SOUNDS if manifest.processors.audio is not None else captions.OF_PICTURES


def _first_words(text: str) -> str:
    return " ".join(text.split()[:_CAPTION_WORDS])


def judged_items(make: MakeItems, manifest: Manifest, sounds: Material) -> list[Any]:
    """The inputs that a variant's answers are compared on. Nothing that they are made of is in the calibration."""
    return make(_material(manifest, sounds).judged(manifest), manifest)


def plain_items(material: Sequence[Any], manifest: Manifest) -> list[Any]:
    """The texts, pictures or sounds themselves."""
    return list(material)


def _material(manifest: Manifest, sounds: Material) -> Material:
    """By what the model takes."""
    if manifest.processors.audio is not None:
        return sounds
    return PICTURES if manifest.processors.image is not None else TEXTS


def _rate(manifest: Manifest) -> int:
    assert manifest.processors.audio is not None, "its inputs are sounds"
    return manifest.processors.audio.rate


def _texts(sentences: Sequence[str], manifest: Manifest) -> list[str]:
    return [*sentences, *_paragraphs(sentences, manifest)]


def _paragraphs(sentences: Sequence[str], manifest: Manifest) -> Iterator[str]:
    limit = None if manifest.tokenizer is None else manifest.tokenizer.max_length
    words = min(_LONGEST_WORDS, limit // 3 if limit else _LONGEST_WORDS)
    for number, count in enumerate(PARAGRAPHS):
        for start in range(number, len(sentences) - count, 4 * count):
            yield " ".join(" ".join(sentences[start : start + count]).split()[:words])


TEXTS = Material(lambda manifest: _texts(CALIBRATION, manifest), lambda manifest: _texts(JUDGED, manifest))
PICTURES = Material(lambda manifest: calibration_pictures(), lambda manifest: judged_pictures())
SOUNDS = Material(lambda manifest: calibration_sounds(_rate(manifest)), lambda manifest: judged_sounds(_rate(manifest)))
SPEECH = Material(lambda manifest: calibration_speech(_rate(manifest)), lambda manifest: judged_speech(_rate(manifest)))
