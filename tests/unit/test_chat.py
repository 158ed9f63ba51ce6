"""Chat templates: which one is taken, what it is given, and how hostile ones end."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.chat import meter as chat_meter
from onnxpress.chat.templates import Chat
from onnxpress.errors import ArtifactError, InputError
from tests.fixtures.chat_templates import ZEPHYR

USER = {"role": "user", "content": "Hi"}


def render(template: str, messages: Any = (USER,), **arguments: Any) -> str:
    return Chat({"default": template}, {"eos_token": "</s>"}, "here").render(messages, **arguments)


def test_the_template_is_chosen_by_name_by_tools_or_by_default() -> None:
    chat = Chat({"default": "d", "tool_use": "t", "rag": "r"}, {}, "here")
    assert chat.render([USER]) == "d"
    assert chat.render([USER], tools=[]) == "t"
    assert chat.render([USER], template="rag", tools=[]) == "r"
    assert chat.render([USER], template="{{ messages[0].role }}") == "user"
    with pytest.raises(InputError, match="rag, tool_use"):
        Chat({"rag": "r", "tool_use": "t"}, {}, "here").render([USER])
    with pytest.raises(InputError, match="no chat template"):
        Chat({}, {}, "here").render([USER])


def test_objects_reach_a_template_as_plain_values() -> None:
    @dataclasses.dataclass
    class Message:
        role: str
        content: Any

    class Image:
        def save(self, path: str) -> None:
            raise AssertionError("a template called a method")

    shown = "{{ messages[0].content.save('x') }}{{ messages[0].role }}"
    with pytest.raises(InputError, match="no attribute 'save'"):
        render(shown, [Message("user", Image())])
    assert render("{{ messages[0].content }}", [Message("user", Image())]) == "<Image>"
    assert render("{{ messages[0].content|tojson }}", [Message("u", [np.float32(0.5), np.int64(3)])]) == "[0.5, 3]"
    given = [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    assert render("{{ messages[0].content[0].text }}", given, continue_final_message=True) == "a"
    assert given == [{"role": "user", "content": [{"type": "text", "text": "a"}]}]


@pytest.mark.parametrize(
    ("messages", "arguments", "match"),
    [
        ([], {}, "at least one"),
        (["hi"], {}, "dictionary"),
        ([USER], {"documents": ["text"]}, "documents"),
        ([USER], {"tools": ["text"]}, "tool"),
        ([USER], {"tools": {}}, "tools"),
        ([USER], {"add_generation_prompt": True, "continue_final_message": True}, "pass one"),
        ([{"role": "user"}], {"continue_final_message": True}, "nothing to continue"),
        ([USER], {"continue_final_message": "reasoning_content"}, "nothing to continue"),
        ([{"role": "user", "content": [{"type": "image"}]}], {"continue_final_message": True}, "no text"),
    ],
)
def test_what_is_no_chat_is_refused(messages: Any, arguments: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        render(ZEPHYR, messages, **arguments)


def test_a_message_that_the_template_drops_cannot_be_continued() -> None:
    with pytest.raises(InputError, match="changes or drops"):
        render("{% if false %}{{ messages[0].content }}{% endif %}", continue_final_message=True)


def test_what_the_template_refuses_is_said_in_its_words() -> None:
    with pytest.raises(InputError, match="only cats"):
        render("{{ raise_exception('only cats') }}")
    with pytest.raises(ArtifactError, match="line 2"):
        render("a\n{% if %}")


ESCAPES = (
    "{{ ''.__class__.__mro__ }}",
    "{{ ''['__class__']['__mro__'][1] }}",
    "{{ (''|attr('__class__')).__mro__ }}",
    "{{ messages|map(attribute='__class__')|map(attribute='__mro__')|list }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ ('%s' ~ '{0.__class__.__init__.__globals__}').format(raise_exception) }}",
    "{{ strftime_now.__globals__['json'].codecs.open('/etc/passwd') }}",
    "{{ self._TemplateReference__context.environment.__class__ }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ namespace(__class__=1) }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}{{ ns.__class__ }}",
    "{{ dict.__class__ }}{{ dict.mro() }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='x') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.system('true') }}",
)


@pytest.mark.parametrize("template", ESCAPES)
def test_no_template_reaches_pythons_internals(template: str) -> None:
    with pytest.raises((InputError, ArtifactError)):
        text = render(template)
        pytest.fail(f"rendered {text!r}")


BIG = 10**9
BOMBS = (
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% for a in range(100000) %}{% for b in range(100000) if false %}{% endfor %}{% endfor %}",
    "{% for a in range(100000) %}{% if range(100000)|select('in', [])|list %}{% endif %}{% endfor %}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    f"{{{{ range({BIG}) }}}}",
    f"{{{{ 'a' * {BIG} }}}}",
    f"{{{{ [1] * {BIG} }}}}",
    f"{{% set n = {BIG} %}}{{{{ 'a' * n }}}}",
    f"{{{{ 'a'|center({BIG}) }}}}",
    f"{{{{ 'a'.ljust({BIG}) }}}}",
    f"{{{{ 'a'.zfill({BIG}) }}}}",
    f"{{{{ '%{BIG}d' % 1 }}}}",
    f"{{{{ '%*d' % ({BIG}, 1) }}}}",
    f"{{{{ '%{BIG}d'|format(1) }}}}",
    f"{{{{ '{{:{BIG}}}'.format(1) }}}}",
    f"{{{{ '{{:{{}}}}'.format(1, {BIG}) }}}}",
    f"{{{{ strftime_now('%{BIG}Y') }}}}",
    f"{{{{ ['a', 'b']|tojson(indent={BIG}) }}}}",
    f"{{{{ 'a\\nb'|indent({BIG}) }}}}",
    f"{{{{ [1]|batch({BIG}, 0)|list }}}}",
    f"{{{{ (1).to_bytes({BIG}, 'big') }}}}",
    "{{ 9 ** 99999999 }}",
    "{% set ns = namespace(n=3) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
    "{% set ns = namespace(t='aa') %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
    "{% set ns = namespace(t='aa') %}{% for i in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
    "{% set ns = namespace(t='aa') %}{% for i in range(99) %}{% set ns.t = ns.t.replace('a', ns.t) %}{% endfor %}",
    "{% set ns = namespace(t='aa') %}{% for i in range(99) %}{% set ns.t = [ns.t, ns.t]|join %}{% endfor %}",
    "{% set ns = namespace(t='aa') %}{% for i in range(99) %}{% set ns.t = ns.t.join([ns.t, 'b']) %}{% endfor %}",
    "{% set ns = namespace(t='aa') %}{% for i in range(99) %}{% set ns.t = '{0}{0}'.format(ns.t) %}{% endfor %}",
    "{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}",
    "{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = {'a': ns.t, 'b': ns.t} %}{% endfor %}",
    "{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = ns.t + [ns.t] %}{% endfor %}",
    "{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = dict(a=ns.t, b=ns.t) %}{% endfor %}",
    "{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = [1]|batch(3, ns.t)|list %}{% endfor %}",
    "{% set t = 'a' * 9999999 %}{% for i in range(9) %}{{ t }}{% endfor %}",
    "{% set a %}{{ 'a' * 9999999 }}{% endset %}{% set b %}{{ a }}{{ a }}{% endset %}{{ b }}",
    "{{ range(99999)|map('string')|map('center', 9999)|join }}",
    "{{ [range(99999)|list]|batch(9999, range(99999)|list)|sum(start=[]) }}",
    "{{ lipsum(n=99999999) }}",
)


@pytest.mark.parametrize("template", BOMBS)
def test_work_is_bounded(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_meter, "MAX_SECONDS", 0.05)
    began = time.thread_time()
    with pytest.raises((ArtifactError, InputError)):
        render(template)
    assert time.thread_time() - began < 3


def test_all_bombs_together_need_little_memory() -> None:
    program = """
