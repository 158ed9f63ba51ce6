"""The front matter of cards: fields keep their own lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onnxpress.format.front_matter import Card, list_field, read_card

TEXT = """---
license: apache-2.0
language:
- en
- de
base_model: "org/base"
tags: [onnx, 'tiny']
model-index:
- name: x
  results:
  - task:
      type: a: b
widget:
  - text: "hello: world"
---

# Title

license: not this
"""


def test_fields_keep_their_lines_and_the_rest_its_own() -> None:
    card = read_card(TEXT)
    assert list(card.fields) == ["license", "language", "base_model", "tags", "model-index", "widget"]
    assert card.values("license") == ("apache-2.0",)
    assert card.values("language") == ("en", "de")
    assert card.values("base_model") == ("org/base",)
    assert card.values("tags") == ("onnx", "tiny")
    assert card.values("none") == ()
    assert list(card.carried()) == ["license", "language", "base_model"]
    assert str(card) == TEXT
    assert str(card.with_fields({"tags": list_field("tags", ["a", "b"])})) == TEXT.replace(
        "tags: [onnx, 'tiny']", "tags:\n- a\n- b"
    )


def test_a_card_without_front_matter_is_all_body() -> None:
    for text in ("", "# Title\n", "---\nlicense: mit\n", "text\n---\nlicense: mit\n---\n"):
        assert read_card(text) == Card({}, text)
    assert read_card("\ufeff---\r\nlicense: mit\r\n---\r\nbody").values("license") == ("mit",)


@given(st.text())
def test_any_text_is_read_and_what_is_written_is_read_again(text: str) -> None:
    card = read_card(f"---\n{text}")
    assert str(read_card(str(card))) == str(card)
