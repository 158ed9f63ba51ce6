"""What is made of the answers of another tool's graph, and what says so: labels, vectors, boxes, segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.format.manifest import EmbeddingSettings, Postprocessing
from onnxpress.layouts.faces import Face
from onnxpress.layouts.field_kinds import MAX_LABELS
from onnxpress.layouts.files import Files
from onnxpress.layouts.head_files import Head
from onnxpress.layouts.known_models import known_model
from onnxpress.layouts.layout import Asked
from onnxpress.layouts.notes import Notes
from onnxpress.layouts.picture_answers import detection_of, labelled, pairs_of, segmentation_of
from onnxpress.layouts.picture_files.settings import PictureSettings
from onnxpress.layouts.sentence_files import MODULES, Vectors, is_sentence_model, read_vectors

_CONFIG = "config.json"


@dataclass(slots=True)
class Postprocessings:
    """Reads them. `head`: the layers after pooling, once they were read; None: there are none."""

    files: Files
    asked: Asked
    notes: Notes
    head: Head | None = None

    def of(self, face: Face, config: Mapping[str, Any], pictures: PictureSettings | None) -> Postprocessing:
        """What is made of a graph's answers.

        Args:
            face: of the graph that answers.
            pictures: how pictures are read, of a model that reads some.

        Raises:
            InputError: what the caller says is not possible.
            UnsupportedFormat: it is not known what to make of them.
        """
        labels: tuple[str, ...] = ()
        detection = None if pictures is None or face.answers != "boxes" else detection_of(self.files, pictures)
        segmentation = segmentation_of(self.files, face, config) if face.answers == "segments" else None
        if face.answers in ("classes", "token classes", "picture classes", "boxes", "segments"):
            labels = self._labels(labelled(face, detection, segmentation), config)
        elif self.asked.labels:
            raise InputError(f"labels={list(self.asked.labels)!r:.60}: this graph gives {face.answers}, no classes.")
        problem = config.get("problem_type")
        function = _activation(self.files, config) if len(labels) == 1 else None
        if function is not None:
            self.notes.note("scores", function, "the cross-encoder's settings")
        return Postprocessing(
            labels=labels,
            problem_type=problem if isinstance(problem, str) else None,
            function_to_apply=function,
            embedding=self._embedding(face, config) if face.answers in ("states", "vector") else None,
            detection=detection,
            segmentation=segmentation,
            pairs=pairs_of(self.files, face, config, self.notes) if face.answers == "vectors of both" else None,
        )

    def _labels(self, width: int | None, config: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the classes.

        Args:
            width: how many scores the graph gives; None: it does not say.

        Raises:
            UnsupportedFormat: there are not as many as the graph gives scores for.
        """
        named = config.get("id2label")
        names = {str(key): str(label) for key, label in named.items()} if isinstance(named, Mapping) else {}
        count = width if width is not None else len(names) or config.get("num_labels") or 2
        if count > MAX_LABELS:
            raise UnsupportedFormat(
                f"{self.files.folder}: its graph gives {count} scores, more than any model has classes ({MAX_LABELS})."
            )
        if self.asked.labels and len(names) != count:
            raise InputError(
                f"labels={list(self.asked.labels)!r:.60}: these are {len(names)} labels, and the graph gives {count} "
                "scores. Name each class, by its number."
            )
        if names and len(names) != count:
            raise UnsupportedFormat(
                f"{self.files.folder}: config.json names {len(names)} labels, and the graph gives {count} scores: one "
                "of them is of another model. Get both from the same export."
            )
        if not names:
            source = "nothing names them; pass labels=[...], one for each score"
            self.notes.assume("labels", f"LABEL_0 to LABEL_{count - 1}", source)
            return tuple(f"LABEL_{number}" for number in range(count))
        self.notes.note("labels", str(count), "the caller" if self.asked.labels else _CONFIG)
        return tuple(names.get(str(number), f"LABEL_{number}") for number in range(count))

    def _embedding(self, face: Face, config: Mapping[str, Any]) -> EmbeddingSettings | None:
        """How a text becomes one vector; None: nobody says."""
        width = face.width or config.get("hidden_size") or config.get("dim") or config.get("d_model")
        if not isinstance(width, int):
            return None
        pooled = face.answers == "vector"
        if self.asked.pooling is not None:
            return self._asked_pooling(self.asked.pooling, width, pooled)
        if is_sentence_model(self.files):
            vectors = self._vectors(width, pooled)
            self.notes.note("pooling", ", ".join(vectors.settings.pooling) or "in the graph", vectors.source)
            return vectors.settings
        if pooled:
            self.notes.note("pooling", "in the graph", face.info.outputs[0].name)
            return EmbeddingSettings((), width, normalize=False)
        if (known := known_model(self.files, config)) is not None:
            row, name = known
            self.notes.note("pooling", row.pooling, f"the name {name}, a well-known model")
            return EmbeddingSettings((row.pooling,), width, normalize=row.normalize)
        self.notes.assume("pooling", "mean", 'nothing; pass pooling="cls" or another if the model\'s author says so')
        return EmbeddingSettings(("mean",), width, normalize=False)

    def _vectors(self, width: int, pooled: bool) -> Vectors:
        """What sentence-transformers' files say, with the layers after pooling."""
        vectors = read_vectors(self.files, width, pooled)
        self.head = vectors.head
        if vectors.head is not None:
            self.notes.note("after pooling", f"layers to {vectors.head.width} numbers", MODULES)
        return vectors

    def _asked_pooling(self, pooling: str, width: int, pooled: bool) -> EmbeddingSettings:
        if pooled:
            raise InputError(f"pooling={pooling!r}: this graph pools by itself. Leave pooling out.")
        self.notes.note("pooling", pooling, "the caller")
        settings = EmbeddingSettings((pooling,), width, normalize=False)
        if not is_sentence_model(self.files):
            return settings
        vectors = self._vectors(width, pooled)
        if vectors.head is None:
            return replace(vectors.settings, pooling=(pooling,), dimensions=width)
        if len(vectors.settings.pooling) > 1:
            said = " and ".join(vectors.settings.pooling)
            raise InputError(f"pooling={pooling!r}: the layers after pooling take {said}. Leave pooling out.")
        return replace(vectors.settings, pooling=(pooling,))


def _activation(files: Files, config: Mapping[str, Any]) -> str | None:
    """What makes a score of a cross-encoder's logit; None: sentence-transformers' marks are not there."""
    saved = config.get("sentence_transformers")
    names = (
        files.settings("config_sentence_transformers.json").get("activation_fn"),
        saved.get("activation_fn") if isinstance(saved, Mapping) else None,
        config.get("sbert_ce_default_activation_function"),
    )
    name = next((name for name in names if isinstance(name, str)), None)
    if name is None:
        return None
    return "none" if name.rpartition(".")[2] == "Identity" else "sigmoid"
