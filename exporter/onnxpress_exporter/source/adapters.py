"""Finds PEFT adapters and the models that they were trained on, and merges them into the weights of these.

The only importer of peft. Knows no task and no graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress.errors import MissingDependency
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.weights import check_safetensors, explain_missing_weights, read_json

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_NAME_IT = "Name the model yourself, and this folder with --adapter."


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter on disk.

    `base`: the checkpoint it was trained on, as its own config names it; None: it names none. `base_revision`: which
    version of it on the Hub; None: the newest. `fetched`: somebody else wrote it.
    """

    source: str  # as the user gave it
    folder: Path
    base: str | None
    base_revision: str | None = None
    fetched: bool = False


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model beside it."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def open_adapter(source: str | Path, revision: str | None = None, *, fetched: bool = False) -> Adapter:
    """Find an adapter, a folder or a Hub id, and check that its weights are whole.

    Args:
        revision: on the Hub.
        fetched: the folder is a download.

    Raises:
        UnsupportedCheckpoint: it is no adapter, or its weights are pickled or damaged.
        HubError: the Hub refuses.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        from onnxpress import hub

        if not hub.looks_like_repo_id(str(source)):
            raise UnsupportedCheckpoint(f"There is no folder {str(source)!r}, and it is not a Hub id either.")
        fetched, folder = (
            True,
            hub.fetch(str(source), revision, ("*.json", "*.jinja", "*.txt", "*.model", WEIGHTS)).folder,
        )
    if not (folder / CONFIG).is_file():
        raise UnsupportedCheckpoint(f"{folder} holds no PEFT adapter: it has no {CONFIG}.")
    if not (folder / WEIGHTS).is_file():
        raise UnsupportedCheckpoint(
            f"{folder} has no {WEIGHTS}. Save the adapter again with peft, which writes it; pickled adapters are not "
            "opened."
        )
    check_safetensors(folder / WEIGHTS)
    config = read_json(folder / CONFIG)
    base, base_revision = (config.get(field) or None for field in ("base_model_name_or_path", "revision"))
    for field, value in (("base_model_name_or_path", base), ("revision", base_revision)):
        if not (value is None or isinstance(value, str)):
            raise UnsupportedCheckpoint(f"{folder / CONFIG}: {field} should be a text, not {value!r:.60}.")
    return Adapter(str(source), folder, base, base_revision, fetched)


def base_of(adapter: Adapter) -> str | Path:
    """Find the model that an adapter names: a folder within its own, or the name in its config.

    An adapter of the user's own may name his folders, as training found them; one from the Hub may not reach for them.

    Raises:
        UnsupportedCheckpoint: it names none, itself, or a path that leaves its folder.
    """
    if adapter.base is None:
        raise explain_missing_weights(adapter.folder)
    named = _expanded(adapter.base)
    place, root = (adapter.folder / named).resolve(), adapter.folder.resolve()
    if place == root:
        raise UnsupportedCheckpoint(f"{adapter.source} is a PEFT adapter that names itself as its base. {_NAME_IT}")
    if named.is_absolute() and not adapter.fetched:
        return named
    if named.is_absolute() or not place.is_relative_to(root):
        raise UnsupportedCheckpoint(
            f"{adapter.source} is a PEFT adapter whose base, {adapter.base!r}, is a path that leaves its folder. "
            f"{_NAME_IT}"
        )
    return adapter.folder / named if place.is_dir() else adapter.base


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # of a user whom this machine does not know
        return Path(name)


def merged(model: torch.nn.Module, adapter: Adapter) -> Any:
    """Add the adapter's changes to the weights of the model, layer by layer, in place.

    Raises:
        MissingDependency: peft is not installed.
        UnsupportedCheckpoint: the adapter does not fit the model, or is of a kind that is no change of weights.
    """
    if find_spec("peft") is None:
        raise MissingDependency("PEFT adapters need peft: `pip install 'onnxpress[adapters]'`.")
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    try:
        wrapped = PeftModel.from_pretrained(model, str(adapter.folder), is_trainable=False)
        loaded = set(get_peft_model_state_dict(wrapped))
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnsupportedCheckpoint(f"{adapter.source} does not fit {type(model).__name__}: {line}") from error
    with safe_open(adapter.folder / WEIGHTS, "np") as file:
        stored = set(file.keys())
    if odd := sorted(stored ^ loaded):
        raise UnsupportedCheckpoint(
            f"{adapter.source} does not fit {type(model).__name__}: {len(odd)} of its weights have no place there or "
            f"are missing, first {odd[0]}."
        )
    if not hasattr(wrapped.base_model, "merge_and_unload"):
        kind = str(read_json(adapter.folder / CONFIG).get("peft_type"))
        raise UnsupportedCheckpoint(
            f"{adapter.source} is a {kind} adapter, which changes inputs, not weights: it cannot be merged."
        )
    return wrapped.merge_and_unload(safe_merge=True)
