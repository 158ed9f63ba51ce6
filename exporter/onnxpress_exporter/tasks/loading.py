"""Infers the task that a checkpoint was made for, and loads its model for a task. Knows no graph."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.adapters import merged
from onnxpress_exporter.source.checkpoint import Checkpoint, first_line, load_config
from onnxpress_exporter.source.modules import STATIC, sentence_modules
from onnxpress_exporter.source.static_embeddings import is_static
from onnxpress_exporter.tasks import ROWS
from onnxpress_exporter.tasks.feature_extraction import BARE
from onnxpress_exporter.tasks.heads import auto_class, head_of, row_for, tasks_of
from onnxpress_exporter.tasks.row import ExportTask

if TYPE_CHECKING:
    import torch

# A pooler feeds neither last_hidden_state nor sentence embeddings: its absence changes nothing.
_UNUSED_WITHOUT_HEAD = re.compile(r"(^|\.)pooler\.")


def infer_task(checkpoint: Checkpoint) -> str:
    """The Hub's name of the task that the checkpoint was made for.

    Raises:
        UnsupportedCheckpoint: this version cannot export it; the message names the task.
    """
    claiming = next((row for row in ROWS if row.claims(checkpoint)), None)
    if claiming is not None:
        return claiming.name
    served = tasks_of(head_of(checkpoint.architecture))
    task = next((row for row in served if checkpoint.model_type in row.model_types), served[0])
    _check_task(checkpoint, task)
    return task.name


def _check_task(checkpoint: Checkpoint, task: ExportTask) -> None:
    """Refuse a task that the checkpoint has no head for."""
    if task.head is BARE and sentence_modules(checkpoint.folder):
        return
    head = head_of(checkpoint.architecture)
    if task.head not in (head, BARE):
        offers = [row.name for row in (*tasks_of(head), *(tasks_of(BARE) if head is not BARE else ()))]
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} ({checkpoint.architecture or checkpoint.model_type}) has no head for {task.name}: "
            f"its weights would be random. It offers: {', '.join(offers)}."
        )
    if not checkpoint.config.get("is_encoder_decoder"):
        return
    if task.head is not head:
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} is an encoder-decoder: {task.name} of it is not supported yet."
        )
    if head is BARE and auto_class(task, checkpoint.model_type) == BARE.auto_class:
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} ({checkpoint.architecture}) is an encoder-decoder without the head that writes "
            "text; its parts alone are not exported."
        )


def suited_row(task: str, checkpoint: Checkpoint) -> ExportTask:
    """The row of a task for the head of a checkpoint, as the files of the library that saved it want it."""
    row = row_for(task, checkpoint.architecture)
    return row.suited(checkpoint) or row


def load_model(checkpoint: Checkpoint, task: str) -> torch.nn.Module:
    """The model for `task` in float32, in eval mode, with every weight of its head.

    Raises:
        UnsupportedCheckpoint: the checkpoint lacks the head or any weight that the answers depend on, or its weights
            do not fit its config.
    """
    import torch
    import transformers

    row = suited_row(task, checkpoint)
    if row.load is not None:
        return row.load(checkpoint)  # type: ignore[no-any-return]
    if is_static(checkpoint.folder):
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} is a {STATIC}, a table of tokens without a transformer: it can be exported for "
            f"sentence-similarity, not for {row.name}."
        )
    _check_task(checkpoint, row)
    loader = getattr(transformers, auto_class(row, checkpoint.model_type))
    config = load_config(checkpoint, row.load_arguments(checkpoint))
    try:
        model, info = loader.from_pretrained(
            checkpoint.model_folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=checkpoint.safetensors,
            trust_remote_code=checkpoint.trust_remote_code,
            local_files_only=True,
            output_loading_info=True,
            # Told apart below, with a message of our own.
            ignore_mismatched_sizes=True,
        )
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"transformers cannot load {checkpoint.model_folder} for {row.name}: {first_line(error)}"
        ) from error
    row = row.of(model)
    _check_loaded(checkpoint, row, info)
    _check_modality(checkpoint, row, model)
    if row.takes == "image" and any(map(_UNUSED_WITHOUT_HEAD.search, info.get("missing_keys") or ())):
        model.pooler = None  # its weights would be random, and here its output is an answer
    if checkpoint.adapter is not None:
        model = merged(model, checkpoint.adapter)
    if hasattr(model.config, "use_cache") and not row.writes:
        model.config.use_cache = False
    _fill_tables(model)
    _tell_ends(model)
    model.requires_grad_(False)
    return model.eval()  # type: ignore[no-any-return]


def _fill_tables(model: torch.nn.Module) -> None:
    """Compute the tables of positions that a class makes itself, and that transformers leaves empty when it loads
    weights, where they are no buffers (TrOCR's sinusoidal ones)."""
    for part in model.modules():
        table, compute = getattr(part, "weights", None), getattr(part, "get_embedding", None)
        if getattr(table, "is_meta", False) and compute is not None:
            part.weights = compute(table.shape[0], part.embedding_dim, part.padding_idx)  # type: ignore[union-attr]


def _tell_ends(model: Any) -> None:
    """Write down how BLIP's texts begin and end: its `generate` has its decoder generate with other tokens than the
    generation config says."""
    decoder = getattr(model, "text_decoder", None)
    if decoder is None or not hasattr(decoder, "generation_config"):
        return
    config, defaults = model.config.text_config, model.generation_config
    defaults.update(
        bos_token_id=config.bos_token_id,
        decoder_start_token_id=config.bos_token_id,
        eos_token_id=config.sep_token_id,
        pad_token_id=config.pad_token_id,
    )
    decoder.generation_config = defaults


def _check_loaded(checkpoint: Checkpoint, task: ExportTask, info: Mapping[str, Any]) -> None:
    if mismatched := sorted(info.get("mismatched_keys") or []):
        name, stored, expected = (*mismatched[0], None, None)[:3]
        raise UnsupportedCheckpoint(
            f"{checkpoint.source}: {len(mismatched)} weights do not fit config.json, first {name}: "
            f"{_shape(stored)} in the file, {_shape(expected)} by the config."
        )
    if errors := info.get("error_msgs"):
        raise UnsupportedCheckpoint(f"{checkpoint.source}: {next(iter(errors))}")
    missing = sorted(info.get("missing_keys") or [])
    # What is written about a picture looks at its states: TrOCR's checkpoints have no pooler of their encoder.
    if task.head is BARE or (task.writes and task.takes == "image"):
        missing = [key for key in missing if not _UNUSED_WITHOUT_HEAD.search(key)]
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} lacks {len(missing)} weights that {task.name} needs ({shown}); "
            "they would be random. Fine-tune it for the task first, or ask for another task."
        )


