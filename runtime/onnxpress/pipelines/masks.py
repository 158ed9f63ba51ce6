"""Finds the masks of a picture from what a model answers for points on it: the arithmetic of transformers' image
processor of SAM (`generate_crop_boxes`, `post_process_masks`, `filter_masks`, `post_process_for_mask_generation`), with
numpy alone.

A mask is as large as the picture only while it is looked at; then it is the lengths of its runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.picture_sizes import longest_edge
from onnxpress.image.interpolation import interpolate

#: (height, width) in pixels.
Size = tuple[int, int]

#: (left, top, right, bottom) in pixels.
Box = tuple[int, int, int, int]

Floats = NDArray[np.float32]

#: Pixels: a box that is as near as that to the edge of its crop, and not of the picture, is cut off by the crop.
_NEAR = 20


class Runs(TypedDict):
    """A mask as COCO writes it, not compressed. `size`: [height, width]; `counts`: the lengths of its runs, column by
    column, of what is outside first."""

    size: list[int]
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Crops:
    """How a picture is cut: `layers` beside the whole, of 4, 16, ... crops; `overlap`: the share of the shorter edge;
    `points`: on an edge of the grid of a crop; `fewer`: each layer has so many times fewer."""

    layers: int
    overlap: float
    points: int
    fewer: int


@dataclass(frozen=True, slots=True)
class Keeping:
    """Which masks are kept: those of a higher `score`, and of a higher `stability`, the share of the places above
    `level + offset` among those above `level - offset`; a threshold of 0 keeps all. `level`: what a place of a mask is
    above."""

    score: float
    stability: float
    level: float
    offset: float


@dataclass(frozen=True, slots=True)
class Masks:
    """`runs` of each; `scores` float32 (masks,); `boxes` int64 (masks, 4), of pixels, the last ones included."""

    runs: list[Runs]
    scores: Floats
    boxes: NDArray[np.int64]


def crops_of(size: Size, crops: Crops) -> Iterator[tuple[Box, Floats]]:
    """Each crop of a picture, the whole first, with its points: float64 (points, 2) of (x, y), from 0 to 1."""
    yield (0, 0, size[1], size[0]), _grid(crops.points)
    for layer in range(1, crops.layers + 1):
        on_edge = 2**layer
        overlap = int(crops.overlap * min(size) * (2 / on_edge))
        height, width = (ceil((overlap * (on_edge - 1) + edge) / on_edge) for edge in size)
        grid = _grid(int(crops.points / crops.fewer**layer))
        for column, row in product(range(on_edge), range(on_edge)):
            left, top = (width - overlap) * column, (height - overlap) * row
            yield (left, top, min(left + width, size[1]), min(top + height, size[0])), grid


def _grid(points: int) -> NDArray[Any]:
    margin = 1 / (2 * points)
    edge = np.linspace(margin, 1 - margin, points)
    return np.stack([np.tile(edge[None, :], (points, 1)), np.tile(edge[:, None], (1, points))], axis=-1).reshape(-1, 2)


def points_in(grid: NDArray[Any], size: Size, longest: int) -> NDArray[Any]:
    """float64 (points, 2): where the points of a crop of this size lie once it is resized."""
    height, width = longest_edge(size, longest)
    points: NDArray[Any] = grid * np.array(size)[None, ::-1]
    points *= (width / size[1], height / size[0])
    return points


def kept(masks: Floats, scores: Floats, crop: Box, sizes: tuple[Size, Size, Size], keeping: Keeping) -> Masks:
    """The masks of a crop that are good enough.

    Args:
        masks: float32 (masks, height, width), as the graph gives them.
        scores: float32 (masks,).
        sizes: of what the graph was given, of what of that is picture, and of the whole picture.
    """
    padded, inner, whole = sizes
    left, top, right, bottom = crop
    size = (bottom - top, right - left)
    runs: list[Runs] = []
    numbers: list[int] = []
    boxes: list[Box] = []
    for number, (mask, score) in enumerate(zip(masks, scores, strict=True)):
        if keeping.score > 0 and not score > np.float32(keeping.score):
            continue
        levels = interpolate(interpolate(mask, padded)[: inner[0], : inner[1]], size)
        if keeping.stability > 0 and not _stability(levels, keeping) > np.float32(keeping.stability):
            continue
        places = levels > np.float32(keeping.level)
        box = _moved(_box_of(places), left, top)
        if _is_cut(box, crop, whole):
            continue
        full = np.zeros(whole, dtype=bool)
        full[top:bottom, left:right] = places
        runs.append(runs_of(full))
        numbers.append(number)
        boxes.append(box)
    return Masks(runs, scores[numbers], np.array(boxes, np.int64).reshape(-1, 4))


def _stability(levels: Floats, keeping: Keeping) -> np.float32:
    inside = np.count_nonzero(levels > np.float32(keeping.level + keeping.offset))
    outside = np.count_nonzero(levels > np.float32(keeping.level - keeping.offset))
    return np.float32(inside) / np.float32(outside) if outside else np.float32("nan")


def _box_of(places: NDArray[np.bool_]) -> Box:
    """Zeros of a mask that is empty."""
    rows, columns = np.flatnonzero(places.any(axis=1)), np.flatnonzero(places.any(axis=0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])) if len(rows) else (0, 0, 0, 0)


def _moved(box: Box, left: int, top: int) -> Box:
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top


def _is_cut(box: Box, crop: Box, whole: Size) -> bool:
    """Whether an edge of a box is near that of its crop, and not near that of the picture."""
    picture = (0, 0, whole[1], whole[0])
    edges = zip(box, crop, picture, strict=True)
    return any(abs(edge - cut) <= _NEAR < abs(edge - end) for edge, cut, end in edges)


def runs_of(mask: NDArray[np.bool_]) -> Runs:
    """bool (height, width)."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return Runs(size=list(mask.shape), counts=[0, *counts] if flat[0] else counts)


def mask_of_runs(runs: Runs) -> NDArray[np.bool_]:
    """bool (height, width)."""
    height, width = runs["size"]
    inside = np.arange(len(runs["counts"])) % 2 == 1
    return np.repeat(inside, runs["counts"]).reshape(width, height).T


def without_doubles(parts: Sequence[Masks], most: float) -> Masks:
    """The masks of all parts, best first, without those whose box shares more than `most` with a better one's: of what
    both cover (`torchvision.ops.nms`)."""
    runs = [row for part in parts for row in part.runs]
    scores = np.concatenate([part.scores for part in parts])
    boxes = np.concatenate([part.boxes for part in parts])
    order = list(np.argsort(-scores, kind="stable"))
    edges = boxes.astype(np.float32)
    areas = (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    chosen: list[int] = []
    left = np.ones(len(order), dtype=bool)
    for number in order:
        if not left[number]:
            continue
        chosen.append(int(number))
        low, high = np.maximum(edges[number, :2], edges[:, :2]), np.minimum(edges[number, 2:], edges[:, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            left &= ~(shared / (areas[number] + areas - shared) > np.float32(most))
    return Masks([runs[number] for number in chosen], scores[chosen], boxes[chosen])
