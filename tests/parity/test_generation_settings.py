"""The settings of a call: what is taken, refused and ignored, and how many tokens they allow."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import GenerationConfig as Theirs

from onnxpress.errors import InputError
from onnxpress.generation.settings import GenerationConfig
from onnxpress.generation.settings_fields import IGNORED, KINDS, REFUSED

OURS = {"presence_penalty", "frequency_penalty", "stop_token_ids", "seed"}
# No setting of transformers' but what older files hold, or arguments of `generate` that stand beside the settings.
BESIDE = {"synced_gpus", "assistant_model", "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn"}
BESIDE |= {"negative_prompt_ids", "negative_prompt_attention_mask", "custom_generate", "assistant_tokenizer"}
BESIDE |= {"use_model_defaults"}


def test_every_setting_of_transformers_is_known() -> None:
    """One that it adds has to be decided about."""
    theirs = {name for name in vars(Theirs()) if not name.startswith("_")}
    ours = set(KINDS) | set(REFUSED) | IGNORED
    assert theirs - ours == set()
    assert ours - theirs - OURS - BESIDE == set()


def test_defaults_are_transformers() -> None:
    theirs = Theirs._get_default_generation_params()
    ours = GenerationConfig().to_dict()
    for name, value in theirs.items():
        if name in ours and name != "max_length":  # 20 new tokens, which is not a length
            assert (value or 0) == (ours[name] or 0), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", 2.5),
        ("temperature", -1),
        ("temperature", "hot"),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 1.5),
        ("typical_p", 0),
        ("repetition_penalty", 0),
        ("do_sample", 1),
        ("eos_token_id", [1, "x"]),
        ("bad_words_ids", [[1], []]),
        ("bad_words_ids", [1]),
        ("stop_strings", ["a", ""]),
        ("early_stopping", "always"),
        ("num_beams", True),
        ("seed", -3),
    ],
)
def test_a_value_that_is_not_allowed_is_named(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name}=.*has to be"):
        GenerationConfig().merged(**{name: value})
    with pytest.raises(InputError, match=f"{name}=.*has to be"):
        GenerationConfig.from_file({name: value})


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"temprature": 0.5}, "did you mean temperature"),
        ({"quux": 1}, "no setting"),
        ({"guidance_scale": 2.0}, "guidance_scale=2.0 is not supported"),
        ({"penalty_alpha": 0.6}, "use do_sample"),
        ({"num_return_sequences": 2}, "needs do_sample=True"),
        ({"num_return_sequences": 3, "num_beams": 2}, "more than num_beams"),
        ({"do_sample": True, "temperature": 0}, "do_sample=False"),
        ({"prompt_lookup_num_tokens": 3, "num_beams": 2}, "num_beams=1"),
        ({"forced_bos_token_id": 3, "suppress_tokens": [3]}, "suppress_tokens too"),
    ],
)
def test_what_cannot_be_done_is_said(call: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        GenerationConfig().merged(**call)


def test_a_call_goes_before_the_file() -> None:
    file = {"temperature": 0.6, "eos_token_id": [2, 7], "top_k": 20, "pad_token_id": -1, "alignment_heads": [[1]]}
    config = GenerationConfig.from_file(file | {"guidance_scale": 3.0, "max_length": None})
    with pytest.raises(InputError, match="guidance_scale"):
        config.merged(seed=1)
    merged = config.merged(guidance_scale=1, temperature=None, top_k=None, stop_strings="x", use_cache=True)
    assert (merged.temperature, merged.top_k, merged.eos_token_id, merged.pad_token_id) == (1.0, 0, (2, 7), None)
    assert merged.stop_strings == ("x",)
    assert merged.merged(stop_token_ids=[7, 9]).ends == (2, 7, 9)


def test_the_most_new_tokens() -> None:
    both = GenerationConfig(max_new_tokens=5, max_length=9)
    assert both.most_new_tokens(7, None) == 5
    assert both.most_new_tokens(7, 10) == 3
    assert GenerationConfig().most_new_tokens(7, None) == 20
    assert GenerationConfig(max_length=9).most_new_tokens(7, None) == 2
    with pytest.raises(InputError, match="max_length=9 counts them"):
        GenerationConfig(max_length=9).most_new_tokens(9, None)
    with pytest.raises(InputError, match="the model takes 8"):
        both.most_new_tokens(8, 8)


def test_the_least_new_tokens() -> None:
    assert GenerationConfig(min_length=9).least_new_tokens(7) == 2
    assert GenerationConfig(min_length=9, min_new_tokens=4).least_new_tokens(7) == 4
    assert GenerationConfig(min_length=3).least_new_tokens(7) == 0
