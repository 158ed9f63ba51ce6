"""Forms with files: what is in them, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.serve.errors import RequestError, TooLarge, WrongMediaType
from onnxpress.serve.multipart import MOST_PARTS, MOST_TEXT_BYTES, parse_form

TYPE = "multipart/form-data; boundary=abc"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return f'--abc\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


@given(st.binary(), st.lists(st.text(), max_size=5))
def test_what_is_put_in_comes_out(content: bytes, texts: list[str]) -> None:
    content = content.replace(b"--abc", b"")
    body = part("file", content, "a.wav") + b"".join(part("t[]", text.encode("utf-8", "replace")) for text in texts)
    form = parse_form(TYPE, b"a preamble\r\n" + body + b"--abc--\r\n")
    assert form.files == {"file": content}
    if not any("--abc" in text for text in texts):
        assert form.texts.get("t[]", []) == [text.encode("utf-8", "replace").decode() for text in texts]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_form_are_refused(noise: bytes) -> None:
    for body in (noise, b"--abc" + noise, part("a", noise)[:-1]):
        if b"--abc--" not in body:
            with pytest.raises(RequestError):
                parse_form(TYPE, body)


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("application/json", b"{}", WrongMediaType),
        ("multipart/form-data", part("a", b"b") + b"--abc--", WrongMediaType),
        (TYPE, part("a", b"x" * (MOST_TEXT_BYTES + 1)) + b"--abc--", TooLarge),
        (TYPE, part("a", b"b") * (MOST_PARTS + 1) + b"--abc--", TooLarge),
        (TYPE, b"--abc\r\nx: " + b"y" * 10_000 + b"\r\n\r\nz\r\n--abc--", RequestError),
        (TYPE, b"--abc\r\nContent-Disposition: attachment\r\n\r\nz\r\n--abc--", RequestError),
        (TYPE, part("a", b"\xff") + b"--abc--", RequestError),
        (TYPE, part("f", b"1", "a") + part("f", b"2", "b") + b"--abc--", RequestError),
    ],
)
def test_forms_that_are_wrong_are_refused(content_type: str, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_form(content_type, body)


def test_fields_are_read_as_what_they_say() -> None:
    body = part("n", b"0.5") + part("t", b"true") + part("twice", b"1") + part("twice", b"2") + part("empty", b"")
    form = parse_form('multipart/form-data; boundary="abc"', body + part("l", b"x") + part("l[]", b"y") + b"--abc--")
    assert (form.number("n", 0, 1), form.truth("t"), form.truth("missing"), form.text("empty")) == (
        0.5,
        True,
        False,
        None,
    )
    assert form.several("l") == ["x", "y"]
    for wrong in (lambda: form.number("n", 0, 0.1), lambda: form.truth("n"), lambda: form.text("twice")):
        with pytest.raises(RequestError):
            wrong()
