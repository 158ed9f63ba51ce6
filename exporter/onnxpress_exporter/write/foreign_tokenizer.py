"""The tokenizer.json of another tool's folder whose tokenizer transformers can build, and the runtime cannot."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from pathlib import Path

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.source.checkpoint import first_line
from onnxpress_exporter.write.tokenizer_conversion import convert
from onnxpress_exporter.write.tokenizers import tokenizer_settings, write_tokenizer

_CONFIG = "tokenizer_config.json"


def write_foreign_tokenizer(folder: Path) -> Path:
    """A folder of this process with the tokenizer.json of `folder`'s tokenizer, proved id for id, and its settings.

    Raises:
        UnsupportedCheckpoint: transformers cannot load it, or no tokenizer.json can say all of it.
    """
    from transformers import AutoTokenizer

    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:
            raise UnsupportedCheckpoint(
                f"{folder}: transformers cannot load its tokenizer, either: {first_line(error)}"
            ) from error
        conversion = convert(tokenizer)
        if conversion is not None and (conversion.source.segmentation is not None or conversion.target is not None):
            raise UnsupportedCheckpoint(
                f"{folder}: a tokenizer.json cannot say all of a {type(tokenizer).__name__}. Export the checkpoint of "
                "this graph: `onnxpress export`."
            )
        place = Path(tempfile.mkdtemp(prefix="onnxpress-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        write_tokenizer(tokenizer, place)
    read = tokenizer_settings(tokenizer, None)
    said = json.loads((folder / _CONFIG).read_text(encoding="utf-8")) if (folder / _CONFIG).is_file() else {}
    tokens = {f"{kind}_token": token.text for kind, token in read.special_tokens.items()}
    sides = {"padding_side": read.padding_side, "truncation_side": read.truncation_side}
    config = {**said, **tokens, **sides, "model_input_names": list(read.input_names)}
    (place / _CONFIG).write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    return place
