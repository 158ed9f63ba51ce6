"""What the exporter's commands share: options, the dependencies' log, a bar with what is being done."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxpress.errors import EngineError, MissingDependency, OnnxpressError
from onnxpress_exporter.errors import PassError, ReaderError, TraceError, VariantRefused, VerificationFailed

if TYPE_CHECKING:
    from onnxpress.layouts.artifact import Artifact
    from onnxpress_exporter.judging.data import EvalData
    from onnxpress_exporter.quantize.settings import Settings


#: What fails within a dependency, whose log may say why. The messages of other errors say all there is to know.
_OF_DEPENDENCIES = (EngineError, PassError, ReaderError, TraceError, VerificationFailed)


def quantization_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command has that makes quantized variants."""
    for option in (
        click.option(
            "--threshold",
            "thresholds",
            multiple=True,
            metavar="FIGURE=VALUE",
            help="What a figure of every quantized variant must reach, such as 'cosine, worst=0.95'. Repeatable.",
        ),
        click.option(
            "--repair-s",
            type=click.FloatRange(min=0),
            default=600.0,
            show_default=True,
            help="Seconds that one variant may be repaired.",
        ),
        click.option("--keep-slow", is_flag=True, help="Keep variants that are neither smaller nor faster than fp32."),
        click.option(
            "--tune",
            is_flag=True,
            help="Try each variant's other forms on this machine, and keep the fastest where one is clearly faster.",
        ),
        click.option(
            "--cache",
            type=click.Choice(["float", "int8"]),
            default="float",
            show_default=True,
            help="How quantized variants of models that write keep keys and values; int8: in a quarter of the memory.",
        ),
    ):
        command = option(command)
    return command


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that write an artifact: where logs go, and what is printed."""
    path = click.Path(path_type=Path, dir_okay=False)
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON."),
        click.option("--log-file", type=path, help="Keep the dependencies' logs here."),
    ):
        command = option(command)
    return command


def evaluation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that measure the task's own metric; they become one argument, `evaluation`."""

    @wraps(command)
    def run(
        *arguments: Any,
        eval_data: str | None,
        eval_split: str | None,
        eval_limit: int,
        eval_columns: Sequence[str],
        **options: Any,
    ) -> Any:
        return command(*arguments, evaluation=_evaluation(eval_data, eval_split, eval_limit, eval_columns), **options)

    for option in (
        click.option(
            "--eval-column",
            "eval_columns",
            multiple=True,
            metavar="ROLE=COLUMN",
            help="What a column of --eval-data is, such as text=review, where its name does not tell. Repeatable.",
        ),
        click.option(
            "--eval-limit",
            type=click.IntRange(min=2),
            default=1000,
            show_default=True,
            help="At most so many rows of --eval-data, drawn with a fixed seed.",
        ),
        click.option("--eval-split", help="Split of the dataset (default: test, or else validation)."),
        click.option(
            "--eval-data",
            metavar="FILE_OR_NAME",
            help="Labelled rows for the task's own metric: a .jsonl, .csv or .parquet file, or a dataset's name, "
            "DATASET:CONFIGURATION where it has several. Models that write are judged by the tokens that they prefer "
            "in texts, or completions of prompts, and by ROUGE-L and exact match of what they make of a source.",
        ),
    ):
        run = option(run)
    return run


def _evaluation(source: str | None, split: str | None, limit: int, columns: Sequence[str]) -> EvalData | None:
    from onnxpress_exporter.judging.data import EvalData

    if source is None:
        if split is not None or columns:
            raise click.UsageError("--eval-split and --eval-column say what --eval-data is; name that, too.")
        return None
    by_role = {}
    for text in columns:
        role, sign, column = text.partition("=")
        if not (sign and role.strip() and column.strip()):
            raise click.UsageError(f"--eval-column takes ROLE=COLUMN, not {text!r}.")
        by_role[role.strip()] = column.strip()
    return EvalData(source, split, limit, by_role)


