"""The table of tasks, their aliases, and `pipeline()`, which opens an artifact as one of them.

A new task is one file beside this one and one row in TASKS. Task modules are imported when they are asked for, so
that `import onnxpress` stays quick.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress.engine.choice import choose
from onnxpress.engine.session import Session, import_onnxruntime, parse_device, require_device
from onnxpress.errors import ArtifactError, UnknownTask
from onnxpress.format.artifact import Artifact
from onnxpress.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from onnxpress.pipelines.base import TextPipeline

#: The Hub's task name -> module and class.
TASKS: Mapping[str, tuple[str, str]] = {
    "feature-extraction": ("feature_extraction", "FeatureExtraction"),
    "fill-mask": ("fill_mask", "FillMask"),
    "question-answering": ("question_answering", "QuestionAnswering"),
    "sentence-similarity": ("sentence_similarity", "SentenceSimilarity"),
    "summarization": ("summarization", "Summarization"),
    "text-classification": ("text_classification", "TextClassification"),
    "text-generation": ("text_generation", "TextGeneration"),
    "text-ranking": ("text_ranking", "TextRanking"),
    "text2text-generation": ("text2text_generation", "Text2TextGeneration"),
    "token-classification": ("token_classification", "TokenClassification"),
    "translation": ("translation", "Translation"),
    "zero-shot-classification": ("zero_shot_classification", "ZeroShotClassification"),
}

ALIASES: Mapping[str, str] = {
    "embeddings": "sentence-similarity",
    "masked-lm": "fill-mask",
    "ner": "token-classification",
    "reranking": "text-ranking",
    "sentiment-analysis": "text-classification",
}

#: task an artifact was exported for -> other tasks that the same graph can serve.
ALSO_SERVES: Mapping[str, tuple[str, ...]] = {
    "sentence-similarity": ("feature-extraction",),
    "summarization": ("text2text-generation", "translation"),
    "text-classification": ("zero-shot-classification", "text-ranking"),
    "text-ranking": ("text-classification",),
    "text2text-generation": ("summarization", "translation"),
    "translation": ("text2text-generation", "summarization"),
    "zero-shot-classification": ("text-classification",),
}


#: The languages are part of transformers' name of the task.
_TRANSLATION = re.compile(r"translation_(.+)_to_(.+)")


def canonical_task(task: str) -> str:
    """The Hub's name of a task or alias.

    Raises:
        UnknownTask: there is no such task; the message lists those there are.
    """
    name = "translation" if _TRANSLATION.fullmatch(task) else ALIASES.get(task, task)
    if name not in TASKS:
        raise UnknownTask(f"Unknown task {task!r}. Tasks: {', '.join(TASKS)}. Aliases: {', '.join(ALIASES)}.")
    return name


def task_class(task: str) -> type[TextPipeline[Any]]:
    """The class that serves a task, by the Hub's name or an alias.

    Raises:
        UnknownTask: there is no such task.
    """
    module, class_name = TASKS[canonical_task(task)]
    found: type[TextPipeline[Any]] = getattr(import_module(f"onnxpress.pipelines.{module}"), class_name)
    return found


def pipeline(
    task: str | None = None,
    model: str | Path | Artifact | None = None,
    *,
    precision: str | None = None,
    device: object = None,
    revision: str | None = None,
    threads: int | None = None,
    **options: Any,
) -> TextPipeline[Any]:
    """Open an artifact as a callable for its task; a drop-in for `transformers.pipeline`.

    Args:
        task: the Hub's name or an alias ("ner"); None: the task that the artifact was exported for.
        model: an artifact's folder, a Hub id, or an `Artifact`.
        precision: the variant to run ("fp32", "int8", ...); None: the fastest one that suits the machine. `choice` of
            the pipeline tells which and why.
        device: None or "cpu", "cuda", "cuda:1"; -1 and GPU numbers as in transformers.
        revision: branch, tag or commit on the Hub.
        threads: threads of one forward pass; None: the cores that this process may use.
        options: defaults for the arguments of the call, such as `top_k=None` or `aggregation_strategy="simple"`.

    Raises:
        UnknownTask: no such task, or not one that this artifact can serve.
        ArtifactError: the artifact is missing, damaged or from a newer version.
        InputError: an option that the task does not have.
        DeviceUnavailable: the device is not here.
        MissingDependency: ONNX Runtime or another optional package is not installed.
    """
    if model is None:
        if task is not None and (Path(task).is_dir() or "/" in task):
            raise UnknownTask(f"{task!r} is not a task. Did you mean pipeline(model={task!r})?")
        raise UnknownTask("pipeline() needs a model: pipeline(model=FOLDER_OR_HUB_ID).")
    wanted = None if task is None else canonical_task(task)
    if task is not None and (pair := _TRANSLATION.fullmatch(task)):
        options = {"task_languages": pair.groups(), **options}
    place = parse_device(device)
    artifact = (
        model
        if isinstance(model, Artifact)
        else Artifact.open(model, revision=revision, precision=precision, device=place)
    )
    name = _served_task(artifact, wanted)
    if place != "cpu":
        require_device(place)
    choice = choose(artifact.manifest, precision, place)
    settings = artifact.manifest.tokenizer
    if settings is None:
        raise ArtifactError(f"{artifact.folder}: no tokenizer, so {name} cannot run. Export again.")
    from concurrent.futures import ThreadPoolExecutor

    # Hashing the weights and opening the graphs need no interpreter, importing and the tokenizer do: side by side.
    with ThreadPoolExecutor(max_workers=1) as beside:
        graphs = beside.submit(artifact.graphs, choice.precision)
        make = task_class(name)
        import_onnxruntime()
        session = Session(graphs.result(), device=place, threads=threads)
        opened = beside.submit(session.warm)
        tokenizer = Tokenizer(artifact.file(settings.file), settings)
        opened.result()
    pipe = make(artifact, session, tokenizer, choice.precision, options)
    pipe.choice = choice
    return pipe


def _served_task(artifact: Artifact, wanted: str | None) -> str:
    own = artifact.manifest.task
    if wanted is None or wanted == own:
        return canonical_task(own)
    if wanted in ALSO_SERVES.get(own, ()):
        return wanted
    offered = ", ".join((own, *ALSO_SERVES.get(own, ())))
    raise UnknownTask(
        f"{artifact.folder} was exported for {own} and serves: {offered}; not {wanted}. Export the checkpoint again "
        f"with --task {wanted}."
    )
