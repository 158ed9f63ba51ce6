"""Puts the files beside tokenizer.json by which other libraries open the same tokenizer.

transformers opens some tokenizers (Marian's) of their own files alone, and its versions 4 and 5 read what the other
wrote only in part; fastembed wants lengths and special tokens by its own names. Our runtime reads none of them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.write.tokenizers import UNLIMITED

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SETTINGS, SPECIAL_TOKENS = "tokenizer_config.json", "special_tokens_map.json"

#: What tokenizers of older versions keep beside the files that their class names.
_ADDED = ("added_tokens.json",)
_KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

#: Classes of transformers 5 -> what both versions call them.
_CLASSES = {"TokenizersBackend": "PreTrainedTokenizerFast"}


def copy_tokenizer_files(
    checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, folder: Path, limit: int | None
) -> None:
    """Copy a tokenizer's own files, and write its settings for all that read them, once its tokenizer.json is there.

    Args:
        limit: the most tokens of a row of a model that reads, for those that look for it here alone; None: the
            checkpoint's settings count.
    """
    source = checkpoint.tokenizer_folder
    names = getattr(tokenizer, "vocab_files_names", None) or {}
    for name in sorted({*map(str, names.values()), *_ADDED, SPECIAL_TOKENS} - {SETTINGS}):
        if Path(name).name == name and (source / name).is_file() and not (folder / name).exists():
            shutil.copyfile(source / name, folder / name)
    settings = source / SETTINGS
    known = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    read_by_all = settings_for_all(known, tokenizer.pad_token, limit)
    if settings.is_file() and read_by_all == known:
        shutil.copyfile(settings, folder / SETTINGS)
    elif read_by_all:
        _write(folder / SETTINGS, read_by_all)
    if not (folder / SPECIAL_TOKENS).exists():
        tokens = {f"{kind}_token": getattr(tokenizer, f"{kind}_token") for kind in _KINDS}
        _write(folder / SPECIAL_TOKENS, {kind: str(token) for kind, token in tokens.items() if token is not None})


def settings_for_all(settings: dict[str, Any], pad_token: Any, limit: int | None) -> dict[str, Any]:
    """The content of tokenizer_config.json as versions 4 and 5 of transformers read it to the same end.

    Args:
        pad_token: the tokenizer's, for readers that look for it here.
        limit: the most tokens of a row, if `settings` should tell it; None: leave it as it is.
    """
    settings = dict(settings)
    if isinstance(settings.get("extra_special_tokens"), list):  # version 4 wants names there, and lists them here
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    if (kind := settings.get("tokenizer_class")) in _CLASSES:
        settings["tokenizer_class"] = _CLASSES[kind]
    if limit is not None and not settings.get("model_max_length", UNLIMITED) < UNLIMITED:
        settings["model_max_length"] = limit
    if pad_token is not None:
        settings.setdefault("pad_token", str(pad_token))
    return settings


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
