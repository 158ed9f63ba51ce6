"""`onnxpress chat`: a conversation on a terminal. Knows messages and a stream of text; nothing is computed here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from onnxpress.cli.lines import standard_input
from onnxpress.cli.options import call_arguments, opening, read_from_standard_input, settings
from onnxpress.errors import InputError

Messages = list[dict[str, str]]

_HELP = "/exit or Ctrl-D ends the chat, /reset begins a new one; Ctrl-C stops an answer."


@click.command()
@click.argument("artifact")
@click.option("--system", help="What the model is told before the conversation.")
@opening
@settings
@click.option("--usage", is_flag=True, help="After each answer, say on standard error how many tokens it took.")
def chat(
    artifact: str,
    system: str | None,
    precision: str | None,
    device: str,
    revision: str | None,
    lock: Path | None,
    threads: int | None,
    settings: tuple[str, ...],
    usage: bool,
) -> None:
    """Talk with ARTIFACT, a model with a chat template. Of each turn, only what is new is read.

    Lines of standard input are the user's messages. /exit ends, /reset begins anew.
    """
    from onnxpress.pipelines import pipeline
    from onnxpress.pipelines.table import CHAT

    if sys.stdin is None:
        raise click.UsageError("Standard input is closed: there is nobody to talk with.")
    if read_from_standard_input(settings):
        raise click.UsageError("Standard input has the user's messages: give --set a file, NAME=@FILE.")
    options = call_arguments(settings)
    first: Messages = [] if system is None else [{"role": "system", "content": system}]
    place: dict[str, Any] = {"precision": precision, "device": device, "revision": revision, "threads": threads}
    place["lock"] = lock
    with pipeline(CHAT, artifact, **place) as pipe:
        messages = list(first)
        for line in _turns():
            if line == "/reset":
                messages = list(first)
                continue
            asked = [*messages, {"role": "user", "content": line}]
            try:
                answer = _answer(pipe, asked, options, usage)
            except InputError as error:
                if not sys.stdin.isatty():
                    raise
                click.echo(f"error: {error}", err=True)
                continue
            messages = [*asked, {"role": "assistant", "content": answer}]


def _turns() -> Iterator[str]:
    """What the user says, until there is no more."""
    for line in _typed() if sys.stdin.isatty() else standard_input():
        turn = line.strip()
        if turn == "/exit":
            return
        if turn:
            yield turn


def _typed() -> Iterator[str]:
    """Read lines from a terminal. Ctrl-C discards the current line."""
    click.echo(_HELP, err=True)
    while True:
        try:
            yield input("> ")
        except EOFError:
            return
        except KeyboardInterrupt:
            click.echo(err=True)


def _answer(pipe: Any, messages: Messages, options: dict[str, Any], usage: bool) -> str:
    """Write the answer while it comes. Ctrl-C ends it; the conversation keeps what was written."""
    pieces: list[str] = []
    stream = pipe.stream(messages, **options)
    try:
        for piece in stream:
            pieces.append(piece)
            click.echo(piece, nl=False)
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
    finally:
        stream.close()
    click.echo()
    if usage:
        tokens = stream.usage
        click.echo(
            f"[{tokens.prompt_tokens} tokens read, {tokens.cached_tokens} of them before; {tokens.completion_tokens} "
            f"written; {stream.finish_reason}]",
            err=True,
        )
    return "".join(pieces)
