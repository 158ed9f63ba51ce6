"""Task names, and which of them an architecture's head can serve.

Names and synonyms are the Hub's, through optimum; knows class names only: loads no file and no weight.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from onnxpress.errors import UnknownTask
from onnxpress_exporter.errors import UnsupportedCheckpoint


@dataclass(frozen=True, slots=True)
class Head:
    """What sits on the encoder: the auto class that loads it and the tasks it serves, default first."""

    suffixes: tuple[str, ...]
    auto_class: str
    tasks: tuple[str, ...]


BARE = Head((), "AutoModel", ("feature-extraction", "sentence-similarity"))
#: What continues a text, and what reads one and writes another. transformers' tables tell which classes these are.
CAUSAL = Head((), "AutoModelForCausalLM", ("text-generation",))
SEQ2SEQ = Head((), "AutoModelForSeq2SeqLM", ("text2text-generation", "summarization", "translation"))
HEADS: tuple[Head, ...] = (
    Head(
        ("ForSequenceClassification",),
        "AutoModelForSequenceClassification",
        ("text-classification", "zero-shot-classification", "text-ranking"),
    ),
    Head(
        ("ForTokenClassification",),
        "AutoModelForTokenClassification",
        ("token-classification",),
    ),
    Head(
        ("ForQuestionAnswering", "ForQuestionAnsweringSimple"),
        "AutoModelForQuestionAnswering",
        ("question-answering",),
    ),
    Head(
        ("ForMaskedLM", "ForPreTraining"),
        "AutoModelForMaskedLM",
        ("fill-mask",),
    ),
    CAUSAL,
    SEQ2SEQ,
    BARE,
)

#: Tasks whose answers are text that the model writes.
GENERATION: tuple[str, ...] = (*CAUSAL.tasks, *SEQ2SEQ.tasks)

#: model_type -> what its checkpoints were made for, where its class serves several tasks.
USUAL_TASKS: Mapping[str, str] = {
    **dict.fromkeys(("marian", "m2m_100", "mbart", "fsmt", "nllb-moe"), "translation"),
    **dict.fromkeys(("pegasus", "pegasus_x", "bigbird_pegasus"), "summarization"),
}

TASKS: tuple[str, ...] = tuple(task for head in HEADS for task in head.tasks)

# What people type, beside optimum's synonyms; the Hub's name on the right.
_ALIASES: Mapping[str, str] = {
    "sentiment-analysis": "text-classification",
    "ner": "token-classification",
    "embedding": "sentence-similarity",
    "embeddings": "sentence-similarity",
    "sentence-embedding": "sentence-similarity",
    "rerank": "text-ranking",
    "reranking": "text-ranking",
    "cross-encoder": "text-ranking",
    "qa": "question-answering",
    "vqa": "visual-question-answering",
    "summarization": "summarization",
    "translation": "translation",
}

# Encoder-decoder families whose encoder alone makes sentence embeddings.
_ENCODERS: Mapping[str, str] = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
}


def _tasks_manager() -> Any:
    from optimum.exporters.tasks import TasksManager

    return TasksManager


@cache
def _hub_tasks() -> frozenset[str]:
    return frozenset(_tasks_manager().get_all_tasks()) | {"summarization", "translation"}


def normalize_task(task: str) -> str:
    """The Hub's name of `task`, given that name, a pipeline alias or one of optimum's synonyms.

    Raises UnknownTask if nothing has that name, and UnsupportedCheckpoint if it is a task of the
    Hub that this version cannot export.
    """
    name = task.strip().lower().replace("_", "-")
    name = "translation" if name.startswith("translation-") and "-to-" in name else _ALIASES.get(name, name)
    if name in TASKS:
        return name
    name = name if name in _ALIASES.values() else _tasks_manager().map_from_synonym(name)
    if name in TASKS:
        return name
    known = ", ".join(TASKS)
    if name in _hub_tasks():
        raise UnsupportedCheckpoint(f"This version does not export {name} yet. Tasks it exports: {known}.")
    close = difflib.get_close_matches(name, [*TASKS, *_ALIASES], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UnknownTask(f"There is no task {task!r}.{hint} Tasks: {known}.")


@cache
def _task_of_class(class_name: str) -> str | None:
    """The Hub's task that transformers' auto classes give `class_name`, if any."""
    import transformers.models.auto.modeling_auto as auto

    # BART's class is among those that fill masks, too: it is made for writing.
    if class_name in _class_names(auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES):
        return SEQ2SEQ.tasks[0]
    manager = _tasks_manager()
    known = [*(head.tasks[0] for head in HEADS if head is not BARE), *sorted(manager.get_all_tasks())]
    for task in [*dict.fromkeys(known)]:
        if task in BARE.tasks:
            continue
        try:
            loader = manager.get_model_class_for_task(task)
        except (KeyError, ValueError, AttributeError):
            continue
        if loader.__name__ == "AutoModel":  # what optimum gives tasks without an auto class; it has every bare model
            continue
        mapping = getattr(loader, "_model_mapping", None)
        if mapping is not None and class_name in _class_names(mapping._model_mapping):
            return str(task)
    if class_name in _class_names(auto.MODEL_MAPPING_NAMES):
        return "feature-extraction"
    return None


def _class_names(mapping: Mapping[str, Any]) -> set[str]:
    names: set[str] = set()
    for value in mapping.values():
        names.update((value,) if isinstance(value, str) else value)
    return names


def head_of(architecture: str | None) -> Head:
    """The head of `architecture`, a class name as in config.json; None means a bare encoder.

    Raises UnsupportedCheckpoint, naming the task, if this version cannot export such a head.
    """
    if architecture is None:
        return BARE
    for head in HEADS:
        if architecture.endswith(head.suffixes) and head.suffixes:
            return _pretraining_head(architecture) if "ForPreTraining" in architecture else head
    task = _task_of_class(architecture)
    for head in HEADS:
        if task in head.tasks:
            return head
    if architecture in _ENCODERS.values() or (task is None and architecture.endswith("Model")):
        return BARE
    what = f"an architecture for {task}" if task else "an unknown kind of architecture"
    raise UnsupportedCheckpoint(
        f"{architecture} is {what}, which this version does not export yet. Tasks it exports: {', '.join(TASKS)}."
    )


def _pretraining_head(architecture: str) -> Head:
    """BERT's pretraining head contains a masked-LM head; ELECTRA's or Funnel's tells real from fake."""
    masked = architecture.replace("ForPreTraining", "ForMaskedLM")
    discriminators = ("Electra", "Funnel")
    if masked.startswith(discriminators) or _task_of_class(masked) is None:
        return BARE
    return next(head for head in HEADS if "ForPreTraining" in head.suffixes)


def auto_class(task: str, model_type: str) -> str:
    """Name of the transformers class that loads `task` for `model_type`."""
    head = next(head for head in HEADS if task in head.tasks)
    if head is BARE and model_type in _ENCODERS:
        return _ENCODERS[model_type]
    return head.auto_class
