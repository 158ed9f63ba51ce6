"""The settings of one call: values that are defaults are not checked, so that all others have to be."""

from __future__ import annotations

from dataclasses import fields

import pytest

from onnxpress.errors import InputError
from onnxpress.generation.settings import GenerationConfig
from onnxpress.generation.settings_fields import KINDS


@pytest.mark.parametrize("name", KINDS)
def test_every_default_is_as_its_check_leaves_it(name: str) -> None:
    default = {field.name: field.default for field in fields(GenerationConfig)}[name]
    checked = KINDS[name].checked(name, default)
    assert (checked, type(checked)) == (default, type(default))


@pytest.mark.parametrize(
    ("name", "value"), [("num_beams", True), ("do_sample", 0), ("top_k", 0.0), ("min_length", False)]
)
def test_a_value_that_only_equals_the_default_is_checked(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        GenerationConfig(**{name: value})  # type: ignore[arg-type]


def test_a_number_is_read_as_the_type_of_its_setting() -> None:
    assert isinstance(GenerationConfig(temperature=1).temperature, float)
