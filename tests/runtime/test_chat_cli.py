"""Text on a terminal while it is written, and conversations."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from click.testing import CliRunner, Result

import onnxpress
from onnxpress.cli.main import program
from tests.fixtures.processes import HANG_S

GREEDY = ("-s", "do_sample=false", "-s", "max_new_tokens=8", "--threads", "1")
CHAT = [{"role": "user", "content": "who works at acme"}]


def _call(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], input=text)


def _answer(artifact: Path, inputs: object, **options: object) -> str:
    with onnxpress.pipeline(model=artifact, threads=1) as pipe:
        result = pipe(inputs, return_full_text=False, do_sample=False, **{"max_new_tokens": 8, **options})
    return str(result[0]["generated_text"])


def test_run_prints_the_new_text(llama: Path) -> None:
    result = _call("run", llama, "the quick", json.dumps(CHAT), *GREEDY)
    assert result.exit_code == 0, result.output
    assert result.output == f"{_answer(llama, 'the quick')}\n{_answer(llama, CHAT)}\n"


def test_run_gives_whole_results_as_json(llama: Path) -> None:
    lines = _call("run", llama, "the quick", *GREEDY, "--json").output.splitlines()
    assert [json.loads(line)[0]["generated_text"] for line in lines] == ["the quick" + _answer(llama, "the quick")]
    two = _call("run", llama, "a", *GREEDY, "-s", "num_beams=2", "-s", "num_return_sequences=2")
    assert two.output.count("generated_text") == 2


def test_a_chat_goes_on_until_it_is_left(llama: Path) -> None:
    first = _answer(llama, CHAT)
    turns = [*CHAT, {"role": "assistant", "content": first}, {"role": "user", "content": "and?"}]
    said = f"{CHAT[0]['content']}\nand?\n\n/reset\n{CHAT[0]['content']}\n/exit\nnever\n"
    result = _call("chat", llama, *GREEDY, "--usage", text=said)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{first}\n{_answer(llama, turns)}\n{first}\n"
    usage = result.stderr.splitlines()
    assert len(usage) == 3 and usage[0].endswith("8 written; length]")
    assert ", 0 of them before" in usage[0] and ", 0 of them before" not in usage[1]


def test_a_chat_has_a_system_message(llama: Path) -> None:
    system = {"role": "system", "content": "be good"}
    result = _call("chat", llama, *GREEDY, "--system", "be good", text=CHAT[0]["content"])
    assert result.stdout == _answer(llama, [system, *CHAT]) + "\n"


def test_a_message_that_cannot_be_read_ends_a_chat_without_a_terminal(llama: Path) -> None:
    result = _call("chat", llama, text="a " * 600)
    assert result.exit_code != 0
    assert "512" in str(result.exception)


def test_ctrl_c_stops_an_answer_and_not_the_chat(llama: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "onnxpress", "chat", llama, "-s", "max_new_tokens=450", "-s", "do_sample=false"]
    child = subprocess.Popen(
        [*map(str, command), "--usage", "-s", "eos_token_id=null"], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""

    def until(mark: bytes, interrupting: bool = False) -> None:
        nonlocal seen
        end, silence_s = time.monotonic() + HANG_S, 0.5
        while mark not in seen:
            assert time.monotonic() < end, seen
            if select.select([ours], [], [], silence_s)[0]:
                seen += os.read(ours, 4096)
            elif interrupting:  # a signal between the prompt and the wait for a line is only noticed with the next one
                child.send_signal(signal.SIGINT)
                silence_s = 10.0  # which a slow machine may need to answer the first
        seen = seen[seen.index(mark) + len(mark) :]

    until(b"> ")
    os.write(ours, b"who works at acme\n")
    until(b"acme\r\n")
    while len(seen) < 20:
        seen += os.read(ours, 1)
    child.send_signal(signal.SIGINT)
    until(b"written; ")
    until(b"> ")
    until(b"> ", interrupting=True)
    os.write(ours, b"/exit\n")
    assert child.wait(HANG_S) == 0
    os.close(ours)
