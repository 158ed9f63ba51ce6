"""What a graph is asked about pictures: those that the model itself cannot take are left out, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from numpy.typing import NDArray

from onnxpress.format.pictures import ImageSettings
from onnxpress.image.opening import open_picture
from onnxpress.image.transform import Transform
from onnxpress.pipelines.pictures import picture_collator, picture_sample
from onnxpress_exporter.gate.probe import StackProbe
from onnxpress_exporter.judging.pictures import verification_pictures

SETTINGS = ImageSettings(("pixel_values",))


def probe() -> StackProbe:
    transform = Transform(SETTINGS)
    return StackProbe(
        verification_pictures(),
        lambda picture: picture_sample(transform, open_picture(picture)),
        picture_collator(SETTINGS, padding=True),
    )


def test_pictures_that_the_model_cannot_take_are_left_out() -> None:
    def run(arrays: Mapping[str, NDArray[Any]]) -> None:
        if min(arrays["pixel_values"].shape[2:]) < 32:
            raise RuntimeError("Kernel size can't be greater than actual input size")

    asked = probe()
    before = len(asked.samples)
    asked.leave_out_refused(run)
    edges = [min(sample.row.arrays["pixel_values"].shape[1:]) for sample in asked.samples]
    assert 0 < len(edges) < before and min(edges) >= 32


def test_a_model_that_takes_none_is_told_of() -> None:
    def run(arrays: Mapping[str, NDArray[Any]]) -> None:
        raise RuntimeError("it is broken")

    with pytest.raises(RuntimeError, match="it is broken"):
        probe().leave_out_refused(run)
