"""What type checkers are told of `pipeline(...)` is what it returns."""

from __future__ import annotations

import ast
import inspect

from onnxpress.pipelines import TASKS, signatures


def test_every_task_and_alias_has_its_class() -> None:
    told = {}
    for node in ast.walk(ast.parse(inspect.getsource(signatures))):
        if isinstance(node, ast.FunctionDef) and node.returns is not None:
            task = next(argument.annotation for argument in node.args.args if argument.arg == "task")
            if isinstance(task, ast.Subscript):
                names = task.slice.elts if isinstance(task.slice, ast.Tuple) else [task.slice]
                told |= {ast.literal_eval(name): ast.unparse(node.returns) for name in names}
    rows = {name: row for row in TASKS.values() for name in (row.name, *row.aliases) if "XX" not in name}
    assert told == {name: row.load().__name__ for name, row in rows.items()}
