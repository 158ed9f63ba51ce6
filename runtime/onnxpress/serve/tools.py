"""Tools of a chat: what a request may ask, and the calls in what the model has written."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxpress.serve.errors import RequestError
from onnxpress.serve.protocols.fields import optional

#: How most models that were trained for tools write a call; others write the JSON alone.
_TAGGED = re.compile(r"<tool_call>\s*(\{.*?\})\s*(?:</tool_call>|\Z)", re.DOTALL)

_MOST = 128


@dataclass(frozen=True, slots=True)
class Tools:
    """`schemas`: for the chat template; none: there are no tools. `form`: the JSON schema that a text must have because
    a call is demanded."""

    schemas: Sequence[Any] = ()
    form: Mapping[str, Any] | None = None


def tools_of(body: Mapping[str, Any]) -> Tools:
    """The tools of a request.

    Raises:
        RequestError: they are not what they should be.
    """
    tools = optional(body, "tools", list, [])
    choice = body.get("tool_choice")
    named: dict[str, Mapping[str, Any]] = {}
    if len(tools) > _MOST:
        raise RequestError(f"tools has {len(tools)} entries; {_MOST} are taken.")
    for place, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RequestError(f'tools[{place}] must be {{"type": "function", "function": {{"name": ...}}}}.')
        named[function["name"]] = optional(function, "parameters", dict, {"type": "object"})
    if choice in (None, "auto"):
        return Tools(tools)
    if choice == "none":
        return Tools()
    if choice == "required":
        chosen = named
    else:
        function = choice.get("function") if isinstance(choice, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if name not in named:
            raise RequestError('tool_choice must be "none", "auto", "required", or name one of the tools.')
        chosen = {name: named[name]}
    if not chosen:
        raise RequestError("tool_choice demands a call, and there are no tools.")
    forms = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": parameters},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name, parameters in chosen.items()
    ]
    return Tools(tools, forms[0] if len(forms) == 1 else {"anyOf": forms})


def calls_in(text: str, tools: Tools) -> tuple[str, list[dict[str, Any]]]:
    """The text beside the calls, and the calls as OpenAI's clients read them; none: it is a text and nothing else."""
    if not tools.schemas:
        return text, []
    names = {tool["function"]["name"] for tool in tools.schemas}
    parts = _TAGGED.findall(text)
    calls = [call for part in parts or [text] if (call := _call(part, names)) is not None]
    if not calls or len(calls) < len(parts):
        return text, []
    return (_TAGGED.sub("", text).strip() if parts else ""), calls


def _call(text: str, names: set[str]) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("name") not in names:
        return None
    arguments = content.get("arguments", content.get("parameters", {}))
    return {
        "id": f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {
            "name": content["name"],
            "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
        },
    }
