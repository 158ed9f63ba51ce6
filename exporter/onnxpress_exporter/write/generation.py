"""Writes `generation_config.json` and the chat templates of an artifact that writes text.

Knows no graph and reads no weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxpress_exporter.errors import UnsupportedCheckpoint

GENERATION_CONFIG = "generation_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
NAMED_TEMPLATES = "chat_templates"

#: Which library wrote a config tells nothing of how to generate.
_OF_THE_FILE = frozenset({"transformers_version", "_from_model_config"})


def write_generation_config(model: Any, folder: Path) -> None:
    """Write the defaults of a call as transformers resolved them: from the checkpoint's file, or, where there is none,
    from its config.json. Settings without a value are left out.

    Raises:
        UnsupportedCheckpoint: a setting is no value of JSON.
    """
    config = model.generation_config.to_dict()
    defaults = {name: value for name, value in config.items() if value is not None and name not in _OF_THE_FILE}
    text = json.dumps(defaults, indent=2, sort_keys=True, ensure_ascii=False, default=_as_object)
    (folder / GENERATION_CONFIG).write_text(text + "\n", encoding="utf-8")


def _as_object(value: Any) -> Any:
    """The fields of a setting that transformers made an object of, as the file had them."""
    try:
        return value.to_dict()
    except AttributeError:
        raise UnsupportedCheckpoint(f"The generation config holds a {type(value).__name__}: {value!r:.80}.") from None


def write_chat_templates(tokenizer: Any, folder: Path) -> None:
    """Write the tokenizer's templates: the default one, and the others by name.

    Raises:
        UnsupportedCheckpoint: a template's name is no file name.
    """
    template = getattr(tokenizer, "chat_template", None)
    templates: Mapping[str, str] = (
        template if isinstance(template, Mapping) else {"default": template} if template else {}
    )
    for name, text in templates.items():
        if name == "default":
            (folder / CHAT_TEMPLATE).write_text(text, encoding="utf-8")
            continue
        if not name or Path(name).name != name or name.startswith("."):
            raise UnsupportedCheckpoint(f"The tokenizer has a chat template called {name!r}, which is no file name.")
        (folder / NAMED_TEMPLATES).mkdir(exist_ok=True)
        (folder / NAMED_TEMPLATES / f"{name}.jinja").write_text(text, encoding="utf-8")
