"""Forms that carry files: bodies of multipart/form-data, as clients of speech send them. Read in memory alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import Message

from onnxpress.serve.errors import RequestError, TooLarge, WrongMediaType

FORM = "multipart/form-data"

#: What a form may have: parts, bytes of a part's header, bytes of a text.
MOST_PARTS, MOST_HEADER_BYTES, MOST_TEXT_BYTES = 64, 8192, 2**16


@dataclass(slots=True)
class SentForm:
    """Texts by their names, in the order in which they came; files, the content of each."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """The text of a field; None: it is missing, or empty.

        Raises:
            RequestError: there are several.
        """
        values = self.texts.get(name, [])
        if len(values) > 1:
            raise RequestError(f"{name} comes {len(values)} times; it must come once.")
        return (values[0] or None) if values else None

    def several(self, name: str) -> Sequence[str]:
        """The texts of a field that may come several times, under its name or NAME[]."""
        return [value for key in (name, f"{name}[]") for value in self.texts.get(key, []) if value]

    def number(self, name: str, least: float, most: float) -> float | None:
        """A text that is a number within a range; None: it is missing.

        Raises:
            RequestError: it is none, or outside.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise RequestError(f"{name} is {text[:40]!r}; it must be a number from {least:g} to {most:g}.")
        return value

    def truth(self, name: str) -> bool:
        """A text that says true or false; False: it is missing.

        Raises:
            RequestError: it says neither.
        """
        text = (self.text(name) or "false").lower()
        if text not in ("true", "false", "1", "0"):
            raise RequestError(f"{name} is {text[:40]!r}; it must be true or false.")
        return text in ("true", "1")


def parse_form(content_type: str, body: bytes) -> SentForm:
    """A body of `content_type`, which names what stands between its parts.

    Raises:
        WrongMediaType: it is no form.
        RequestError: it is damaged. TooLarge: it has too many parts, or too long ones.
    """
    boundary = _parameter(content_type, "content-type", "boundary")
    if content_type.partition(";")[0].strip().lower() != FORM or not boundary:
        raise WrongMediaType(f"The body's content-type is {content_type[:60]!r}; it must be {FORM} with a boundary.")
    mark = b"--" + boundary.encode("latin-1", "replace")
    form, parts = SentForm(), 0
    place = body.find(mark)
    while True:
        if place < 0:
            raise RequestError("The form ends before its last boundary.")
        place += len(mark)
        if body[place : place + 2] == b"--":
            return form
        parts += 1
        if parts > MOST_PARTS:
            raise TooLarge(f"The form has more than {MOST_PARTS} parts.")
        begun = body.find(b"\r\n\r\n", place, place + MOST_HEADER_BYTES)
        if begun < 0 or body[place : place + 2] != b"\r\n":
            raise RequestError(
                f"Part {parts} of the form has no header, or one of more than {MOST_HEADER_BYTES} bytes."
            )
        ended = body.find(b"\r\n" + mark, begun + 2)
        if ended < 0:
            raise RequestError("The form ends before its last boundary.")
        _add(form, body[place + 2 : begun], body[min(begun + 4, ended) : ended], parts)
        place = ended + 2


def _add(form: SentForm, header: bytes, content: bytes, number: int) -> None:
    lines = header.decode("utf-8", "replace").split("\r\n")
    named = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    disposition = named.get("content-disposition", "")
    name = _parameter(disposition, "content-disposition", "name")
    if not disposition.lower().startswith("form-data") or not name:
        raise RequestError(f"Part {number} of the form has no name: Content-Disposition: form-data; name=...")
    if _parameter(disposition, "content-disposition", "filename") is not None:
        if name in form.files:
            raise RequestError(f"The form has two files called {name[:40]!r}; it must have one.")
        form.files[name] = content
        return
    if len(content) > MOST_TEXT_BYTES:
        raise TooLarge(f"{name[:40]} has {len(content)} bytes, and {MOST_TEXT_BYTES} are read.")
    try:
        form.texts.setdefault(name, []).append(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise RequestError(f"{name[:40]} is no text in UTF-8.") from None


def _parameter(header: str, named: str, parameter: str) -> str | None:
    """A parameter of a header, such as name="file"; quotes are taken off."""
    message = Message()
    message[named] = header.replace("\r", " ").replace("\n", " ")
    value = message.get_param(parameter, header=named)
    return value[2] if isinstance(value, tuple) else value
