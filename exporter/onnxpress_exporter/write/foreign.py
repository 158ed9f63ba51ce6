"""Writes another tool's files as an artifact has them: graphs in `onnx/` under the names of their precision, and their
settings. Rewrites nothing and verifies nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx_ir
from onnx_ir.passes.common import ShapeInferencePass

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.adopted import Adapter
from onnxpress.format.contents import other_files
from onnxpress.format.front_matter import CARD
from onnxpress.format.manifest import FORMAT_VERSION, GraphFiles, GraphInfo, Manifest, Provenance, Variant
from onnxpress.format.precisions import REFERENCE, like
from onnxpress.layouts.artifact import Artifact
from onnxpress_exporter.passes.graph import remove_dead
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.write import describe
from onnxpress_exporter.write.origin import public_name
from onnxpress_exporter.write.save import save
from onnxpress_exporter.write.tokenizers import FILE_NAME as TOKENIZER

_FOUND = ".found"


def described_variant(manifest: Manifest) -> str:
    """The variant that an inferred manifest describes: fp32 where there is one."""
    return REFERENCE if REFERENCE in manifest.variants else next(iter(manifest.variants))


def kept_as(manifest: Manifest) -> str:
    """What the described variant is called in an artifact: other tools know more names than there are precisions."""
    return like(described_variant(manifest)).name


@contextmanager
def as_found(artifact: Artifact, folder: Path) -> Iterator[dict[str, Path]]:
    """Copies of the described variant's graphs, by name, in a folder inside `folder` that goes when the block ends.

    Raises:
        ArtifactError: a file is missing, damaged or hostile.
    """
    place = folder / _FOUND
    try:
        yield _copied(artifact, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _copied(artifact: Artifact, place: Path) -> dict[str, Path]:
    """Copied, not linked: onnx_ir does not read weights that have a second name, as those in the Hub's cache do."""
    precision = described_variant(artifact.manifest)
    paths = artifact.graphs(precision)
    copies = {}
    for name, files in artifact.manifest.variants[precision].graphs.items():
        for file in files.names:
            target = place / file
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():  # graphs may share weights
                shutil.copyfile(paths[name] if file == files.file else artifact.file(file), target)
        copies[name] = place / files.file
    return copies


def load_graph(path: Path, info: GraphInfo, adapter: Adapter | None = None) -> onnx_ir.Model:
    """Read a graph, with the outputs alone that a manifest names, and the shapes of its values, by which passes and
    quantization know them: most tools leave them out.

    Raises:
        UnsupportedFormat: it cannot be read.
    """
    try:
        model = onnx_ir.load(path)
        theirs: Mapping[str, str] = {} if adapter is None else adapter.names
        names = [theirs.get(tensor.name, tensor.name) for tensor in info.outputs]
        outputs = {output.name: output for output in model.graph.outputs}
        if list(outputs) != names:
            model.graph.outputs[:] = [outputs[name] for name in names]
            remove_dead(model)
            taken = {theirs.get(tensor.name, tensor.name) for tensor in info.inputs}
            taken |= set() if adapter is None else adapter.given
            for value in [value for value in model.graph.inputs if value.name not in taken and not value.uses()]:
                model.graph.inputs.remove(value)
        ShapeInferencePass(check_type=False, strict_mode=False)(model)
    except (ValueError, TypeError, KeyError, NotImplementedError, OSError) as error:
        raise UnsupportedFormat(
            f"{path.name}: onnx_ir cannot read it ({error}), so it cannot be adopted. It may run as it is."
        ) from None
    return model


def save_graphs(models: Mapping[str, onnx_ir.Model], precision: str, folder: Path) -> dict[str, GraphFiles]:
    """Write graphs, named as transformers.js names them, over those that are there."""
    (folder / describe.GRAPHS).mkdir(exist_ok=True)
    files = {}
    for name, model in models.items():
        path = folder / describe.GRAPHS / f"{name}{PRECISIONS[precision].suffix}.onnx"
        files[name] = describe.graph_files(model, save(model, path), folder)
    return files


def copy_settings(artifact: Artifact, folder: Path) -> None:
    """Copy tokenizer and settings, once the graphs are in `folder`; of the card what its new one carries over."""
    if CARD in artifact.manifest.files:
        describe.copy_card(artifact.file(CARD), folder)
    for name in sorted(other_files(artifact.manifest) - {CARD}):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.file(name), folder / name)
    tokenizer = folder / TOKENIZER
    if tokenizer.is_file():
        content = json.loads(tokenizer.read_text(encoding="utf-8"))
        if content.get("truncation") or content.get("padding"):  # lengths are the runtime's business
            unlimited = {**content, "truncation": None, "padding": None}
            tokenizer.write_text(json.dumps(unlimited, indent=2, ensure_ascii=False), encoding="utf-8")
    config = folder / "config.json"
    if config.is_file():
        describe.write_config(json.loads(config.read_text(encoding="utf-8")), folder, changed=False)


def adopted_manifest(
    artifact: Artifact, files: Mapping[str, GraphFiles], originals: Mapping[str, Path], source: str | Path,
    command: str, folder: Path,
) -> Manifest:  # fmt: skip
    """What the manifest says before anything is compared.

    Args:
        artifact: as it was understood, with its task.
        files: of the graphs that were saved.
        originals: the graphs as they were found, whose hash tells the weights.
    """
    precision = kept_as(artifact.manifest)
    targets = artifact.manifest.variants[described_variant(artifact.manifest)].targets
    adopted = artifact.adopted
    assert adopted is not None, "artifacts of ours are not adopted"
    weights = sorted(path for path in next(iter(originals.values())).parent.rglob("*") if path.is_file())
    provenance = Provenance(
        source=public_name(source),
        revision=None if artifact.snapshot is None else artifact.snapshot.revision,
        commit=None if artifact.snapshot is None else artifact.snapshot.commit,
        weights_sha256=describe.weights_sha256(weights),
        command=command,
        created=describe.moment(),
        versions=describe.versions(),
        adopted=adopted,
    )
    return replace(
        artifact.manifest,
        format_version=FORMAT_VERSION,
        variants={precision: Variant(files, 0, targets=targets)},
        provenance=provenance,
        files=describe.file_table(folder, graphs=False),
    )
