"""The checkpoint's config as an object, the way transformers shows it: `pipe.model.config.id2label[0]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.files import read_json

_FILE = "config.json"


class Config:
    """What config.json says, by attribute; `id2label` has numbers as keys. Nothing changes it.

    Labels, where the file has none, are those of the manifest; sub-configs are objects of this class.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.__dict__.update(
            {name: Config(value) if _is_config(name, value) else value for name, value in content.items()}
        )

    def to_dict(self) -> dict[str, Any]:
        """The entries of the file."""
        return {name: value.to_dict() if isinstance(value, Config) else value for name, value in vars(self).items()}

    def get(self, name: str, default: Any = None) -> Any:
        """An entry, or `default` where there is none."""
        return vars(self).get(name, default)

    @property
    def num_labels(self) -> int:
        """How many labels there are; 2 where the config has none, as in transformers."""
        return len(self.get("id2label") or {}) or 2

    def __getattr__(self, name: str) -> Any:  # only for names that are not there
        raise AttributeError(f"config.json has no {name!r}; it has: {', '.join(sorted(vars(self)))}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"The config says what was exported: {name} cannot be changed. Export again.")

    def __contains__(self, name: object) -> bool:
        return name in vars(self)

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # it holds dictionaries

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r:.40}' for name, value in vars(self).items())})"

    def __getstate__(self) -> dict[str, Any]:
        return self.to_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        Config.__init__(self, state)


def artifact_config(artifact: Artifact) -> Config:
    """The config of an artifact's checkpoint.

    Raises:
        CorruptFile: config.json is no JSON object.
    """
    manifest = artifact.manifest
    content: dict[str, Any] = {"model_type": manifest.model_type, **read_json(artifact, _FILE)}
    content.setdefault("architectures", [manifest.architecture])
    labels = dict(enumerate(manifest.postprocessing.labels))
    if labels:
        content["id2label"] = labels
        content.setdefault("label2id", {label: number for number, label in labels.items()})
    elif isinstance(content.get("id2label"), Mapping):
        content["id2label"] = {int(number): label for number, label in content["id2label"].items()}
    return Config(content)


def _is_config(name: str, value: Any) -> bool:
    return name.endswith("_config") and isinstance(value, Mapping)
