"""Messages of the library in the words of a command line."""

from __future__ import annotations

import click
import pytest

from onnxpress.cli.words import in_words_of


@click.command()
@click.option("--precision")
@click.option("--trust-remote-code", is_flag=True)
@click.option("-s", "--set", "settings")
def runs(**options: object) -> None:
    """A command that takes any argument of a call."""


@click.command()
@click.option("--device")
def opens(**options: object) -> None:
    """A command that takes none."""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('Pass precision="int8" here.', "Pass --precision int8 here."),
        ("Pass trust_remote_code=True.", "Pass --trust-remote-code."),
        ("Pass truncation=True to cut it.", "Pass -s truncation=true to cut it."),
        ('or overflow="chunk" to go on', "or -s overflow=chunk to go on"),
        ("set num_beams=1, or do_sample=False", "set -s num_beams=1, or -s do_sample=false"),
        ("a template with chat_template=...", "a template with -s chat_template=..."),
        ("pipe(text, candidate_labels=labels)", "pipe(text, candidate_labels=labels)"),
        ("has no argument 'a=b'", "has no argument 'a=b'"),
    ],
)
def test_arguments_become_options(said: str, expected: str) -> None:
    assert in_words_of(runs, said) == expected


def test_only_what_the_command_has() -> None:
    assert in_words_of(opens, 'Or pass device="cpu", truncation=True.') == "Or pass --device cpu, truncation=True."
    assert in_words_of(None, 'device="cpu"') == 'device="cpu"'
