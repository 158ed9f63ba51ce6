"""What the benchmark's commands share: lists, files that will be written, and a sign of life."""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from onnxpress.errors import InputError
from onnxpress_bench import options
from onnxpress_bench.options import display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@click.command()
@click.option("--name", multiple=True, callback=options.names)
@click.option("--number", default="1", callback=options.numbers)
@click.option("--json", "path", type=click.Path(path_type=Path), callback=options.written)
def command(name: tuple[str, ...], number: tuple[int, ...], path: Path | None) -> None:
    click.echo(f"{name} {number}")


def test_lists_are_given_with_commas_or_several_times() -> None:
    done = CliRunner().invoke(command, ["--name", "a, b,a", "--name", "c", "--number", "16,128"])
    assert done.output == "('a', 'b', 'c') (16, 128)\n"
    assert "is not a list of whole numbers" in CliRunner().invoke(command, ["--number", "1,x"]).output


def test_a_file_is_tried_before_the_work_begins(tmp_path: Path) -> None:
    assert CliRunner().invoke(command, ["--json", str(tmp_path / "a.jsonl")]).exit_code == 0
    assert list(tmp_path.iterdir()) == []
    error = CliRunner().invoke(command, ["--json", str(tmp_path / "gone" / "a.jsonl")]).exception
    assert isinstance(error, InputError) and "--json: there is no folder" in str(error)


def test_off_a_terminal_a_line_says_from_time_to_time_what_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within one long step, too."""
    monkeypatch.setattr(options, "EVERY_S", 0.01)
    said = ""
    with display("case 1 of 2") as show:
        show("block 1", 3, 9)
        while said.count("\n") < 2:
            time.sleep(0.01)
            said += capsys.readouterr().err
    pattern = r"progress: case 1 of 2, block 1 \(3 of 9 steps done\), \d+ s"
    assert all(re.fullmatch(pattern, line) for line in said.splitlines())
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with display() as show:
        show("pytorch: checking answers", 0, 3)
    assert "progress:" not in sys.stderr.getvalue() and "pytorch: checking answers" in sys.stderr.getvalue()  # type: ignore[attr-defined]
