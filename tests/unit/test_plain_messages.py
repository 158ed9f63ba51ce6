"""Control tokens in messages are text: whatever stands in them, no message ends before its end."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from onnxpress.chat.plain_messages import PlainMessages

CONTROLS = ("<|im_start|>", "<|im_end|>", "<s>", "<<s>>", "§")
NUMBERS = {control: -number for number, control in enumerate(CONTROLS, 1)}
SPLIT = re.compile("(" + "|".join(map(re.escape, sorted(CONTROLS, key=len, reverse=True))) + ")")


def encode(text: str) -> list[int]:
    """Control tokens as negative numbers, all else letter by letter, as a tokenizer does."""
    ids: list[int] = []
    for part in SPLIT.split(text):
        ids += [NUMBERS[part]] if part in NUMBERS else map(ord, part)
    return ids


def render(messages: list[dict[str, str]]) -> str:
    return "".join(f"<|im_start|>{message['role']}\n{message['content'].strip()}<|im_end|>" for message in messages)


pieces = st.lists(st.sampled_from([*CONTROLS, "\ufdd0", "\ufdd10", "0", "<", "|", ">", "a", "im_end", "s"])).map(
    "".join
)


@given(st.lists(pieces, min_size=1, max_size=4))
def test_no_message_has_a_control_token_and_each_is_what_was_said(contents: list[str]) -> None:
    messages = [{"role": "user", "content": content} for content in contents]
    plain = PlainMessages(messages, CONTROLS)
    ids = plain.ids(render(plain.messages), encode)
    assert [number for number in ids if number < 0] == [-1, -2] * len(contents)
    said = "".join(chr(number) for number in ids if number > 0)
    assert said == "".join(f"user\n{content.replace('§', '')}" for content in contents)


def test_what_has_none_is_not_touched_and_all_fields_but_the_role_are_read() -> None:
    messages = [{"role": "user", "content": "plain", "number": 3}]
    plain = PlainMessages(messages, CONTROLS)
    assert plain.messages == messages
    assert not plain.marks
    calls = [{"function": {"name": "f", "arguments": {"<s>": ["a<s>", None]}}}]
    marked = PlainMessages([{"role": "<s>", "content": None, "tool_calls": calls}, "no message"], CONTROLS)
    assert marked.messages[0]["role"] == "<s>"
    assert "<s>" not in str(marked.messages[0]["tool_calls"][0]["function"]["arguments"]["<s>"])
    assert marked.messages[1] == "no message"