def quantization_settings(
    thresholds: Sequence[str],
    repair_s: float,
    keep_slow: bool,
    evaluation: EvalData | None,
    *,
    tune: bool = False,
    cache: str = "float",
) -> Settings:
    """Options as settings.

    Raises:
        UsageError: a threshold that is not FIGURE=NUMBER.
        InputError: there is no such figure.
    """
    from onnxpress_exporter.quantize.settings import Settings
    from onnxpress_exporter.quantize.thresholds import parse_thresholds

    limits = {}
    for text in thresholds:
        name, _, number = text.rpartition("=")
        try:
            limits[name.strip()] = float(number)
        except ValueError:
            raise click.UsageError(f"--threshold takes FIGURE=NUMBER, not {text!r}.") from None
    return Settings(parse_thresholds(limits), repair_s, keep_slow, evaluation, tune, cache)


def require(command: str, modules: Sequence[str], extra: str | None = None) -> None:
    """Make sure that what a command imports is installed. `extra`: what installs it; None: the command's name does.

    Raises:
        MissingDependency: it is not.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"`onnxpress {command}` needs {', '.join(missing)}: `pip install 'onnxpress[{extra or command}]'`. "
            "(Running an artifact does not.)"
        )


@contextmanager
def kept_log(chosen: Path | None) -> Iterator[Path]:
    """The file for dependencies' logs: the one asked for, or a temporary one, kept where it may explain an error."""
    if chosen is not None:
        yield chosen
        return
    handle, name = tempfile.mkstemp(prefix="onnxpress-export-", suffix=".log")
    os.close(handle)
    path = Path(name)
    try:
        yield path
    except Exception as error:
        if path.stat().st_size and isinstance(error, _OF_DEPENDENCIES):
            raise type(error)(f"{error}\nThe dependencies' log is in {path}.") from error
        if path.stat().st_size == 0 or isinstance(error, OnnxpressError | OSError):
            path.unlink()
        else:  # a fault of ours, whose trace will be shown
            error.add_note(f"The dependencies' log is in {path}.")
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    else:
        path.unlink()


def print_artifact(artifact: Artifact, as_json: bool) -> None:
    """Print what was made: for people, or as the manifest's JSON."""
    from onnxpress.cli.inspection import describe
    from onnxpress.format.manifest import dump

    if as_json:
        click.echo(dump(artifact.manifest), nl=False)
    else:
        click.echo(f"{artifact.folder}\n\n{describe(artifact.manifest)}")


@contextmanager
def printed_if_refused(as_json: bool) -> Iterator[None]:
    """Where variants are refused print, as JSON, which and why, beside the manifest of those that were written."""
    try:
        yield
    except VariantRefused as error:
        if as_json:
            from onnxpress.format.schema import NOTE_PREFIX, encode

            manifest = {} if error.artifact is None else encode(error.artifact.manifest)
            document = {**manifest, f"{NOTE_PREFIX}refused": dict(error.refused)}
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        raise


@contextmanager
def display(titles: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
    """One bar with what is being done; nothing where standard error is not a terminal.

    Args:
        titles: stage -> what people read, in order; a stage that is not in it is shown as it is.
    """
    from tqdm import tqdm

    # A descriptor of its own: while dependencies are silenced, standard error leads to the log.
    with os.fdopen(_duplicate(sys.stderr), "w", encoding="utf-8") as stream:
        bar = tqdm(
            total=max(1, len(titles) - 1),
            disable=not sys.stderr.isatty(),
            file=stream,
            bar_format="{desc:<36} |{bar:24}| {elapsed}",
            leave=False,
        )

        def show(stage: str) -> None:
            if stage in titles:
                bar.n = list(titles).index(stage)
            bar.set_description_str(titles.get(stage, stage))

        with bar:
            yield show


def _duplicate(stream: object) -> int:
    try:
        return os.dup(stream.fileno())  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return os.open(os.devnull, os.O_WRONLY)
