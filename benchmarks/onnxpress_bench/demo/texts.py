"""Texts searched by meaning, and a model asked."""

from __future__ import annotations

import re
import sys
import textwrap
import time
from pathlib import Path

import click

from onnxpress_bench.demo import ROOT

QUESTIONS = (
    "How do I know that the exported model is right?",
    "Why could a sentence get another embedding when it stands in a batch?",
    "What happens when a file was tampered with?",
    "Which steps add support for a new kind of task?",
)
ASKED = ("What is the capital of Italy?", "Describe the bear.")
WIDTH = 100


def search(artifact: Path) -> None:
    """Embed the paragraphs of the documents and print the nearest to each question."""
    start = time.perf_counter()
    import numpy as np

    import onnxpress

    with onnxpress.pipeline(model=artifact) as embed:
        first = embed(QUESTIONS[0])
        ready_s = time.perf_counter() - start
        passages = paragraphs(ROOT)
        start = time.perf_counter()
        vectors = embed([text for _, text in passages])
        seconds = time.perf_counter() - start
        scores = embed(list(QUESTIONS)) @ vectors.T
    click.echo(
        f"first embedding ({first.shape[0]} dimensions) {ready_s:.2f} s after the start of the import; "
        f"{len(passages)} paragraphs embedded in {seconds:.2f} s; "
        f"torch imported: {'yes' if 'torch' in sys.modules else 'no'}"
    )
    for question, row in zip(QUESTIONS, scores, strict=True):
        click.echo(f"\n  {question}")
        for index in np.argsort(-row)[:2]:
            source, text = passages[index]
            shown = textwrap.shorten(text, width=2 * WIDTH, placeholder=" ...")
            for i, line in enumerate(textwrap.wrap(shown, WIDTH - 12)):
                click.echo(f"    {row[index]:.3f}  {line}" if i == 0 else f"           {line}")
            click.echo(f"           ({source})")


def chat(artifact: Path) -> None:
    """Ask two questions, the second in the conversation of the first."""
    import onnxpress

    with onnxpress.pipeline("text-generation", artifact, do_sample=False) as pipe:
        messages: list[dict[str, str]] = []
        for question in ASKED:
            messages.append({"role": "user", "content": question})
            start = time.perf_counter()
            stream = pipe.stream(messages)
            answer = "".join(stream)
            seconds = time.perf_counter() - start
            messages.append({"role": "assistant", "content": answer})
            used = stream.usage
            click.echo(f"  > {question}\n  {answer}")
            click.echo(
                f"    ({used.completion_tokens} tokens in {1000 * seconds:.0f} ms; of the prompt's "
                f"{used.prompt_tokens} tokens {used.cached_tokens} had been read before)"
            )
    click.echo(f"  torch imported: {'yes' if 'torch' in sys.modules else 'no'}")


def paragraphs(root: Path) -> list[tuple[str, str]]:
    """(file, text) of each paragraph, list entry or section of the project's documents, without Markdown's marks."""
    texts = []
    for path in [root / "README.md", *sorted(root.glob("docs/**/*.md")), root / "benchmarks" / "README.md"]:
        if not path.is_file():
            continue
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for block in re.split(r"\n\s*\n|\n(?=- |\d+\. )", text):
            plain = re.sub(r"[`*#|]+", " ", block)
            plain = " ".join(plain.split())
            if len(plain) > 40 and "---" not in plain:
                texts.append((path.relative_to(root).as_posix(), plain))
    return texts
