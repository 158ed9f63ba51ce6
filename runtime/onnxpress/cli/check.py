"""`onnxpress check`: whether an artifact is whole, and answers here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from onnxpress.cli.options import device_option, revision_option, saying
from onnxpress.cli.streams import writes_unicode
from onnxpress.errors import OnnxpressError

if TYPE_CHECKING:
    from onnxpress.layouts.artifact import Artifact

#: What was looked at, why it is not well (None: it is), and what to tell otherwise.
Finding = tuple[str, str | None, str]


@click.command()
@click.argument("artifact")
@click.option("--precision", "precisions", multiple=True, help="Check this variant only. Repeatable.")
@device_option
@revision_option
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each finding.")
@saying
def check(
    artifact: str,
    precisions: tuple[str, ...],
    device: str,
    revision: str | None,
    as_json: bool,
    said: dict[str, Any],
) -> None:
    """Check ARTIFACT, a folder, a Hub id or an .onnx file: hashes, graphs, and one answer of each variant.

    Every file is compared with the manifest, every graph is scanned, and every variant that suits the device is opened
    and asked. The exit code is 1 where anything is not well.
    """
    from onnxpress.pipelines.asked import Opening

    opened = Opening.of({"revision": revision, **said}).adopted(artifact)
    failures = 0
    for what, failure, detail in findings(opened, precisions, device):
        failures += failure is not None
        words = detail if failure is None else failure
        if as_json:
            click.echo(
                json.dumps({"what": what, "ok": failure is None, "said": words}, ensure_ascii=not writes_unicode())
            )
        else:
            click.echo(f"{'ok' if failure is None else 'FAILED':8}{what}: {words}")
    if failures:
        click.get_current_context().exit(1)


def findings(artifact: Artifact, precisions: tuple[str, ...], device: str) -> Iterator[Finding]:
    """What there is to say of an artifact, as it is found.

    Raises:
        UnsupportedFormat: it has no variant of a precision that was asked for.
    """
    from onnxpress.engine.choice import choose, suits
    from onnxpress.engine.machine import features
    from onnxpress.engine.providers import parse_device

    manifest = artifact.manifest
    wanted = [choose(manifest, name).precision for name in precisions] or list(manifest.variants)
    artifact.fetch(wanted)
    if artifact.adopted is None:
        yield "manifest", None, f"{manifest.format}, version {manifest.format_version}, {manifest.task}"
    else:
        yield "manifest", None, f"there is none, inferred from {artifact.adopted.layout}'s layout: {manifest.task}"
    yield from _files(artifact, wanted)
    family = parse_device(device).partition(":")[0]
    for precision in wanted:
        yield precision, *_tried(lambda name=precision: _graphs(artifact, name))  # type: ignore[misc]
        if precisions or suits(manifest.variants[precision], family, features()):
            yield precision, *_tried(lambda name=precision: _answer(artifact, name, device))  # type: ignore[misc]
        else:
            targets = ", ".join(manifest.variants[precision].targets)
            yield precision, None, f"not asked: it is made for {targets}"


def _files(artifact: Artifact, precisions: list[str]) -> Iterator[Finding]:
    """Files that are not what the manifest says; one finding for all that are."""
    from onnxpress.format.contents import other_files, variant_files
    from onnxpress.pipelines.figures import size

    manifest = artifact.manifest
    names = sorted(other_files(manifest).union(*(variant_files(manifest, name) for name in precisions)))
    whole = []
    for name in names:
        failure, _ = _tried(lambda name=name: str(artifact.file(name)))  # type: ignore[misc]
        if failure is None:
            whole.append(name)
        else:
            yield name, failure, ""
    if whole:
        total = size(sum(manifest.files[name].bytes for name in whole))
        compared = "sizes and SHA-256 as in the manifest" if artifact.adopted is None else "no hashes to compare with"
        yield f"{len(whole)} files", None, f"{total}, {compared}"


def _tried(step: Callable[[], str]) -> tuple[str | None, str]:
    """Why a step failed (None: it did not), and what it told."""
    try:
        return None, step()
    except OnnxpressError as error:
        return str(error), ""


def _graphs(artifact: Artifact, precision: str) -> str:
    for form in artifact.manifest.variants[precision].forms:
        artifact.graphs(precision, form)
    return f"graphs scanned: {', '.join(artifact.graphs(precision))}"


def _answer(artifact: Artifact, precision: str, device: str) -> str:
    from onnxpress.pipelines import TASKS, pipeline
    from onnxpress.pipelines.probe import probe_of

    begun = time.perf_counter()
    with pipeline(model=artifact, precision=precision, device=device) as pipe:
        call = probe_of(TASKS[pipe.task], artifact.manifest)
        list(pipe(iter(call.inputs), **call.options))
    return f"opened and answered a probe in {time.perf_counter() - begun:.2f} s"
