"""Whether a tokenizer or a config that a caller brings says what the artifact's own says.

transformers' factory takes them beside the model; nearly always they are those of the same checkpoint. Here the
artifact's own are used, so that others are refused instead of silently left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxpress.errors import InputError, OnnxpressError
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.config import Config, artifact_config
from onnxpress.text.tokenizer import Tokenizer

#: Texts whose tokens differ where tokenizers do: case, accents, scripts, digits, spaces, line ends.
_PROBES = ("Hello, World! It's 3.14", "naïve FAÇADE Ελλάς", "日本語とहिन्दी", "two  spaces\n\tand a tab", "x@y.z #1 <b>")

#: Entries of a config that say where it comes from, or how it was loaded.
_OF_NO_ACCOUNT = frozenset(
    (
        "transformers_version",
        "_name_or_path",
        "name_or_path",
        "dtype",
        "torch_dtype",
        "_attn_implementation",
        "_commit_hash",
    )
)

_KEEP = "It is not used: leave it out, or export the checkpoint with it."


def check_tokenizer(artifact: Artifact, tokenizer: Tokenizer | None, value: Any) -> None:
    """Make sure that `value` (a name, a folder, or a tokenizer of ours, transformers or tokenizers) is the artifact's.

    Raises:
        InputError: it is another one.
    """
    if value is None or tokenizer is None or value is tokenizer or names_artifact(artifact, value):
        return
    if artifact.adopted is not None and isinstance(value, (str, Path)):  # it is the one that runs
        return
    ids = _encoder(tokenizer, value)
    for text in _PROBES:
        theirs, ours = ids(text), list(tokenizer.encode(text).ids)
        if theirs != ours:
            raise InputError(
                f"tokenizer={value!r:.60} gives {theirs[:8]} for {text!r}, the artifact's own {ours[:8]}. {_KEEP}"
            )
    limit, asked = tokenizer.settings.max_length, getattr(value, "model_max_length", None)
    if isinstance(asked, int) and asked < (limit or 10**9):
        raise InputError(
            f"tokenizer={value!r:.60} cuts texts at {asked} tokens, the artifact's own at {limit}: pass max_length= "
            "in the call."
        )


def check_config(artifact: Artifact, value: Any) -> None:
    """Make sure that `value` (a name, a dictionary or an object with `to_dict`) says what the artifact's config says.

    Raises:
        InputError: it says something else.
    """
    if value is None or names_artifact(artifact, value):
        return
    content = value.to_dict() if hasattr(value, "to_dict") else value
    if not isinstance(content, Mapping):
        raise InputError(f"config={value!r:.60} is not the artifact's own. {_KEEP}")
    ours = artifact_config(artifact).to_dict()
    for name, there in content.items():
        here = ours.get(name)
        if name in _OF_NO_ACCOUNT or name not in ours or _plain(here) == _plain(there):
            continue
        raise InputError(f"config has {name}={there!r:.60}, the artifact {here!r:.60}. {_KEEP}")


def names_artifact(artifact: Artifact, value: Any) -> bool:
    """Whether a value is the name of the artifact, or of the checkpoint that it was made of."""
    if not isinstance(value, (str, Path)):
        return False
    names = {artifact.manifest.provenance.source}
    if artifact.snapshot is not None:
        names.add(artifact.snapshot.repo_id)
    return str(value) in names or Path(value).expanduser().absolute() == artifact.folder.absolute()


def _encoder(tokenizer: Tokenizer, value: Any) -> Any:
    """What gives the ids of a text.

    Raises:
        InputError: `value` is no tokenizer.
    """
    if isinstance(value, (str, Path)):
        file = Path(value).expanduser() / "tokenizer.json"
        try:
            other = Tokenizer(file, tokenizer.settings) if file.is_file() else None
        except OnnxpressError as error:
            raise InputError(f"tokenizer={str(value)!r}: {error}") from None
        if other is None:
            raise InputError(f"tokenizer={str(value)!r} is not the artifact's own, whose ids it should give. {_KEEP}")
        return lambda text: list(other.encode(text).ids)
    if callable(value):
        return lambda text: list(value(text)["input_ids"])
    if hasattr(value, "encode"):
        return lambda text: list(getattr(encoded := value.encode(text), "ids", encoded))
    raise InputError(f"tokenizer={value!r:.60} is no tokenizer. {_KEEP}")


def _plain(value: Any) -> Any:
    """As JSON has it: keys are texts, and lists no tuples."""
    if isinstance(value, (Config, Mapping)):
        items = value.to_dict() if isinstance(value, Config) else value
        return {str(key): _plain(entry) for key, entry in items.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
