"""Runs chat templates as untrusted programs. The only importer of jinja2.

Syntax, filters and globals are those that transformers gives chat templates. Python's internals are out of reach
(jinja2's immutable sandbox), and `meter` counts each turn of a loop, call, operator and filter. This module does not
know messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import wraps
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from onnxpress.chat.meter import (
    BINARY_GUARDS,
    GROWING,
    Exceeded,
    check_format,
    check_growth,
    check_join,
    check_size,
    meter,
)


class RaisedByTemplate(TemplateError):  # noqa: N818
    """The template called raise_exception."""


def _weighed(value: Any) -> Any:
    meter().weigh(value)
    return value


class _Metered(NodeTransformer):
    """Puts the meter into a template: a step for each turn of a loop and call of a macro, a weight for each list."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the name is jinja2's
        self.generic_visit(node)
        node.body.insert(0, _statement("tick", node.lineno))
        if node.test is not None:
            node.test = nodes.And(_call("tick", [], node.lineno), node.test, lineno=node.lineno)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.body.insert(0, _statement("tick", node.lineno))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("joined", list(node.nodes), node.lineno)

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("weighed", [node], node.lineno)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("weighed", [node], node.lineno)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("weighed", [node], node.lineno) if node.ctx == "load" else node


def _call(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    function = nodes.EnvironmentAttribute(name, lineno=line)
    return nodes.Call(function, arguments, [], None, None, lineno=line)


def _statement(name: str, line: int) -> nodes.ExprStmt:
    return nodes.ExprStmt(_call(name, [], line), lineno=line)


class GenerationTag(Extension):
    """`{% generation %}` marks what an assistant wrote, for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own declaration

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_contents"), [], [], body).set_lineno(line)

    def _contents(self, caller: Macro) -> str:
        return str(caller())


class Environment(ImmutableSandboxedEnvironment):
    """What chat templates run in. Render within `metered`."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
        self.filters["tojson"] = _tojson
        self.filters = {name: _guarded(name, function) for name, function in self.filters.items()}
        self.tests = {name: _ticking(test) for name, test in dict[str, Any](self.tests).items()}
        del self.globals["lipsum"]
        self.globals.update(
            raise_exception=_raise_exception, strftime_now=_strftime_now, dict=_Dict(), namespace=_Namespace
        )

    def tick(self) -> bool:
        """Called by the template in every turn of a loop."""
        return meter().tick()

    def weighed(self, value: Any) -> Any:
        """Called by the template on every list that it makes."""
        return _weighed(value)

    def joined(self, *values: Any) -> str:
        """Evaluate `a ~ b`; Exceeded where the text would be too large."""
        return self.concat(map(str, map(_weighed, values)))

    @staticmethod
    def concat(texts: Iterable[str]) -> str:
        """Join the pieces of a text that the template makes; Exceeded where it would be too large."""
        pieces = list(texts)
        check_size(sum(map(len, pieces)))
        return "".join(pieces)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.tick()
        BINARY_GUARDS[operator](left, right)
        return _weighed(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - jinja2's names
        __self.tick()
        name = getattr(__obj, "__name__", "")
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        if isinstance(owner, (str, bytes, int)):
            if name == "join" and args:
                args = (list(args[0]), *args[1:])
                check_join(owner, args[0])
            elif name in ("format", "format_map"):
                check_format(str(owner), (*args, *kwargs.values()))
            elif name in GROWING:
                check_growth((owner, *args, *kwargs.values()))
        return _weighed(super().call(__context, __obj, *args, **kwargs))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template: nodes.Template = _Metered().visit(super()._parse(source, name, filename))
        return template


def _ticking(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        meter().tick()
        return function(*args, **kwargs)

    return counted


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that is counted, does not grow past the limit, and whose lists are weighed."""

    @wraps(function)  # takes over what says that a filter wants the context, too
    def guarded(*args: Any, **kwargs: Any) -> Any:
        work = meter()
        work.tick()
        if name in ("join", "sum"):
            args = tuple(list(value) if isinstance(value, Iterator) else value for value in args)
            members = next((value for value in args if isinstance(value, (list, tuple))), ())
            check_join(max((v for v in (*args[1:], *kwargs.values()) if isinstance(v, str)), key=len, default=""),
                        list(members))  # fmt: skip
        elif name == "format":
            check_format(str(args[0]), (*args[1:], *kwargs.values()))
        elif name in GROWING:
            check_growth((*args, *kwargs.values()))
        result = function(*args, **kwargs)
        work.weigh(result)
        return result

    return guarded


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise RaisedByTemplate(message)


def _strftime_now(form: str) -> str:
    check_format(form, ())
    return datetime.now().strftime(form)


class _Dict:
    """`dict` without what a class can do."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """dict.fromkeys."""
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """A namespace that stores no name of Python's internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `namespace(self=...)` is allowed
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        Namespace.__setitem__(self, name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise Exceeded(f"it stores {name!r}, a name of Python's internals")
