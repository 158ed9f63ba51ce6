"""What kinds of values the fields have that other tools' files are read for: a stranger's may hold anything.

A field that is missing or null says nothing, and is left to whoever reads it. Fields that are read only if they are of
their kind are not in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.errors import CorruptFile

#: More classes than any model has, and more files than transformers.js reads the weights of one graph from.
MAX_LABELS, MAX_WEIGHT_FILES = 1 << 20, 100


@dataclass(frozen=True, slots=True)
class FieldKind:
    """`words`: what a value should be; `fits`: whether one is."""

    words: str
    fits: Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_weight_files(value: Any) -> bool:
    counts = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(count, bool) or _is_count(count, MAX_WEIGHT_FILES) for count in counts)


_TEXT = FieldKind("a text", _is_text)
_NAMES = FieldKind("a list of names", _is_names)
_OBJECT = FieldKind("an object", lambda value: isinstance(value, dict))
_OBJECTS = FieldKind(
    "a list of objects", lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value)
)
_TEXT_OR_NAMES = FieldKind("a text or a list of names", lambda value: _is_text(value) or _is_names(value))
_LABELS = FieldKind(f"a number of labels, at most {MAX_LABELS}", lambda value: _is_count(value, MAX_LABELS))
_WEIGHT_FILES = FieldKind(
    f"true, false, or a number of files, at most {MAX_WEIGHT_FILES}, for all graphs or for each", _is_weight_files
)

#: A file's name, without its folder where a file of that name may be in any -> path of a field -> its kind.
_FIELDS: Mapping[str, Mapping[str, FieldKind]] = {
    "config.json": {
        "architectures": _NAMES,
        "id2label": _OBJECT,
        "num_labels": _LABELS,
        "pooling_mode": _TEXT_OR_NAMES,
        "transformers.js_config": _OBJECT,
        "transformers.js_config/use_external_data_format": _WEIGHT_FILES,
    },
    "config_sentence_transformers.json": {"prompts": _OBJECT, "default_prompt_name": _TEXT},
    "tokenizer.json": {"model": _OBJECT, "added_tokens": _OBJECTS},
}

#: Of each entry of a list.
_ENTRIES: Mapping[str, Mapping[str, FieldKind]] = {"modules.json": {"type": _TEXT, "path": _TEXT}}


def check_fields(content: Any, name: str, where: object) -> None:
    """Refuse what has a field of another kind.

    Args:
        content: of the file `name`, which is JSON.
        where: the file, for the message.

    Raises:
        CorruptFile: it has; the message names field, kind and value.
    """
    short = name.rpartition("/")[2]
    if isinstance(content, dict):
        _check(content, _FIELDS.get(short, {}), where)
    if (kinds := _ENTRIES.get(short)) is None or content == {}:  # {}: there is no such file
        return
    if not _OBJECTS.fits(content):
        raise CorruptFile(f"{where}: it should be {_OBJECTS.words}, not {content!r:.60}. Download or export it again.")
    for entry in content:
        _check(entry, kinds, where)


def _check(content: Mapping[str, Any], kinds: Mapping[str, FieldKind], where: object) -> None:
    for path, kind in kinds.items():
        value: Any = content
        for step in path.split("/"):
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None and not kind.fits(value):
            raise CorruptFile(
                f"{where}: {path.replace('/', '.')} should be {kind.words}, not {value!r:.60}. Download or export it "
                "again."
            )
