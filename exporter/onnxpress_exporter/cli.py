"""`onnxpress export`: parses, calls, prints. Nothing is computed here."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxpress.errors import MissingDependency, OnnxpressError
from onnxpress.inspection import describe

if TYPE_CHECKING:
    from onnxpress import Artifact

NEEDS = ("torch", "transformers", "optimum", "requests", "onnx", "onnx_ir", "onnxscript", "onnxruntime")

#: stage -> what people read. The stages are those of `onnxpress_exporter.flow.STAGES`.
TITLES = {
    "open": "opening the checkpoint",
    "load": "loading the model",
    "trace": "tracing the graph",
    "save": "writing the graph",
    "reference": "asking PyTorch",
    "verify": "verifying",
    "write": "writing the artifact",
    "done": "done",
}


@click.command("export")
@click.argument("model")
@click.argument("out", required=False, type=click.Path(path_type=Path))
@click.option("--task", help="The Hub's task name or an alias (default: found from the checkpoint).")
@click.option("--precision", default="fp32", show_default=True, help="Variants to write, separated by commas.")
@click.option("--revision", help="Branch, tag or commit of a Hub repository.")
@click.option("--force", is_flag=True, help="Replace OUT if it is an artifact.")
@click.option(
    "--allow-pickled-weights",
    is_flag=True,
    help="Load weights that are pickles, if there is no safetensors "
    "file. A pickle can run code: only for sources you trust.",
)
@click.option("--trust-remote-code", is_flag=True, help="Let the checkpoint's own Python code run.")
@click.option("--log-file", type=click.Path(path_type=Path, dir_okay=False), help="Keep the dependencies' logs here.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def export_command(
    model: str,
    out: Path | None,
    task: str | None,
    precision: str,
    revision: str | None,
    force: bool,
    allow_pickled_weights: bool,
    trust_remote_code: bool,
    log_file: Path | None,
    as_json: bool,
) -> None:
    """Export MODEL (a folder or a Hub id) as a verified artifact in the folder OUT.

    OUT defaults to the model's name with "-onnx" in the current folder. Nothing is written unless the graph's
    answers agree with PyTorch's.
    """
    _check_installed()
    target = out or Path(Path(model).absolute().name + "-onnx")
    with _log(log_file) as log, _display() as show:
        show("open")
        from onnxpress_exporter import export

        artifact = export(
            model,
            target,
            task,
            precision.split(","),
            revision=revision,
            force=force,
            allow_pickled_weights=allow_pickled_weights,
            trust_remote_code=trust_remote_code,
            command=shlex.join(["onnxpress", *sys.argv[1:]]),
            log_file=log,
            progress=show,
        )
    _print(artifact, as_json)


def _print(artifact: Artifact, as_json: bool) -> None:
    if as_json:
        from onnxpress.manifest import dump

        click.echo(dump(artifact.manifest), nl=False)
        return
    click.echo(f"{artifact.folder}\n\n{describe(artifact.manifest)}")


def _check_installed() -> None:
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"`onnxpress export` needs {', '.join(missing)}: `pip install 'onnxpress[export]'`. (Running an artifact "
            "does not.)"
        )


@contextmanager
def _log(chosen: Path | None) -> Iterator[Path]:
    """The file for dependencies' logs: the one asked for, or a temporary one that is kept only after a failure."""
    if chosen is not None:
        yield chosen
        return
    handle, name = tempfile.mkstemp(prefix="onnxpress-export-", suffix=".log")
    os.close(handle)
    path = Path(name)
    try:
        yield path
    except OnnxpressError as error:
        if path.stat().st_size == 0:
            path.unlink()
            raise
        raise type(error)(f"{error}\nThe dependencies' log is in {path}.") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    else:
        path.unlink()


@contextmanager
def _display() -> Iterator[Callable[[str], None]]:
    """One bar with the name of the stage; nothing where standard error is not a terminal."""
    from tqdm import tqdm

    # A descriptor of its own: while dependencies are silenced, standard error leads to the log.
    with os.fdopen(_duplicate(sys.stderr), "w", encoding="utf-8") as stream:
        bar = tqdm(
            total=len(TITLES) - 1,
            disable=not sys.stderr.isatty(),
            file=stream,
            bar_format="{desc:<24} |{bar:24}| {elapsed}",
            leave=False,
        )

        def show(stage: str) -> None:
            bar.n = list(TITLES).index(stage)
            bar.set_description_str(TITLES[stage])

        with bar:
            yield show


def _duplicate(stream: object) -> int:
    try:
        return os.dup(stream.fileno())  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return os.open(os.devnull, os.O_WRONLY)
