"""Standard input as text: what ends a line, marks, and bytes that are none."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.cli.lines import decoded
from onnxpress.errors import InputError

TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\ufeff")), min_size=1)


@given(TEXTS, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_every_line_is_one_text(texts: list[str], end: str, marked: bool, ended: bool) -> None:
    whole = ("\ufeff" if marked else "") + end.join(texts) + (end if ended else "")
    expected = texts if ended or texts[-1] else texts[:-1]  # nothing behind the last end is no line
    if marked and texts == [""] and not ended:
        expected = [""]
    assert list(decoded(io.BytesIO(whole.encode()))) == expected


def test_a_line_of_an_old_mac_ends_too() -> None:
    assert list(decoded([b"a\rb\r\n", b"c"])) == ["a", "b", "c"]


def test_a_mark_within_a_text_stays() -> None:
    assert list(decoded([b"a\n", b"\xef\xbb\xbfb\n"])) == ["a", "\ufeffb"]


@pytest.mark.parametrize(
    ("line", "says"),
    [(b"\xff\xfea", "line 2, byte 1: 0xff"), (b"ab\xe4", "line 2, byte 3: 0xe4"), (b"\xe2\x82\n", "byte 1")],
)
def test_other_bytes_are_named(line: bytes, says: str) -> None:
    lines = decoded([b"good\n", line])
    assert next(lines) == "good"
    with pytest.raises(InputError, match=says):
        next(lines)
