"""The table of tasks: what a task of the runtime is stands in its row, and nowhere else.

A new task is one file beside this one and one row. Its module is imported when it is asked for, so that
`import onnxpress` stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onnxpress.errors import UnknownTask
from onnxpress.pipelines.payload import Payload
from onnxpress.pipelines.suitable import (
    lacks_entailment,
    lacks_one_score,
    lacks_pair_scores,
    lacks_states,
    says_how_to_pool,
    says_how_to_score,
)
from onnxpress.pipelines.task import Evidence, Task
from onnxpress.suggestions import did_you_mean

if TYPE_CHECKING:
    from onnxpress.format.manifest import Manifest
    from onnxpress.pipelines.base import Pipeline

#: The task of a model that answers messages.
CHAT = "text-generation"

#: What the Hub's clients call the settings of generation.
_OF_GENERATION = {"generate_parameters": "generate_kwargs"}

#: How many tokens a probe of a model that writes asks for.
_FEW = {"max_new_tokens": 2}

_REWRITES = Payload(synonyms=_OF_GENERATION)
_REWRITING = "onnxpress.pipelines.rewriting:Rewriting"

#: On a command line a path, in a body a data URI.
_PICTURES = Payload(synonyms={"images": "inputs", "image": "inputs"})

_SOUNDS = Payload(synonyms={"audios": "inputs", "audio": "inputs"})

#: A grey picture of 8x8 pixels.
_PICTURE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR42mNogAIGyhgAgIQgARDoahcAAAAASUVORK5CYII="
)

#: Half a second of a tone.
_SOUND = {"inputs": {"array": [0.0, 0.5, 0.0, -0.5] * 2_000, "sampling_rate": 16_000}}

_ROWS = (
    Task(
        name="audio-classification",
        pipeline="onnxpress.pipelines.audio_classification:AudioClassification",
        probe=_SOUND,
    ),
    Task(
        name="automatic-speech-recognition",
        pipeline="onnxpress.pipelines.automatic_speech_recognition:AutomaticSpeechRecognition",
        reading="onnxpress.pipelines.ctc_recognition:CtcRecognition",
        aliases=("asr",),
        payload=Payload(synonyms={"audio": "inputs", **_OF_GENERATION}),
        probe=_SOUND,
    ),
    Task(
        name="depth-estimation",
        pipeline="onnxpress.pipelines.depth_estimation:DepthEstimation",
        payload=_PICTURES,
        probe=_PICTURE,
        evidence=Evidence(frozenset({"depths"})),
    ),
    Task(
        name="document-question-answering",
        pipeline="onnxpress.pipelines.document_question_answering:DocumentQuestionAnswering",
        aliases=("docvqa",),
        writing=("onnxpress.pipelines.written_answers:WrittenAnswers", _FEW),
        payload=Payload(fields=("question",), optional=("image", "word_boxes"), text="question", alone=False),
        probe={
            "question": "Who?",
            "image": _PICTURE,
            "word_boxes": [["Ada", [0, 0, 100, 20]], ["Rome", [120, 0, 200, 20]]],
        },
    ),
    Task(
        name="feature-extraction",
        pipeline="onnxpress.pipelines.feature_extraction:FeatureExtraction",
        hearing=("onnxpress.pipelines.audio_features:AudioFeatureExtraction", _SOUND),
        refuses=lacks_states,
        evidence=Evidence(frozenset({"states", "vector"})),
    ),
    Task(
        name="fill-mask",
        pipeline="onnxpress.pipelines.fill_mask:FillMask",
        aliases=("masked-lm",),
        probe="Ada lives in {mask}.",
        evidence=Evidence(frozenset({"words"})),
    ),
    Task(
        name="image-classification",
        pipeline="onnxpress.pipelines.image_classification:ImageClassification",
        payload=_PICTURES,
        probe=_PICTURE,
        evidence=Evidence(frozenset({"picture classes"}), needs=("labels",)),
    ),
    Task(
        name="image-feature-extraction",
        pipeline="onnxpress.pipelines.image_feature_extraction:ImageFeatureExtraction",
        payload=_PICTURES,
        probe=_PICTURE,
        evidence=Evidence(frozenset({"picture states"})),
    ),
    Task(
        name="image-to-text",
        pipeline="onnxpress.pipelines.image_to_text:ImageToText",
        payload=Payload(synonyms={**_PICTURES.synonyms, **_OF_GENERATION}),
        probe=_PICTURE,
        probe_options=_FEW,
        evidence=Evidence(frozenset({"described picture"})),
    ),
    Task(
        name="image-segmentation",
        pipeline="onnxpress.pipelines.image_segmentation:ImageSegmentation",
        payload=_PICTURES,
        probe=_PICTURE,
        evidence=Evidence(frozenset({"segments"})),
    ),
    Task(
        name="mask-generation",
        pipeline="onnxpress.pipelines.mask_generation:MaskGeneration",
        payload=_PICTURES,
        probe=_PICTURE,
        probe_options={"points_per_crop": 2},
    ),
    Task(
        name="image-to-image",
        pipeline="onnxpress.pipelines.image_to_image:ImageToImage",
        payload=_PICTURES,
        probe=_PICTURE,
        evidence=Evidence(frozenset({"picture"})),
    ),
    Task(
        name="multiple-choice",
        pipeline="onnxpress.pipelines.multiple_choice:MultipleChoice",
        payload=Payload(fields=("prompt", "choices"), text="choices", alone=False, together=True),
        probe={"prompt": "Ada lives in", "choices": ["Rome.", "a word."]},
        evidence=Evidence(frozenset({"classes"}), ("ForMultipleChoice",)),
    ),
    Task(
        name="object-detection",
        pipeline="onnxpress.pipelines.object_detection:ObjectDetection",
        payload=_PICTURES,
        probe=_PICTURE,
        evidence=Evidence(frozenset({"boxes"})),
    ),
    Task(
        name="question-answering",
        pipeline="onnxpress.pipelines.question_answering:QuestionAnswering",
        payload=Payload(fields=("question", "context"), text="question", alone=False),
        probe={"question": "Who?", "context": "Ada lives in Rome."},
        evidence=Evidence(frozenset({"spans"})),
    ),
    Task(
        # The reverse does not hold: how vectors are pooled is not known of an artifact for feature-extraction.
        name="sentence-similarity",
        pipeline="onnxpress.pipelines.sentence_similarity:SentenceSimilarity",
        aliases=("embeddings",),
        serves=("feature-extraction",),
        payload=Payload(fields=("source_sentence", "sentences"), text="sentences", together=True),
        evidence=Evidence(frozenset({"states", "vector"}), shown=says_how_to_pool, needs=("pooling",)),
    ),
    Task(
        name="summarization",
        pipeline=_REWRITING,
        serves=("text2text-generation", "translation"),
        payload=_REWRITES,
        probe_options=_FEW,
        settings={"result": "summary"},
    ),
    Task(
        name="text-classification",
        pipeline="onnxpress.pipelines.text_classification:TextClassification",
        aliases=("sentiment-analysis",),
        serves=("zero-shot-classification", "text-ranking"),
        payload=Payload(fields=("text",), optional=("text_pair",), text="text"),
        evidence=Evidence(frozenset({"classes"}), ("ForSequenceClassification",), needs=("labels",)),
    ),
    Task(
        name=CHAT,
        pipeline="onnxpress.pipelines.text_generation:TextGeneration",
        payload=Payload(chats=True, synonyms={"messages": "inputs"}),
        probe_options=_FEW,
        evidence=Evidence(frozenset({"text"})),
    ),
    Task(
        name="text-ranking",
        pipeline="onnxpress.pipelines.text_ranking:TextRanking",
        aliases=("reranking",),
        refuses=lacks_one_score,
        serves=("text-classification", "zero-shot-classification"),
        payload=Payload(
            fields=("query", "documents"),
            text="documents",
            alone=False,
            together=True,
            synonyms={"texts": "documents"},
        ),
        probe={"query": "Rome", "documents": ["Ada lives in Rome.", "A word."]},
        evidence=Evidence(frozenset({"classes"}), ("ForSequenceClassification",), shown=says_how_to_score),
    ),
    Task(
        name="text2text-generation",
        pipeline=_REWRITING,
        serves=("summarization", "translation"),
        payload=_REWRITES,
        probe_options=_FEW,
        settings={"result": "generated"},
        evidence=Evidence(frozenset({"rewritten text"}), ("ForConditionalGeneration",)),
    ),
    Task(
        name="text-to-audio",
        pipeline="onnxpress.pipelines.text_to_audio:TextToAudio",
        aliases=("text-to-speech",),
        payload=Payload(synonyms={"text_inputs": "inputs"}),
    ),
    Task(
        name="token-classification",
        pipeline="onnxpress.pipelines.token_classification:TokenClassification",
        aliases=("ner",),
        evidence=Evidence(frozenset({"token classes"}), needs=("labels",)),
    ),
    Task(
        name="translation",
        pipeline=_REWRITING,
        aliases=("translation_XX_to_YY",),
        serves=("text2text-generation", "summarization"),
        payload=_REWRITES,
        probe_options={**_FEW, "src_lang": None, "tgt_lang": None},
        settings={"result": "translation", "languages": True},
        alias_option="task_languages",
        evidence=Evidence(frozenset({"rewritten text"}), ("MarianMTModel",)),
    ),
    Task(
        name="visual-question-answering",
        pipeline="onnxpress.pipelines.visual_question_answering:VisualQuestionAnswering",
        writing=("onnxpress.pipelines.written_answers:WrittenAnswers", _FEW),
        aliases=("vqa",),
        payload=Payload(fields=("image", "question"), text="question", alone=False),
        probe={"image": _PICTURE, "question": "Who?"},
    ),
    Task(
        name="zero-shot-audio-classification",
        pipeline="onnxpress.pipelines.zero_shot_audio_classification:ZeroShotAudioClassification",
        refuses=lacks_pair_scores,
        payload=_SOUNDS,
        probe=_SOUND,
        probe_options={"candidate_labels": ["place", "word"]},
    ),
    Task(
        name="zero-shot-classification",
        pipeline="onnxpress.pipelines.zero_shot_classification:ZeroShotClassification",
        serves=("text-classification", "text-ranking"),
        refuses=lacks_entailment,
        payload=Payload(synonyms={"sequences": "inputs"}),
        probe_options={"candidate_labels": ["place", "word"]},
    ),
    Task(
        name="zero-shot-object-detection",
        pipeline="onnxpress.pipelines.zero_shot_object_detection:ZeroShotObjectDetection",
        refuses=lacks_pair_scores,
        payload=Payload(fields=("image", "candidate_labels"), text="image", synonyms={"images": "inputs"}),
        probe={"image": _PICTURE, "candidate_labels": ["place", "word"]},
    ),
    Task(
        name="zero-shot-image-classification",
        pipeline="onnxpress.pipelines.zero_shot_image_classification:ZeroShotImageClassification",
        refuses=lacks_pair_scores,
        payload=_PICTURES,
        probe=_PICTURE,
        probe_options={"candidate_labels": ["place", "word"]},
        evidence=Evidence(frozenset({"vectors of both"}), needs=("scale",)),
    ),
)

TASKS: Mapping[str, Task] = {row.name: row for row in _ROWS}


def find_task(name: str) -> tuple[Task, dict[str, Any]]:
    """The row of a task by the Hub's name or an alias, and the options that the alias brings.

    Raises:
        UnknownTask: there is no such task; the message lists those there are.
    """
    if not isinstance(name, str):
        raise UnknownTask(f"task is {name!r:.60}; it must be a name, such as 'ner', or None for the artifact's own.")
    for row in TASKS.values():
        if (options := row.options_of(name)) is not None:
            return row, options
    aliases = sorted(alias for row in TASKS.values() for alias in row.aliases)
    hint = did_you_mean(name, [*TASKS, *aliases])
    raise UnknownTask(f"Unknown task {name!r}.{hint} Tasks: {', '.join(TASKS)}. Aliases: {', '.join(aliases)}.")


def served_tasks(manifest: Manifest) -> tuple[str, ...]:
    """The tasks that an artifact serves, its own first: those that run on its graphs and suit its model."""
    row, _ = find_task(manifest.task)
    return (row.name, *(name for name in row.serves if TASKS[name].refuses(manifest) is None))


def task_class(name: str) -> type[Pipeline[Any, Any]]:
    """The class that serves a task, by the Hub's name or an alias.

    Raises:
        UnknownTask: there is no such task.
    """
    return find_task(name)[0].load()