import json, resource, sys
from onnxpress.chat import meter as chat_meter
from onnxpress.chat.templates import Chat
from onnxpress.errors import OnnxpressError
chat_meter.MAX_SECONDS = 0.05
Chat({"default": "a"}, {}, "here").render([{"role": "user"}])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for template in json.load(sys.stdin):
    try:
        Chat({"default": template}, {}, "here").render([{"role": "user"}])
    except OnnxpressError:
        pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(BOMBS), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert int(done.stdout) < 600  # MiB


def test_long_chats_are_not_bombs() -> None:
    messages = [{"role": "user", "content": f"{number} " + "word " * 300} for number in range(2000)]
    began = time.thread_time()
    text = render(ZEPHYR, messages, add_generation_prompt=True)
    assert len(text) > 3_000_000
    assert time.thread_time() - began < 3
    big = {"role": "user", "content": "a\nb " * 500_000}
    assert len(render("{{ messages[0].content.replace('\\n', '<br>')|trim }}", [big])) > 2_000_000
    assert render("{{ '%d' % messages[0].n }}{{ '{}'.format(messages[0].n) }}", [{"n": BIG}]) == f"{BIG}" * 2


def test_a_chat_pickles_after_use() -> None:
    chat = Chat({"default": ZEPHYR}, {"eos_token": "</s>"}, "here")
    text = chat.render([USER])
    assert pickle.loads(pickle.dumps(chat)).render([USER]) == text


def test_jinja2_is_imported_only_for_a_template(tmp_path: Path) -> None:
    program = "import sys; import onnxpress.chat.templates; assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
    missing = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from onnxpress.chat.templates import Chat; from onnxpress.errors import MissingDependency\n"
        "try: Chat({'default': 'a'}, {}, '').render([{'role': 'user'}])\n"
        "except MissingDependency as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", missing], capture_output=True, text=True, check=True)
    assert "pip install 'onnxpress[chat]'" in done.stdout
