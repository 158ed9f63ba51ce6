"""What a result says of a picture, read by its shape: labels, boxes, masks, depth, texts, another picture.

The shapes are transformers'. No task is known here, and nothing of Pillow is imported: a picture is what has a mode, a
size and `save`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The fields of a result that hold a text, the likeliest first.
_TEXTS = ("generated_text", "answer", "label", "text")


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that was seen. `text`: its label, or what was written; `score` None: it has none.

    `box`: xmin, ymin, xmax, ymax in pixels of the picture. `mask`: bool (height, width), of the picture's size.
    """

    text: str
    score: float | None = None
    box: tuple[float, float, float, float] | None = None
    mask: NDArray[np.bool_] | None = None

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """Its box, or that of its mask's pixels, the last ones included; None: it has neither, or an empty mask."""
        if self.box is not None or self.mask is None or not self.mask.any():
            return self.box
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])

    @property
    def words(self) -> str:
        """Text and score, as they are shown."""
        return self.text if self.score is None else f"{self.text} {self.score:.2f}".strip()


@dataclass(frozen=True, slots=True)
class Sight:
    """All that a result says of one picture. `depth`: float32 (height, width), whatever its unit. `image`: the picture
    that a model made of it, of Pillow."""

    things: tuple[Seen, ...] = ()
    depth: NDArray[np.float32] | None = None
    image: Any = None


def see(result: Any) -> Sight | None:
    """What a result of one picture says; None: nothing that can be shown, such as a vector."""
    if is_image(result):
        return Sight(image=result)
    if isinstance(result, Mapping):
        return _of_object(result)
    if isinstance(result, str):
        return Sight((Seen(result),))
    if not isinstance(result, Sequence) or not all(isinstance(entry, Mapping) for entry in result):
        return None
    things = [_thing(entry) for entry in result]
    return None if None in things else Sight(tuple(thing for thing in things if thing is not None))


def _of_object(result: Mapping[str, Any]) -> Sight | None:
    if "predicted_depth" in result:
        depth = np.asarray(result["predicted_depth"], dtype=np.float32)
        return Sight(depth=depth.reshape(depth.shape[-2:]))
    if "masks" in result:
        scores = [None if score is None else float(score) for score in result.get("scores", ())]
        scores += [None] * (len(result["masks"]) - len(scores))
        named = enumerate(zip(result["masks"], scores, strict=True), 1)
        return Sight(tuple(Seen(f"#{number}", score, mask=_mask(mask)) for number, (mask, score) in named))
    thing = _thing(result)
    return None if thing is None else Sight((thing,))


def _thing(entry: Mapping[str, Any]) -> Seen | None:
    text = next((entry[name] for name in _TEXTS if isinstance(entry.get(name), str)), None)
    box, mask, score = entry.get("box"), entry.get("mask"), entry.get("score")
    if text is None and box is None and mask is None:
        return None
    return Seen(
        text=text or "",
        score=None if score is None else float(score),
        box=None if box is None else (float(box["xmin"]), float(box["ymin"]), float(box["xmax"]), float(box["ymax"])),
        mask=None if mask is None else _mask(mask),
    )


def _mask(mask: Any) -> NDArray[np.bool_]:
    """bool (height, width) of a picture of 0 and 255, or of an array."""
    array = np.asarray(mask)
    return array.reshape(array.shape[-2:]) > 0


def is_image(value: Any) -> bool:
    """Whether a value is a picture of Pillow."""
    return hasattr(value, "save") and hasattr(value, "mode") and hasattr(value, "size")


def data_uri(image: Any) -> str:
    """A picture of Pillow as a PNG in a data URI, which is what JSON holds of one."""
    content = BytesIO()
    image.save(content, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
