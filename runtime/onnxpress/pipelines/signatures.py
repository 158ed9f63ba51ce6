"""The types of `pipeline(...)` for type checkers: a task's name gives its class. Never imported at run time.

Options of the factory may change the shape of results, as `top_k=None` does; with any, the type is not told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol, overload

from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.audio_classification import AudioClassification
from onnxpress.pipelines.automatic_speech_recognition import AutomaticSpeechRecognition
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.depth_estimation import DepthEstimation
from onnxpress.pipelines.document_question_answering import DocumentQuestionAnswering
from onnxpress.pipelines.feature_extraction import FeatureExtraction
from onnxpress.pipelines.fill_mask import FillMask
from onnxpress.pipelines.graph_model import GraphModel
from onnxpress.pipelines.image_classification import ImageClassification
from onnxpress.pipelines.image_feature_extraction import ImageFeatureExtraction
from onnxpress.pipelines.image_segmentation import ImageSegmentation
from onnxpress.pipelines.image_to_image import ImageToImage
from onnxpress.pipelines.image_to_text import ImageToText
from onnxpress.pipelines.mask_generation import MaskGeneration
from onnxpress.pipelines.multiple_choice import MultipleChoice
from onnxpress.pipelines.object_detection import ObjectDetection
from onnxpress.pipelines.question_answering import QuestionAnswering
from onnxpress.pipelines.rewriting import Rewriting
from onnxpress.pipelines.sentence_similarity import SentenceSimilarity
from onnxpress.pipelines.text_classification import TextClassification
from onnxpress.pipelines.text_generation import TextGeneration
from onnxpress.pipelines.text_ranking import TextRanking
from onnxpress.pipelines.text_to_audio import TextToAudio
from onnxpress.pipelines.token_classification import TokenClassification
from onnxpress.pipelines.visual_question_answering import VisualQuestionAnswering
from onnxpress.pipelines.zero_shot_audio_classification import ZeroShotAudioClassification
from onnxpress.pipelines.zero_shot_classification import ZeroShotClassification
from onnxpress.pipelines.zero_shot_image_classification import ZeroShotImageClassification
from onnxpress.pipelines.zero_shot_object_detection import ZeroShotObjectDetection

Source = str | Path | Artifact | GraphModel | Pipeline[Any, Any]


class OpensPipelines(Protocol):
    """`onnxpress.pipeline`."""

    @overload
    def __call__(
        self,
        task: Literal["audio-classification"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> AudioClassification: ...

    @overload
    def __call__(
        self,
        task: Literal["automatic-speech-recognition", "asr"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> AutomaticSpeechRecognition: ...

    @overload
    def __call__(
        self,
        task: Literal["image-classification"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ImageClassification: ...

    @overload
    def __call__(
        self,
        task: Literal["image-feature-extraction"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ImageFeatureExtraction: ...

    @overload
    def __call__(
        self,
        task: Literal["object-detection"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ObjectDetection: ...

    @overload
    def __call__(
        self,
        task: Literal["image-segmentation"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ImageSegmentation: ...

    @overload
    def __call__(
        self,
        task: Literal["mask-generation"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> MaskGeneration: ...

    @overload
    def __call__(
        self,
        task: Literal["image-to-image"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ImageToImage: ...

    @overload
    def __call__(
        self,
        task: Literal["depth-estimation"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> DepthEstimation: ...

    @overload
    def __call__(
        self,
        task: Literal["image-to-text"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ImageToText: ...

    @overload
    def __call__(
        self,
        task: Literal["document-question-answering", "docvqa"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> DocumentQuestionAnswering: ...

    @overload
    def __call__(
        self,
        task: Literal["visual-question-answering", "vqa"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> VisualQuestionAnswering: ...

    @overload
    def __call__(
        self,
        task: Literal["text-classification", "sentiment-analysis"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> TextClassification: ...

    @overload
    def __call__(
        self,
        task: Literal["token-classification", "ner"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> TokenClassification: ...

    @overload
    def __call__(
        self,
        task: Literal["question-answering"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> QuestionAnswering: ...

    @overload
    def __call__(
        self,
        task: Literal["fill-mask", "masked-lm"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> FillMask: ...

    @overload
    def __call__(
        self,
        task: Literal["multiple-choice"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> MultipleChoice: ...

    @overload
    def __call__(
        self,
        task: Literal["zero-shot-classification"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ZeroShotClassification: ...

    @overload
    def __call__(
        self,
        task: Literal["zero-shot-image-classification"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ZeroShotImageClassification: ...

    @overload
    def __call__(
        self,
        task: Literal["text-to-audio", "text-to-speech"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> TextToAudio: ...

    @overload
    def __call__(
        self,
        task: Literal["zero-shot-audio-classification"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ZeroShotAudioClassification: ...

    @overload
    def __call__(
        self,
        task: Literal["zero-shot-object-detection"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> ZeroShotObjectDetection: ...

    @overload
    def __call__(
        self,
        task: Literal["feature-extraction"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> FeatureExtraction: ...

    @overload
    def __call__(
        self,
        task: Literal["sentence-similarity", "embeddings"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> SentenceSimilarity: ...

    @overload
    def __call__(
        self,
        task: Literal["text-ranking", "reranking"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> TextRanking: ...

    @overload
    def __call__(
        self,
        task: Literal["text-generation"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> TextGeneration: ...

    @overload
    def __call__(
        self,
        task: Literal["text2text-generation", "summarization", "translation"],
        model: Source,
        *,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> Rewriting: ...

    @overload
    def __call__(
        self,
        task: None = None,
        *,
        model: Source,
        precision: str | None = None,
        device: object = None,
        revision: str | None = None,
        threads: int | None = None,
    ) -> Pipeline[Any, Any]: ...

    @overload
    def __call__(self, task: str | None = None, model: Source | None = None, **options: Any) -> Any: ...


pipeline: OpensPipelines
