"""image-to-text against `generate` of transformers: greedy, with beams, in batches and alone, and as a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import onnxpress
from onnxpress import InputError
from onnxpress.image.opening import open_picture
from tests.fixtures.store import Store
from tests.fixtures.tiny_describers import BLIP, DESCRIBERS, SIDE, tiny_describer

Picture = NDArray[np.uint8]
SETTINGS: tuple[dict[str, Any], ...] = ({}, {"num_beams": 3}, {"num_beams": 3, "num_return_sequences": 2})
NEW = 12


def pictures(count: int = 4) -> list[Picture]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (SIDE + 9 * n, SIDE + 30 - 5 * n, 3), dtype=np.uint8) for n in range(count)]


class Reference:
    """The checkpoint in transformers."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
        for part in self.model.modules():  # transformers leaves TrOCR's sinusoidal positions empty
            if getattr(getattr(part, "weights", None), "is_meta", False):
                part.weights = part.get_embedding(len(part.weights), part.embedding_dim, part.padding_idx)
        self.processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def texts(self, picture: Picture, **settings: Any) -> list[dict[str, str]]:
        """As transformers 4's pipeline answers."""
        values = self.processor(Image.fromarray(picture), return_tensors="pt").pixel_values
        ids = self.model.generate(values, max_new_tokens=NEW, do_sample=False, **settings)
        return [{"generated_text": self.tokenizer.decode(row, skip_special_tokens=True)} for row in ids]


def check_alike(pipe: Any, reference: Reference) -> None:
    some = pictures()
    for settings in SETTINGS:
        expected = [reference.texts(picture, **settings) for picture in some]
        assert pipe(some, max_new_tokens=NEW, generate_kwargs=settings) == expected, settings
        assert [pipe(picture, max_new_tokens=NEW, **settings) for picture in some] == expected, settings
    plain = [reference.texts(picture)[0]["generated_text"] for picture in some]
    assert ["".join(pipe.stream(picture, max_new_tokens=NEW)) for picture in some] == plain


@pytest.fixture(scope="module")
def pipe(describer: Callable[[str], Path], ours: Callable[..., Any]) -> Any:
    return ours(describer("vit-gpt2"), "image-to-text")


@pytest.fixture(scope="module")
def reference(describer: Callable[[str], Path]) -> Reference:
    return Reference(describer("vit-gpt2"))


def test_texts_are_those_of_generate(pipe: Any, reference: Reference) -> None:
    check_alike(pipe, reference)


def test_a_picture_has_one_text_whatever_stands_beside_it(pipe: Any) -> None:
    some = pictures(6)
    alone = [pipe(picture, max_new_tokens=NEW) for picture in some]
    rng = np.random.default_rng(1)
    for size in (2, 3, 5):
        order = rng.permutation(len(some))
        batch = pipe([some[place] for place in order], max_new_tokens=NEW, batch_size=size)
        assert batch == [alone[place] for place in order]
    assert list(pipe(iter(some), max_new_tokens=NEW)) == alone


def test_a_prompt_begins_the_text(pipe: Any, reference: Reference) -> None:
    check_prompts(pipe, reference)


def check_prompts(pipe: Any, reference: Reference) -> None:
    picture = pictures(1)[0]
    tokenizer, model = reference.tokenizer, reference.model
    prompt = tokenizer("ab", add_special_tokens=False, return_tensors="pt").input_ids
    begun = {"decoder_input_ids": prompt}
    if type(model).__name__ == "BlipForConditionalGeneration":  # which writes over the first, and drops the last
        begun = {"input_ids": torch.nn.functional.pad(prompt, (1, 1))}
    values = reference.processor(Image.fromarray(picture), return_tensors="pt").pixel_values
    ids = model.generate(values, **begun, max_new_tokens=5, do_sample=False)
    expected = tokenizer.decode(ids[0], skip_special_tokens=True)
    assert expected.startswith("ab")
    assert pipe(picture, prompt="ab", max_new_tokens=5) == [{"generated_text": expected}]
    assert "".join(pipe.stream(picture, prompt="ab", max_new_tokens=5)) == expected
    assert pipe([picture] * 3, prompt="ab", max_new_tokens=5) == [[{"generated_text": expected}]] * 3


def test_details_stop_strings_and_names(pipe: Any) -> None:
    picture = pictures(1)[0]
    (whole,) = pipe(images=picture, max_new_tokens=6, return_details=True)
    assert whole["finish_reason"] == "length"
    assert (whole["prompt_tokens"], whole["completion_tokens"]) == (1, 6)
    letter = whole["generated_text"][1]
    (cut,) = pipe(image=picture, max_new_tokens=6, stop_strings=[letter], return_details=True)
    assert cut["finish_reason"] == "stop"
    assert cut["generated_text"] == whole["generated_text"][: whole["generated_text"].index(letter) + 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": 7}, "prompt is 7"),
        ({"prompt": ""}, "has no token"),
        ({"max_new_tokens": 3, "generate_kwargs": {"max_new_tokens": 4}}, "pass it once"),
        ({"generate_kwargs": 3}, "must be a dictionary"),
        ({"max_new_tokns": 3}, "max_new_tokens"),
    ],
)
def test_what_is_refused(pipe: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipe(pictures(1)[0], **options)


@pytest.fixture(scope="module", params=[*(name for name in DESCRIBERS if name != "vit-gpt2"), BLIP])
def exported_anew(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from onnxpress_exporter import export

    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = tiny_describer(request.param, folder / "checkpoint")
    with onnxpress.pipeline("image-to-text", export(checkpoint, folder / "artifact"), threads=1) as pipe:
        yield pipe, Reference(checkpoint)


@pytest.mark.nightly
def test_every_architecture(exported_anew: tuple[Any, Reference]) -> None:
    check_alike(*exported_anew)
    check_prompts(*exported_anew)


@pytest.mark.nightly
def test_words_are_read(trained: Callable[[str], Path], store: Store) -> None:
    checkpoint = trained("tiny-words-ocr")
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        examples = [json.loads(line) for line in lines]
    reference, printed = Reference(checkpoint), [row["image"] for row in examples]
    artifact = store.artifact(checkpoint, precision=("fp32", "int8", "q8"))
    for precision in ("fp32", "int8", "q8"):
        with onnxpress.pipeline(model=artifact, precision=precision, threads=1) as pipe:
            read = [text["generated_text"] for (text,) in pipe(printed)]
        right = [text == row["text"] for text, row in zip(read, examples, strict=True)]
        assert sum(right) / len(right) >= 0.9
        if precision == "fp32":
            some = [np.asarray(open_picture(picture)) for picture in printed[:12]]
            assert read[:12] == [reference.texts(picture)[0]["generated_text"] for picture in some]