def _shape(size: Any) -> str:
    return "an unknown shape" if size is None else str(tuple(size))


#: What arguments that are no text are called, of pictures, films and sounds.
_NO_TEXT = re.compile(r"pixel|image|video|vision|audio|speech|input_features|input_values|spectrogram")


#: How transformers names the first input of each kind.
_INPUTS = {"text": {"input_ids"}, "image": {"pixel_values"}, "audio": {"input_features", "input_values"}}


def _check_modality(checkpoint: Checkpoint, task: ExportTask, model: Any) -> None:
    """Refuse what takes more than the task does. A text model of a larger family inherits its `input_modalities`: they
    count only where `forward` takes something else, too; and not every model of pictures says so."""
    parameters = inspect.signature(model.forward).parameters
    modalities = getattr(model, "input_modalities", "text")
    modalities = (modalities,) if isinstance(modalities, str) else tuple(modalities)
    if task.takes == "text":
        suits = modalities == ("text",) or not any(map(_NO_TEXT.search, parameters))
    elif task.takes == "document":
        suits = "bbox" in parameters  # LayoutLMv3's picture may be left out, as transformers' pipeline does
    else:
        taken = {kind for kind, names in _INPUTS.items() if names & set(parameters)}
        wanted = set(task.takes.split(" and "))
        # What a model that writes has written so far is text, whatever it reads.
        suits = taken - ({"text"} - wanted if task.writes else set()) == wanted
    if not suits:
        alone = "" if " " in task.takes else " alone"
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} ({type(model).__name__}) takes {' and '.join(modalities)}, and {task.name} of this "
            f"version {task.takes}{alone}."
        )
