"""Messages as text equal transformers', for templates in the manner of published models; so do tools' schemas."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import get_json_schema, render_jinja_template

from onnxpress.chat.templates import Chat
from onnxpress.chat.tools import function_schema
from onnxpress.errors import InputError
from tests.fixtures.chat_templates import TEMPLATES
from tests.parity.texts import parity
from tests.parity.texts import texts as any_text

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


def multiply(x: float, y: int = 2) -> float:
    """Multiplies two numbers.

    Args:
        x: The first number,
            on two lines
        y: The second (choices: [1, 2])

    Returns:
        The product
    """
    return x * y


TOOLS = [multiply, {"type": "function", "function": {"name": "now", "description": "Zeit: ä <&>", "parameters": {}}}]
CALLS = [{"type": "function", "function": {"name": "multiply", "arguments": {"x": 1.5, "y": 2, "ü": [None, True]}}}]

TEXTS = any_text(max_parts=4)
_content = TEXTS | st.just("<think>\nhm\n</think>\n\nyes ") | st.just("  ")
_plain = st.fixed_dictionaries({"role": st.sampled_from(("user", "assistant")), "content": _content})
_message = _plain | st.fixed_dictionaries(
    {"role": st.sampled_from(("system", "user", "assistant", "tool")), "content": _content | st.none()},
    optional={
        "reasoning_content": TEXTS,
        "thinking": TEXTS,
        "tool_calls": st.just(CALLS) | st.none(),
        "name": st.just("multiply"),
    },
)
_blocks = st.fixed_dictionaries(
    {
        "role": st.just("user"),
        "content": st.lists(
            st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}) | st.just({"type": "image"}), max_size=3
        ),
    }
)


def _alternating(contents: list[str]) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]


MESSAGES = st.one_of(
    st.lists(_content, min_size=1, max_size=5).map(_alternating),
    st.lists(_content, min_size=2, max_size=5).map(
        lambda texts: [{"role": "system", "content": texts[0]}, *_alternating(texts[1:])]
    ),
    st.lists(_message | _blocks, min_size=1, max_size=5),
)
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.just(TOOLS),
        "documents": st.just([{"title": "One", "text": "zwei"}, {"text": "d < r"}]),
        "enable_thinking": st.booleans(),
        "date_string": st.just("today"),
    },
) | st.fixed_dictionaries({"custom_tools": st.just([])})
ENDS = st.sampled_from(({}, {"add_generation_prompt": True}, {"continue_final_message": True}))


def outcome(render: Callable[[], str]) -> str | None:
    try:
        return render()
    except Exception:  # what refuses differs; that it refuses does not
        return None


def theirs(source: str, messages: list[Any], arguments: dict[str, Any]) -> str:
    """As `apply_chat_template` does: keys without a value are dropped before the template sees them."""
    given = [{key: value for key, value in message.items() if value is not None} for message in messages]
    return str(render_jinja_template([given], chat_template=source, **SPECIAL, **arguments)[0][0])


@pytest.mark.parametrize("name", TEMPLATES)
@settings(parity, max_examples=30)
@given(messages=MESSAGES, arguments=ARGUMENTS, end=ENDS)
def test_text_equals_transformers(
    name: str, messages: list[Any], arguments: dict[str, Any], end: dict[str, Any]
) -> None:
    chat = Chat({"default": TEMPLATES[name]}, SPECIAL, "here")
    expected = outcome(lambda: theirs(TEMPLATES[name], messages, arguments | end))
    try:
        assert chat.render(messages, **arguments, **end) == expected
    except InputError:
        assert expected is None


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_writes_an_ordinary_chat(name: str) -> None:
    messages = [{"role": "user", "content": "Hi "}, {"role": "assistant", "content": "Yes?"}]
    for end in ({"continue_final_message": True}, {"add_generation_prompt": True}, {}):
        if name == "rag" and "continue_final_message" in end:
            continue
        expected = theirs(TEMPLATES[name], messages, end)
        assert Chat({"default": TEMPLATES[name]}, SPECIAL, "here").render(messages, **end) == expected
        assert "Yes?" in expected


class Color(Enum):
    RED = "red"
    NONE = None


def many(
    a: int,
    b: str | None,
    c: int | str | None,
    d: list[list[int]],
    e: dict[str, float],
    f: Literal["x", 1],
    g: tuple[int, str],
    h: list[int] | int,
    i: Any,
    j: Color = Color.RED,
    k: bool = False,
    l: dict = {},  # noqa: B006, E741
) -> Color | None:
    """Many.

    More of it.

    Args:
        a: one
        b: two: with a colon
        c: three

            after a blank line
        d: four
        e: five
        f: six
        g: seven
        h: eight
        i: nine
        j: ten
        k: eleven
        l: twelve
    Raises:
        ValueError: never
    """
    return None


class Tools:
    def method(self, text: str) -> None:
        """A method.

        Args:
            text: a text
        """


def custom(x: int) -> Tools:
    """What it returns has no schema.

    Args:
        x: a number
    """
    return Tools()


@pytest.mark.parametrize("function", [multiply, many, custom, Tools().method, Tools.method])
def test_schema_of_a_function_equals_transformers(function: Callable[..., Any]) -> None:
    assert function_schema(function) == get_json_schema(function)
    assert list(function_schema(function)["function"]) == list(get_json_schema(function)["function"])


def no_doc(x: int) -> None: ...


def no_hint(x) -> None:  # type: ignore[no-untyped-def]
    """A.

    Args:
        x: a number
    """


def no_description(x: int) -> None:
    """A."""


def strange(x: Tools) -> None:
    """A.

    Args:
        x: a class
    """


@pytest.mark.parametrize("function", [no_doc, no_hint, no_description, strange])
def test_a_function_without_what_a_schema_needs_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=function.__name__):
        function_schema(function)
