"""A checkpoint that writes text -> an artifact's files: graphs, what generation needs beside them, and the proof.

The counterpart of `onnxpress_exporter.flow._build`, which traces models that only read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx_ir

from onnxpress.format.manifest import FORMAT, FORMAT_VERSION, GraphFiles, Manifest, Variant
from onnxpress.format.precisions import REFERENCE
from onnxpress.format.processors import Processors
from onnxpress.text.tokenizer import Tokenizer, Truncation
from onnxpress_exporter.add_variants import Outcome, settled
from onnxpress_exporter.compare import check_tokens
from onnxpress_exporter.generation.cases import LONGEST_TOKENS
from onnxpress_exporter.generation.files import write_chat_templates, write_generation_config
from onnxpress_exporter.generation.reference import PyTorch
from onnxpress_exporter.generation.variants import Writing, add_variants, opened, reader_of, speed
from onnxpress_exporter.generation.verify import Expected, verify
from onnxpress_exporter.graphs.generating import Built, build, graph_info
from onnxpress_exporter.judging.samples import SINGLES
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.quantize.flow import Settings
from onnxpress_exporter.source.checkpoint import Checkpoint, load_tokenizer
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.tasks.loading import load_model
from onnxpress_exporter.write import describe
from onnxpress_exporter.write.save import save
from onnxpress_exporter.write.tokenizers import tokenizer_settings, write_tokenizer

Say = Callable[[str], None]


def build_writing(
    checkpoint: Checkpoint,
    task: str,
    wanted: Sequence[str],
    folder: Path,
    command: str,
    quantization: Settings,
    say: Say,
) -> tuple[Manifest, Outcome]:
    """Write everything but the manifest into `folder`.

    Raises:
        VerificationFailed: the graphs' answers are not PyTorch's.
        VariantRefused: no variant that was wanted passed.
    """
    say("load")
    model, tokenizer = load_model(checkpoint, task), load_tokenizer(checkpoint)
    write_tokenizer(tokenizer, folder)
    settings = tokenizer_settings(tokenizer, model.config)
    say("trace")
    built = build(model)
    say("save")
    files = _save(built, folder)
    describe.copy_settings(checkpoint, folder)
    write_generation_config(model, folder)
    write_chat_templates(tokenizer, folder)
    # From the files: weights are mapped into memory and are not there twice.
    graphs = {name: onnx_ir.load(folder / entry.file) for name, entry in files.items()}
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        task=task,
        model_type=checkpoint.model_type,
        architecture=type(model).__name__,
        padding=True,
        graphs={name: graph_info(name, graph) for name, graph in graphs.items()},
        variants={REFERENCE: Variant(files, 0)},
        processors=Processors(text=settings),
        postprocessing=TASKS[task].postprocessing(checkpoint, model),
        provenance=describe.provenance(checkpoint, command),
        files={},
        generation=built.settings,
    )
    say("reference")
    reference, runtime_tokenizer = PyTorch(model), Tokenizer(folder / settings.file, settings)
    _same_tokens(tokenizer, runtime_tokenizer)
    writing = Writing(manifest, reader_of(manifest, runtime_tokenizer, reference.start), _ends(model))
    outcome = Outcome()
    with opened({name: folder / entry.file for name, entry in files.items()}) as plain:
        fp32 = writing.graphs(plain, REFERENCE)
        # What the graph writes serves as a text as well as any: whether PyTorch would write it is asked by `verify`.
        expected = Expected(reference, writing.reader.verification(fp32.write))
        say("verify")
        measured = Variant(
            files, 0, quality=verify(REFERENCE, expected, fp32), speed=speed(fp32, None, expected.longest)
        )
        if others := [name for name in wanted if name != REFERENCE]:
            outcome = add_variants(writing, folder, graphs, plain, expected, others, quantization, say)
    say("write")
    return settled(replace(manifest, variants={REFERENCE: measured}), outcome, wanted, folder), outcome


def _save(built: Built, folder: Path) -> dict[str, GraphFiles]:
    (folder / "onnx").mkdir(exist_ok=True)
    found = {}
    for name, graph in built.graphs.items():
        path = folder / "onnx" / f"{name}{PRECISIONS[REFERENCE].suffix}.onnx"
        found[name] = describe.graph_files(graph, save(graph, path), folder)
    return found


def _same_tokens(tokenizer: Any, runtime: Tokenizer) -> None:
    """Raise VerificationFailed unless the runtime makes the same tokens of the verification's texts as transformers."""
    limit = min(runtime.settings.max_length or LONGEST_TOKENS, LONGEST_TOKENS)
    for sample in SINGLES:
        check_tokens(tokenizer, sample, runtime.encode(sample.text, truncation=Truncation(limit)), limit)


def _ends(model: Any) -> tuple[int, ...]:
    """Tokens that end a text."""
    ends = model.generation_config.eos_token_id
    return tuple(ends) if isinstance(ends, list) else () if ends is None else (int(ends),)
