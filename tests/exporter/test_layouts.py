"""Layouts of other tools: a table, whose graphs give the scores of ours, called as the tools call them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

import onnxpress
from onnxpress.errors import InputError
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.flow import export
from onnxpress_exporter.layouts import LAYOUTS, find_layout
from onnxpress_exporter.layouts.growing import adapt_growing
from onnxpress_exporter.passes.rename_axes import NAMES
from tests.fixtures.store import Store

PROMPTS = ["The weather in", "Once", "Ada lives in Rome and she likes to"]
Laid = Callable[[str, str], Path]

#: Its graphs are optimum's, in another folder.
ALSO_TRANSFORMERS_JS = pytest.param("transformers.js", marks=pytest.mark.nightly)


@pytest.fixture(scope="module")
def laid(store: Store, trained: Callable[[str], Path]) -> Laid:
    """`laid("tiny-lm", "optimum")` -> the folder of the artifact in that layout."""

    def make(name: str, layout: str) -> Path:
        return store.artifact(trained(name), layout=layout).folder

    return make


def test_the_table_names_each_layout_once() -> None:
    for name, row in LAYOUTS.items():
        assert (row.name, row.folder in ("", "onnx"), bool(row.about)) == (name, True, True)
        assert find_layout(name, writes=True) is row
    with pytest.raises(InputError, match="Did you mean 'optimum'"):
        find_layout("optimun", writes=True)
    with pytest.raises(InputError, match="of models that write text"):
        find_layout("genai", writes=False)


@pytest.mark.parametrize("layout", ["optimum", ALSO_TRANSFORMERS_JS, "genai"])
def test_what_a_decoder_writes_is_what_ours_writes(layout: str, laid: Laid, exported: Any, trained: Any) -> None:
    folder = laid("tiny-lm", layout)
    assert (folder / LAYOUTS[layout].folder / "model.onnx").is_file()
    ours, theirs = (onnxpress.pipeline(model=source, threads=1) for source in (exported(trained("tiny-lm")), folder))
    for options in ({"num_beams": 1}, {"num_beams": 3}):
        asked = {"max_new_tokens": 8, "do_sample": False, **options}
        assert theirs(PROMPTS, **asked) == ours(PROMPTS, **asked)
        assert theirs(PROMPTS[0], **asked) == ours(PROMPTS[0], **asked)


@pytest.mark.parametrize("padding", [0, 1, 5])
def test_padding_on_the_left_changes_no_score(padding: int, laid: Laid) -> None:
    session = onnxruntime.InferenceSession(laid("tiny-lm", "optimum") / "model.onnx")
    first, second = [421, 908, 268], [35, 70, 67]
    whole, _ = _run(session, [[*first, *second]], [[1] * 6], {})
    start, past = _run(session, [[7] * padding + first], [[0] * padding + [1] * 3], {})
    rest, _ = _run(session, [second], [[0] * padding + [1] * 6], past)
    np.testing.assert_allclose(start[0, padding:], whole[0, :3], atol=2e-5)
    np.testing.assert_allclose(rest[0], whole[0, 3:], atol=2e-5)


def test_padding_on_the_right_changes_no_score(laid: Laid) -> None:
    session = onnxruntime.InferenceSession(laid("tiny-lm", "genai") / "model.onnx")
    ids = [421, 908, 268]
    alone, _ = _run(session, [ids], [[1] * 3], {})
    beside, _ = _run(session, [[*ids, 7, 7], [35, 70, 67, 315, 75]], [[1, 1, 1, 0, 0], [1] * 5], {})
    np.testing.assert_allclose(beside[0, :3], alone[0], atol=2e-5)


def test_genai_s_settings_name_what_the_graph_has(laid: Laid) -> None:
    folder = laid("tiny-lm", "genai")
    config = json.loads((folder / "genai_config.json").read_text())
    model, decoder = config["model"], config["model"]["decoder"]
    names = {value.name for value in onnxruntime.InferenceSession(folder / decoder["filename"]).get_inputs()}
    layers = range(decoder["num_hidden_layers"])
    past = {decoder["inputs"][f"past_{part}_names"] % number for part in ("key", "value") for number in layers}
    assert names == past | {"input_ids", "attention_mask"}
    assert (model["type"], model["eos_token_id"], config["search"]["past_present_share_buffer"]) == (
        "llama",
        [2, 0],
        True,
    )
    assert "genai_config.json" in onnxpress.Artifact.open(folder).manifest.files


@pytest.mark.parametrize("layout", ["optimum", ALSO_TRANSFORMERS_JS])
def test_a_decoder_after_an_encoder_makes_keys_of_the_encoder_s_states(
    layout: str, laid: Laid, exported: Any, trained: Any
) -> None:
    folder = laid("tiny-translator", layout)
    graphs = folder / LAYOUTS[layout].folder
    encoder, decoder = (
        onnxruntime.InferenceSession(graphs / f"{name}.onnx") for name in ("encoder_model", "decoder_model_merged")
    )
    assert [value.name for value in encoder.get_outputs()] == ["last_hidden_state"]
    names = [value.name for value in decoder.get_inputs() if value.name.startswith("past")]
    parts = [f"{side}.{part}" for side in ("decoder", "encoder") for part in ("key", "value")]
    assert names == [f"past_key_values.{number}.{part}" for number in range(len(names) // 4) for part in parts]
    ours, theirs = (
        onnxpress.pipeline(model=source, threads=1) for source in (exported(trained("tiny-translator")), folder)
    )
    texts = ["Ada lives in Rome.", "a", "It was a great film."]
    for beams in (1, 3):
        asked = {"max_new_tokens": 8, "do_sample": False, "num_beams": beams}
        assert theirs(texts, **asked) == ours(texts, **asked)


@pytest.mark.nightly
def test_an_encoder_is_the_same_at_another_place(laid: Laid, exported: Any, trained: Any) -> None:
    folder = laid("tiny-sentiment", "optimum")
    assert (folder / "model.onnx").is_file() and not (folder / "onnx").exists()
    ours, theirs = (
        onnxpress.pipeline(model=source, threads=1) for source in (exported(trained("tiny-sentiment")), folder)
    )
    assert theirs(PROMPTS) == ours(PROMPTS)


def test_a_model_without_keys_is_refused() -> None:
    from onnxpress.format.manifest import GenerationSettings

    for cache in ("state", "none"):
        with pytest.raises(UnsupportedCheckpoint, match="leave out --layout"):
            adapt_growing({}, GenerationSettings(cache, None))  # type: ignore[arg-type]


def test_genai_runs_no_encoder_decoder(trained: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="onnxruntime-genai runs decoders"):
        export(trained("tiny-translator"), tmp_path / "out", layout="genai")
    assert not (tmp_path / "out").exists()


def test_axes_have_the_tools_names(laid: Laid) -> None:
    session = onnxruntime.InferenceSession(laid("tiny-lm", "optimum") / "model.onnx")
    axes = {axis for value in (*session.get_inputs(), *session.get_outputs()) for axis in value.shape}
    assert {axis for axis in axes if isinstance(axis, str)} <= set(NAMES.values())


def _run(
    session: Any, ids: list[list[int]], mask: list[list[int]], past: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Scores, and keys and values by the names under which the next call takes them."""
    places = np.maximum(np.cumsum(mask, 1) - 1, 0)[:, -len(ids[0]) :]
    feeds: dict[str, NDArray[Any]] = {
        "input_ids": np.array(ids),
        "attention_mask": np.array(mask),
        "position_ids": places,
    }
    for value in session.get_inputs():
        if value.name.startswith("past"):
            _, heads, _, size = value.shape
            feeds[value.name] = past.get(value.name, np.zeros((len(ids), heads, 0, size), np.float32))
    names = [value.name for value in session.get_outputs()]
    taken = {value.name: feeds[value.name] for value in session.get_inputs()}
    logits, *present = session.run(names, taken)
    later = {name.replace("present", "past_key_values"): array for name, array in zip(names[1:], present, strict=True)}
    return logits, later
