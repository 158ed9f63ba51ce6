"""What is checked: one row for each model whose answers are compared, and for each whose speed is measured.

To add a task or a shape, add a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxpress.format.precisions import PRECISIONS

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class ParityRow:
    """A small trained checkpoint of the repository, asked for a task, in every precision that its gate lets pass."""

    checkpoint: str
    task: str
    precisions: tuple[str, ...] = tuple(PRECISIONS)
    about_s: float = 12.0

    @property
    def name(self) -> str:
        """Of its folders."""
        return f"{self.checkpoint}-{self.task}"

    @property
    def source(self) -> Path:
        return ROOT / "models" / self.checkpoint


PARITY: tuple[ParityRow, ...] = (
    ParityRow("tiny-sentiment", "text-classification"),
    ParityRow("tiny-lm", "text-generation", about_s=25.0),
    ParityRow("tiny-embedder", "sentence-similarity"),
    ParityRow("tiny-translator", "translation", about_s=25.0),
    ParityRow("tiny-ner", "token-classification"),
    ParityRow("tiny-qa", "question-answering"),
    ParityRow("tiny-mlm", "fill-mask"),
    ParityRow("tiny-reranker", "text-ranking"),
    ParityRow("tiny-nli", "zero-shot-classification"),
    ParityRow("tiny-mlm", "feature-extraction"),
    ParityRow("tiny-topics-multilabel", "text-classification"),
    ParityRow("tiny-rating-regression", "text-classification"),
    ParityRow("tiny-digits-vit", "image-classification"),
    ParityRow("tiny-shapes-segmenter", "image-segmentation"),
    ParityRow("tiny-shapes-detector", "object-detection"),
    ParityRow("tiny-shapes-clip", "zero-shot-image-classification"),
    ParityRow("tiny-sounds-ast", "audio-classification"),
    ParityRow("tiny-words-ctc", "automatic-speech-recognition"),
)

#: Tasks whose graphs and gates are those of another row's task, and why they have no row.
COVERED = {
    "document-question-answering": "no trained checkpoint in the repository; the graph of question-answering",
    "visual-question-answering": "no trained checkpoint in the repository; the products of text-classification",
    "image-to-text": "an encoder as image-classification has it, and the decoder and the gate of translation",
    "depth-estimation": "no trained checkpoint in the repository; the products of image-classification",
    "mask-generation": "no trained checkpoint in the repository; products and convolutions of image-segmentation",
    "image-feature-extraction": "the graph of image-classification without its head",
    "image-to-image": "no trained checkpoint in the repository; the products of image-classification",
    "zero-shot-object-detection": "no trained checkpoint here; graphs as of zero-shot-image-classification",
    "zero-shot-audio-classification": "no trained checkpoint here; graphs as of zero-shot-image-classification",
    "text-to-audio": "no trained checkpoint in the repository; graphs of convolutions, compared with PyTorch at export",
    "summarization": "the graphs and the gate of translation",
    "text2text-generation": "the graphs and the gate of translation",
    "multiple-choice": "no trained checkpoint in the repository; the graph is text-classification's with one label",
}


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """A shape with random weights, which are as fast as trained ones.

    `config`: makes transformers' configuration. `precisions`: of ours. `shapes`: (rows, tokens) of what is read; of
    what writes, its prompts. `compiled_shapes`: those that PyTorch compiles for, which takes long. `new_tokens`: of
    what writes; 0: it only reads. `auto_class`: of transformers.
    """

    name: str
    auto_class: str
    config: Callable[[], Any]
    precisions: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    compiled_shapes: tuple[tuple[int, int], ...] = ()
    new_tokens: int = 0
    compile_s: float = 40.0

    @property
    def writes(self) -> bool:
        return self.new_tokens > 0


def _bert() -> Any:
    from transformers import BertConfig

    return BertConfig()


def _minilm() -> Any:
    from transformers import BertConfig

    return BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)


def _qwen2() -> Any:
    from transformers import Qwen2Config

    return Qwen2Config(
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        vocab_size=151_936,
        max_position_embeddings=32_768,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        tie_word_embeddings=True,
    )


_READS = ((1, 16), (1, 128), (8, 128), (32, 128), (16, 512))

SPEED: tuple[SpeedRow, ...] = (
    SpeedRow("BERT-base", "AutoModel", _bert, ("fp32", "fp16"), _READS, ((1, 128), (32, 128))),
    SpeedRow("MiniLM-L6", "AutoModel", _minilm, ("fp32", "fp16"), _READS, ((1, 128),), compile_s=25.0),
    SpeedRow(
        "decoder-0.5B",
        "AutoModelForCausalLM",
        _qwen2,
        ("fp16", "q4f16"),
        ((1, 128), (8, 128), (1, 1024)),
        ((1, 128),),
        new_tokens=64,
        compile_s=60.0,
    ),
)


def _tiny_bert() -> Any:
    from transformers import BertConfig

    sizes: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return BertConfig(intermediate_size=128, vocab_size=500, max_position_embeddings=64, **sizes)


def _tiny_qwen2() -> Any:
    from transformers import Qwen2Config

    sizes: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return Qwen2Config(
        intermediate_size=128, vocab_size=500, max_position_embeddings=64, num_key_value_heads=1, **sizes
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """What one run of the check goes through."""

    parity: tuple[ParityRow, ...] = PARITY
    speed: tuple[SpeedRow, ...] = SPEED
    unavailable: tuple[str, ...] = field(
        default=("ViT-base", "Whisper-base")  # rows are added with the tasks
    )


#: Of a rehearsal: one row of each kind, tiny.
REHEARSAL = Rows(
    parity=(
        ParityRow("tiny-sentiment", "text-classification", ("fp32", "fp16")),
        ParityRow("tiny-lm", "text-generation", ("fp32", "q4f16")),
    ),
    speed=(
        SpeedRow("tiny encoder", "AutoModel", _tiny_bert, ("fp32", "fp16"), ((1, 8), (2, 16)), ((1, 8),)),
        SpeedRow(
            "tiny decoder",
            "AutoModelForCausalLM",
            _tiny_qwen2,
            ("fp16", "q4f16"),
            ((1, 8), (2, 8)),
            ((1, 8),),
            new_tokens=4,
        ),
    ),
)
