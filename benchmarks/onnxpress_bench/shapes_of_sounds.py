"""Checkpoints of named shapes with random weights that hear letters, each with the feature extractor of its kind.

As in `shapes`: each function gives `folder`, and makes it if it is absent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onnxpress_bench.shapes import ModelSpec, checkpoint

#: As of facebook/wav2vec2-base-960h: letters in the order of how often English has them.
_TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")


@checkpoint
def wav2vec2_checkpoint(folder: Path) -> ModelSpec:
    """A Wav2Vec2 with a CTC head, of the shape of wav2vec2-base."""
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(_TOKENS)}), encoding="utf-8")
    tokenizer: Any = Wav2Vec2CTCTokenizer
    tokenizer(str(vocabulary)).save_pretrained(folder)
    extractor: Any = Wav2Vec2FeatureExtractor
    extractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
    return ModelSpec("Wav2Vec2ForCTC", Wav2Vec2Config(vocab_size=len(_TOKENS), pad_token_id=0), factor=1.0)
