"""The command line: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import onnxpress
from onnxpress.cli.inspection import table
from onnxpress.cli.main import program
from onnxpress.errors import InputError, OnnxpressError, UnsupportedFormat
from onnxpress.format.manifest import parse
from onnxpress.pipelines.figures import size
from tests.fixtures.processes import HANG_S

from ..fixtures.artifacts import write_artifact
from ..fixtures.embedder import write_embedder


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("cli") / "artifact")


def _call(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], input=text)


def _process(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "onnxpress", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_each_input_gets_a_line_of_json(artifact: Path) -> None:
    result = _call("run", artifact, "good", "a bad film", "--json")
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["label"] for line in result.output.splitlines()] == ["good", "bad"]


def test_people_see_the_input_and_its_answer(artifact: Path) -> None:
    lines = _call("run", artifact, "very good").output.splitlines()
    assert lines[0] == "very good"
    assert lines[1].split() == ["label:", "good", "score:", "0.7311"]  # softmax of (1, 0)


def test_standard_input_is_read_line_by_line(artifact: Path) -> None:
    result = _call("run", artifact, "--json", text="good\nbad\r\n\nfilm")
    assert [json.loads(line)["label"] for line in result.output.splitlines()] == ["good", "bad", "good", "good"]


def test_a_byte_order_mark_is_no_part_of_the_first_text(artifact: Path) -> None:
    arguments = [str(argument) for argument in ("run", artifact)]
    result = CliRunner().invoke(program, arguments, input=b"\xef\xbb\xbfbad\nfilm")
    assert result.output.splitlines()[0] == "bad"


def test_bytes_that_are_not_utf_8_are_named_by_line_and_byte(artifact: Path) -> None:
    """What was read before is answered."""
    arguments = [str(argument) for argument in ("run", artifact, "--json", "-s", "batch_size=1")]
    result = CliRunner().invoke(program, arguments, input="good\nvery b\u00e4d\n".encode("latin-1"))
    assert isinstance(result.exception, InputError)
    assert "line 2, byte 7: 0xe4 is not UTF-8" in str(result.exception)
    assert json.loads(result.output)["label"] == "good"


def test_each_input_may_bring_options_of_its_own(artifact: Path) -> None:
    lines = (
        '{"inputs": "good", "parameters": {"function_to_apply": "none"}}',
        "bad bad",
        '{"inputs": ["good good", "bad"], "function_to_apply": "none", "top_k": 1}',
        '{"text": "good"}',
    )
    result = _call("run", artifact, *lines, "--json")
    assert result.exit_code == 0, result.output
    first, second, several, last = (json.loads(line) for line in result.output.splitlines())
    assert first == {"label": "good", "score": 1.0}
    assert second["label"] == "bad" and 0.8 < second["score"] < 1
    assert several == [[{"label": "good", "score": 2.0}], [{"label": "bad", "score": 1.0}]]
    assert last["label"] == "good" and last["score"] < 1


def test_texts_are_compared_with_one_that_an_option_has(tmp_path: Path) -> None:
    embedder = write_embedder(tmp_path / "embedder")
    with onnxpress.pipeline(model=embedder) as pipe:
        expected = pipe.similarity(pipe("good film"), pipe(["good", "bad"]))[0].tolist()
        compared = {"source_sentence": "good film", "sentences": ["good", "bad"]}
        assert pipe(compared) == pytest.approx(expected)
        assert pipe([compared, compared]) == [pytest.approx(expected)] * 2
        assert pipe(compared | {"sentences": []}) == []
        with pytest.raises(InputError, match="source_sentence"):
            pipe({"sentences": ["good"]})
    result = _call("run", embedder, "good", "bad", "-s", "source_sentence=good film", "--json")
    assert [json.loads(line) for line in result.output.splitlines()] == pytest.approx(expected)


def test_an_object_is_the_argument_of_a_call(artifact: Path) -> None:
    result = _call("run", artifact, '{"text": "good", "text_pair": "bad bad"}', "--json")
    assert json.loads(result.output)["label"] == "bad"
    assert json.loads(_call("run", artifact, "{not json} good", "--json").output)["label"] == "good"


def test_settings_are_json_text_or_a_file(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "function").write_text("none")
    settings = ("-s", "top_k=null", "-s", f"function_to_apply=@{tmp_path / 'function'}")
    result = _call("run", artifact, "good", *settings, "--json")
    assert json.loads(result.output) == [{"label": "good", "score": 1.0}, {"label": "bad", "score": 0.0}]
    assert _call("run", artifact, "good", *settings, "-s", "top_k=None", "--json").output == result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-s", "topk=1"), "has no argument 'topk'. Did you mean 'top_k'\\? It takes: .*top_k"),
        (("-s", "function_to_apply=@/not/here"), "cannot read '/not/here'"),
        (("--task", "ner"), "exported for text-classification"),
        (("--task", "dreaming"), "Unknown task 'dreaming'. Tasks: "),
        (("--precision", "int8"), "no int8 variant. It has: fp32"),
        (("--device", "tpu"), "not a device"),
        (("--device", "cuda"), r"onnxpress\[gpu\]"),
    ],
)
def test_a_wrong_argument_is_named(artifact: Path, arguments: tuple[str, ...], says: str) -> None:
    result = _call("run", artifact, "good", *arguments)
    assert isinstance(result.exception, OnnxpressError)
    with pytest.raises(type(result.exception), match=says):
        raise result.exception


@pytest.mark.parametrize("setting", ["top_k", "=1", "a b=1"])
def test_a_setting_without_a_name_is_a_usage_error(artifact: Path, setting: str) -> None:
    result = _call("run", artifact, "good", "-s", setting)
    assert result.exit_code == 2
    assert "NAME=VALUE" in result.output


def test_a_text_beyond_the_limit_names_the_way_out(artifact: Path) -> None:
    result = _call("run", artifact, "good " * 40)
    assert isinstance(result.exception, InputError)
    assert "42 tokens, the model takes at most 16. Pass truncation=True" in str(result.exception)
    assert _call("run", artifact, "good " * 40, "-s", "truncation=true").exit_code == 0


def test_inspect(artifact: Path) -> None:
    text = _call("inspect", artifact).output
    for part in ("text-classification", "BertForSequenceClassification", "good, bad", "16 tokens", "fp32", "input_ids"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80
    for part in ("serves      text-classification", "onnxpress, version 5", "onnx/model.onnx ", "answers", "same"):
        assert part in text
    result = _call("inspect", artifact, "--json")
    assert parse(result.output) == parse((artifact / "onnxpress.json").read_text())


def test_check_looks_at_every_file_and_asks_every_variant(artifact: Path, tmp_path: Path) -> None:
    result = _call("check", artifact)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 4
    assert "SHA-256 as in the manifest" in lines[1] and "answered a probe" in lines[3]
    damaged = shutil.copytree(artifact, tmp_path / "damaged")
    (damaged / "tokenizer.json").write_bytes((damaged / "tokenizer.json").read_bytes().replace(b"good", b"gOOd"))
    findings = [json.loads(line) for line in _call("check", artifact, "--json").stdout.splitlines()]
    assert len(findings) > 3 and all(finding["ok"] and finding["said"] for finding in findings)
    result = _call("check", damaged)
    assert result.exit_code == 1
    assert "FAILED  tokenizer.json: " in result.output and "SHA-256 is" in result.output
    with pytest.raises(UnsupportedFormat, match="no int8 variant"):
        raise _call("check", artifact, "--precision", "int8").exception or AssertionError


def test_answers_stream_while_input_is_still_open(artifact: Path) -> None:
    with _process("run", artifact, "--json", "-s", "batch_size=1") as process:
        assert process.stdin is not None and process.stdout is not None
        for word in ("good", "bad", "good"):
            process.stdin.write(word + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["label"] == word
        process.stdin.close()
        assert process.wait(timeout=HANG_S) == 0


def test_what_was_read_is_answered_when_the_input_pauses(artifact: Path) -> None:
    """Windows of lines grow, but for a writer who waits for the answers."""
    with _process("run", artifact, "--json") as process:
        assert process.stdin is not None and process.stdout is not None
        for count in (1, 3, 1, 2, 9, 1):
            process.stdin.write("good\n" * count)
            process.stdin.flush()
            assert [json.loads(process.stdout.readline())["label"] for _ in range(count)] == ["good"] * count
        process.stdin.close()
        assert process.wait(timeout=HANG_S) == 0


def test_the_line_that_cannot_be_answered_is_named(artifact: Path) -> None:
    lines = ["good", "bad", "good " * 40, "bad"]
    result = _call("run", artifact, "--json", text="\n".join(lines))
    assert [json.loads(line)["label"] for line in result.output.splitlines()] == ["good", "bad"]
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith("Standard input, line 3: The text has 42 tokens")
    result = _call("run", artifact, "good", '{"text": 5}')
    assert str(result.exception).startswith("Input 2: Expected a text")


def test_it_goes_on_after_a_line_that_cannot_be_answered(artifact: Path) -> None:
    lines = [
        "good",
        "good " * 40,
        '{"inputs": 5}',
        "bad",
        '{"inputs": "bad", "parameters": {"top_k": 2}}',
        "good " * 50,
    ]
    result = _call("run", artifact, "--json", "--on-error", "continue", text="\n".join(lines))
    answers = [json.loads(line) for line in result.output.splitlines()]
    assert [type(answer) for answer in answers] == [dict, dict, dict, dict, list, dict]
    assert [answers[0]["label"], answers[3]["label"], answers[4][0]["label"]] == ["good", "bad", "bad"]
    for place in (1, 2, 5):
        assert answers[place]["error"].startswith(f"Standard input, line {place + 1}: ")
    assert str(result.exception) == "3 of the inputs could not be answered; each says why in its place."
    assert "error: Input 2: " in _call("run", artifact, "good", "good " * 40, "--on-error", "continue").output


def test_an_interrupt_ends_it_quietly(artifact: Path) -> None:
    with _process("run", artifact, "--json", "-s", "batch_size=1") as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write("good\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=HANG_S) == 130
        assert process.stderr.read().strip() == "interrupted"


def test_a_reader_that_has_enough_ends_it_quietly(artifact: Path) -> None:
    with _process("run", artifact, "--json") as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdout.close()
        process.stdin.write("good\n" * 5000)
        process.stdin.close()
        assert process.wait(timeout=HANG_S) == 1  # click's code for a closed pipe
        assert process.stderr.read() == ""


def test_an_unknown_command_is_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "onnxpress", "exprot"], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 2
    assert "No such command 'exprot'. Did you mean 'export'?" in done.stderr


def test_sizes_and_tables() -> None:
    assert [size(n) for n in (0, 999, 1000, 90_400_000, 2.5e12)] == ["0 B", "999 B", "1.0 KB", "90.4 MB", "2.5 TB"]
    assert table(("a", "bb"), [("ccc", "d")]) == "a    bb\n---  --\nccc  d"


def test_the_help_of_run_fits_a_screen() -> None:
    lines = CliRunner().invoke(program, ["run", "--help"], terminal_width=80).output.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["--device", "cdua"], "'cuda'"),
        (["--on-error", "contnue"], "'continue'"),
        (["--devise", "cpu"], "'--device'"),
        (["--precision", "fastst"], "'fastest'"),
    ],
)
def test_a_mistyped_value_is_told_with_the_nearest(artifact: Path, arguments: list[str], meant: str) -> None:
    result = _call("run", artifact, "good", *arguments)
    assert result.exit_code != 0 and meant in f"{result.output}{result.exception}"
