"""What a task is to the exporter: one row, at the end of one file.

A new task is one file beside this one and its row in ROWS. Nothing else here is keyed by a task's name.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.tasks.audio_classification import AUDIO_CLASSIFICATION
from onnxpress_exporter.tasks.automatic_speech_recognition import AUTOMATIC_SPEECH_RECOGNITION
from onnxpress_exporter.tasks.depth_estimation import DEPTH_ESTIMATION
from onnxpress_exporter.tasks.document_question_answering import DOCUMENT_QUESTION_ANSWERING
from onnxpress_exporter.tasks.feature_extraction import FEATURE_EXTRACTION
from onnxpress_exporter.tasks.fill_mask import FILL_MASK
from onnxpress_exporter.tasks.image_classification import IMAGE_CLASSIFICATION
from onnxpress_exporter.tasks.image_feature_extraction import IMAGE_FEATURE_EXTRACTION
from onnxpress_exporter.tasks.image_segmentation import IMAGE_SEGMENTATION
from onnxpress_exporter.tasks.image_to_image import IMAGE_TO_IMAGE
from onnxpress_exporter.tasks.image_to_text import IMAGE_TO_TEXT
from onnxpress_exporter.tasks.mask_generation import MASK_GENERATION
from onnxpress_exporter.tasks.multiple_choice import MULTIPLE_CHOICE
from onnxpress_exporter.tasks.object_detection import OBJECT_DETECTION
from onnxpress_exporter.tasks.question_answering import QUESTION_ANSWERING
from onnxpress_exporter.tasks.rewriting import SUMMARIZATION, TEXT2TEXT_GENERATION, TRANSLATION
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.tasks.sentence_similarity import SENTENCE_SIMILARITY
from onnxpress_exporter.tasks.text_classification import TEXT_CLASSIFICATION
from onnxpress_exporter.tasks.text_generation import TEXT_GENERATION
from onnxpress_exporter.tasks.text_ranking import TEXT_RANKING
from onnxpress_exporter.tasks.text_to_audio import TEXT_TO_AUDIO
from onnxpress_exporter.tasks.token_classification import TOKEN_CLASSIFICATION
from onnxpress_exporter.tasks.visual_question_answering import VISUAL_QUESTION_ANSWERING
from onnxpress_exporter.tasks.zero_shot_audio_classification import ZERO_SHOT_AUDIO_CLASSIFICATION
from onnxpress_exporter.tasks.zero_shot_classification import ZERO_SHOT_CLASSIFICATION
from onnxpress_exporter.tasks.zero_shot_image_classification import ZERO_SHOT_IMAGE_CLASSIFICATION
from onnxpress_exporter.tasks.zero_shot_object_detection import ZERO_SHOT_OBJECT_DETECTION

#: Where transformers' tables give a class to several heads, the first of these has it: BART's, which fills masks too,
#: is made for rewriting; ViLT's and LayoutLM's names end as those of
#: question-answering do. Of the tasks of one head, the first is the
#: usual one.
ROWS: tuple[ExportTask, ...] = (
    TEXT2TEXT_GENERATION,
    SUMMARIZATION,
    TRANSLATION,
    TEXT_CLASSIFICATION,
    ZERO_SHOT_CLASSIFICATION,
    TEXT_RANKING,
    TOKEN_CLASSIFICATION,
    VISUAL_QUESTION_ANSWERING,
    IMAGE_TO_TEXT,
    DOCUMENT_QUESTION_ANSWERING,
    QUESTION_ANSWERING,
    MULTIPLE_CHOICE,
    FILL_MASK,
    TEXT_GENERATION,
    FEATURE_EXTRACTION,
    SENTENCE_SIMILARITY,
    AUDIO_CLASSIFICATION,
    AUTOMATIC_SPEECH_RECOGNITION,
    ZERO_SHOT_AUDIO_CLASSIFICATION,
    TEXT_TO_AUDIO,
    IMAGE_CLASSIFICATION,
    ZERO_SHOT_OBJECT_DETECTION,
    MASK_GENERATION,
    IMAGE_FEATURE_EXTRACTION,
    OBJECT_DETECTION,
    IMAGE_SEGMENTATION,
    DEPTH_ESTIMATION,
    IMAGE_TO_IMAGE,
    ZERO_SHOT_IMAGE_CLASSIFICATION,
)

#: The Hub's name -> row.
TASKS: Mapping[str, ExportTask] = {row.name: row for row in ROWS}

#: Rows, and those of their tasks for models with other heads.
KINDS: tuple[ExportTask, ...] = tuple(kind for row in ROWS for kind in (row, *row.kinds))


def row_of(manifest: Manifest) -> ExportTask:
    """The row of an artifact's task for models as its own: that write text or do not, that take sounds or do not."""
    row, writes, hears = TASKS[manifest.task], manifest.generation is not None, manifest.processors.audio is not None
    kinds = (row, *row.kinds)
    return next((kind for kind in kinds if kind.writes is writes and ("audio" in kind.takes) is hears), row)
