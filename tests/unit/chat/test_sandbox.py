"""Random templates end as text or as a named error, and show nothing of Python's inside."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.chat import meter
from onnxpress.chat.templates import Chat
from onnxpress.errors import ArtifactError, InputError

#: What the members of Python's inside look like as text. A method or a global of the sandbox may be shown.
INSIDE = re.compile(
    r"<class '(?:str|object|type|int|list|dict|tuple|bool|function|\w*method)'>|<(?:module|frame|code)\b"
)
NAMES = (
    "messages",
    "message",
    "ns",
    "dict",
    "namespace",
    "cycler",
    "joiner",
    "range",
    "loop",
    "self",
    "caller",
    "raise_exception",
    "strftime_now",
    "bos_token",
    "'ab'",
    "'%s'",
    "[1, 2]",
    "{'a': 'b'}",
    "3",
    "none",
    "true",
)
MEMBERS = (
    "__class__",
    "__mro__",
    "__subclasses__",
    "__init__",
    "__globals__",
    "__builtins__",
    "__code__",
    "__func__",
    "__self__",
    "f_globals",
    "gi_frame",
    "cr_frame",
    "func_globals",
    "format",
    "format_map",
    "mro",
    "items",
    "values",
    "join",
    "strip",
    "split",
    "append",
    "pop",
    "update",
    "role",
    "content",
    "environment",
    "replace",
    "_context",
    "_TemplateReference__context",
    "__dict__",
    "__getattribute__",
    "__reduce__",
    "index",
)
FILTERS = (
    "attr('__class__')",
    "attr('format')",
    "list",
    "join('x')",
    "map(attribute='__class__')",
    "map('attr', '__mro__')",
    "string",
    "tojson",
    "tojson(indent=9)",
    "center(99)",
    "indent(9)",
    "wordwrap(1)",
    "batch(2)",
    "length",
    "first",
    "replace('a', 'aa')",
    "format(1, 2)",
    "items",
    "dictsort",
    "xmlattr",
    "selectattr('__class__')",
    "safe",
    "e",
    "default(1)",
    "sort",
    "unique",
    "reverse",
    "sum(start=[])",
    "groupby('role')",
    "pprint",
    "urlize",
)


def _one_of(values: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


EXPRESSIONS = st.recursive(
    _one_of(NAMES),
    lambda inner: st.one_of(
        st.builds("({}).{}".format, inner, _one_of(MEMBERS)),
        st.builds("({})['{}']".format, inner, _one_of(MEMBERS)),
        st.builds("({})({})".format, inner, inner),
        st.builds("({})()".format, inner),
        st.builds("({})|{}".format, inner, _one_of(FILTERS)),
        st.builds("({}) {} ({})".format, inner, _one_of(("+", "*", "**", "%", "~", "in", "==", "and", "//")), inner),
        st.builds("({})[{}:{}]".format, inner, _one_of(("", "0", "-1")), _one_of(("", "1", "9"))),
    ),
    max_leaves=8,
)
TEMPLATES = st.recursive(
    st.builds("{{{{ {} }}}}".format, EXPRESSIONS),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{{% for message in {} %}}{}{{% endfor %}}".format, EXPRESSIONS, inner),
        st.builds("{{% for a in range(99999) %}}{}{{% endfor %}}".format, inner),
        st.builds("{{% set ns = namespace(a={}) %}}{{% set ns.a = {} %}}{}".format, EXPRESSIONS, EXPRESSIONS, inner),
        st.builds("{{% macro m(a) %}}{}{{{{ m(a) }}}}{{% endmacro %}}{{{{ m({}) }}}}".format, inner, EXPRESSIONS),
        st.builds("{{% if {} %}}{}{{% endif %}}".format, EXPRESSIONS, inner),
        st.builds("{{% generation %}}{}{{% endgeneration %}}".format, inner),
        st.builds("{{% set t %}}{}{{% endset %}}{{{{ t * 9 }}}}".format, inner),
        st.builds("{{% filter upper %}}{}{{% endfilter %}}".format, inner),
    ),
    max_leaves=4,
)


@pytest.fixture(autouse=True)
def _little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "MAX_SECONDS", 0.2)


@given(TEMPLATES)
def test_random_templates_escape_nowhere(template: str) -> None:
    chat = Chat({"default": template}, {"bos_token": "<s>"}, "here")
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "text", "text": "yo"}]}]
    try:
        text = chat.render(messages)
    except (InputError, ArtifactError):
        return
    assert not INSIDE.search(text)
    assert len(text) <= meter.MAX_SIZE
    assert messages[0] == {"role": "user", "content": "hi"}
