"""Makes a tokenizer.json of a tokenizer's sources (vocab.txt, vocab.json and merges.txt, sentencepiece models), as
transformers does, without it. One row for each class of tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnxpress.errors import MissingFile
from onnxpress.layouts.files import Files
from onnxpress.layouts.tokenizer_sources import byte_pairs, translators, unigrams, word_pieces
from onnxpress.layouts.tokenizer_sources.parts import Built, Said, Side, UnbuiltTokenizer, refused

__all__ = ["BUILDERS", "Built", "Said", "Side", "UnbuiltTokenizer", "build"]

_CONFIG, _SPECIAL, _ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"

#: Class -> what makes its tokenizer.json of its sources.
BUILDERS: Mapping[str, Callable[[Files, Said], Built]] = {
    **dict.fromkeys(
        (
            *("BertTokenizer", "ElectraTokenizer", "MobileBertTokenizer", "LayoutLMTokenizer"),
            *("SqueezeBertTokenizer", "LxmertTokenizer", "ConvBertTokenizer", "RetriBertTokenizer"),
        ),
        word_pieces.bert,
    ),
    "DistilBertTokenizer": word_pieces.distilbert,
    "MPNetTokenizer": word_pieces.mpnet,
    **dict.fromkeys(("RobertaTokenizer", "BartTokenizer", "LongformerTokenizer", "LEDTokenizer"), byte_pairs.roberta),
    "GPT2Tokenizer": byte_pairs.gpt2,
    "Qwen2Tokenizer": byte_pairs.qwen2,
    "DebertaTokenizer": byte_pairs.deberta,
    "CLIPTokenizer": byte_pairs.clip,
    "XLMRobertaTokenizer": unigrams.xlm_roberta,
    "CamembertTokenizer": unigrams.camembert,
    **dict.fromkeys(("T5Tokenizer", "MT5Tokenizer"), unigrams.t5),
    "AlbertTokenizer": unigrams.albert,
    "XLNetTokenizer": unigrams.xlnet,
    "DebertaV2Tokenizer": unigrams.deberta_v2,
    "MarianTokenizer": translators.marian,
    "M2M100Tokenizer": translators.m2m100,
}

#: model_type -> class, where tokenizer_config.json does not name one.
_CLASSES: Mapping[str, str] = {
    **dict.fromkeys(("bert", "electra", "mobilebert", "layoutlm", "squeezebert", "convbert"), "BertTokenizer"),
    "distilbert": "DistilBertTokenizer",
    "mpnet": "MPNetTokenizer",
    **dict.fromkeys(("roberta", "bart", "longformer", "led"), "RobertaTokenizer"),
    **dict.fromkeys(("gpt2", "gpt_neo", "opt"), "GPT2Tokenizer"),
    "qwen2": "Qwen2Tokenizer",
    "deberta": "DebertaTokenizer",
    **dict.fromkeys(("clip", "clip_text_model"), "CLIPTokenizer"),
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    **dict.fromkeys(("t5", "mt5"), "T5Tokenizer"),
    "albert": "AlbertTokenizer",
    "xlnet": "XLNetTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "marian": "MarianTokenizer",
    "m2m_100": "M2M100Tokenizer",
}


def build(files: Files, config: Mapping[str, Any], sources: list[str]) -> Built:
    """The tokenizer of a folder that has sources of one and no tokenizer.json.

    Args:
        config: config.json, whose model_type tells the class where tokenizer_config.json does not.
        sources: the source files that there are.

    Raises:
        UnsupportedFormat: it is of a class that cannot be made here; the message says where it can.
        CorruptFile: a file is not what it should be.
    """
    settings = files.settings(_CONFIG)
    said = Said.of(settings, files.settings(_SPECIAL), files.settings(_ADDED), str(files.folder))
    named = str(settings.get("tokenizer_class") or "").removesuffix("Fast")
    model_type = str(config.get("model_type", ""))
    kind = named or _CLASSES.get(model_type, "")
    if not kind and sources == [word_pieces.VOCABULARY]:
        kind = "BertTokenizer"
    builder = BUILDERS.get(kind)
    if builder is None:
        what = (
            f"{kind} is a class that is not known here"
            if kind
            else f"nothing tells its class (model_type {model_type!r})"
        )
        raise refused(str(files.folder), f"of {', '.join(sources)}, {what}")
    try:
        return builder(files, said)
    except MissingFile as error:
        raise refused(str(files.folder), f"{kind} needs more than {', '.join(sources)} ({error})") from None
