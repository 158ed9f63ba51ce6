"""Says in a command line's words what the library says in Python's: `--precision int8` for `precision="int8"`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import click

#: An argument of a call, as messages write it; what stands in parentheses is a call, in quotes a user's text.
_ARGUMENT = re.compile(
    r"""\w+\([^)]*\)|'[^']*'(?!\w)|(?<![\w"'=-])([a-z][a-z0-9_]*)=("[^"\s]*"|'[^'\s]*'|\.\.\.|\w+(?:[.:-]\w+)*)"""
)

#: Python's values as JSON's, which --set takes.
_VALUES = {"True": "true", "False": "false", "None": "null"}

#: The parameter of commands that take any argument of a call, and its option.
_SETTINGS, _SET = "settings", "-s"


def in_words_of(command: click.Command | None, message: str) -> str:
    """A message of the library with each argument of a call written as this command's option, or its --set."""
    options = {} if command is None else _options(command)

    def translated(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        name, value = match[1], match[2].strip("\"'")
        if name in options:
            option, is_flag = options[name]
            return option if is_flag else f"{option} {shlex.quote(value)}"
        if _SETTINGS in options:
            return f"{_SET} {name}={_VALUES.get(value, value)}"
        return match[0]

    return _ARGUMENT.sub(translated, message)


def _options(command: click.Command) -> Mapping[str, tuple[str, bool]]:
    """Parameter -> how its option is written, and whether it takes no value."""
    return {
        str(parameter.name): (max(parameter.opts, key=len), parameter.is_flag)
        for parameter in command.params
        if isinstance(parameter, click.Option)
    }
