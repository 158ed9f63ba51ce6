"""Draws what was seen of a picture: boxes with their labels, masks in translucent colours, depth as colours beside it,
and everything that has no place in it as lines below it.

Each label keeps one colour. A small picture is enlarged first, so that what is written can be read.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.image.seen import Seen, Sight

if TYPE_CHECKING:
    from PIL.Image import Image

Colour = tuple[int, int, int]

#: Left, top, right and bottom, in pixels of what is drawn.
Edges = tuple[float, float, float, float]

#: Pixels: the longer and the shorter edge that a picture is at least drawn with, as far as the longer one does not
#: become longer than the third; and the narrowest ground of lines.
_LEAST_EDGE, _LEAST_SHORTER, _MOST_LONGER, _LEAST_WIDTH = 384, 160, 2000, 240

#: Pixels: letters are so high at least and at most, and of the picture's shorter edge this share.
_LEAST_LETTER, _MOST_LETTER, _LETTERS_OF_EDGE = 12, 160, 22

#: Colours that are told apart by most people, on light and dark ground (M. Okabe, K. Ito); others follow by their hue.
_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)

#: Of what is far to what is near: from dark over violet and orange to light, with rising brightness.
_DEPTHS: tuple[Colour, ...] = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))

_GROUND, _INK, _DARK = (24, 26, 30), (240, 240, 240), (16, 16, 16)

#: How much of a mask's colour there is over the picture.
_OPACITY = 0.45

#: Lines below a picture, at most: a model may name a thousand labels.
_MOST_LINES = 24

#: Where the built-in font ends; other letters need one of the system's.
_LATIN, _SYSTEM_FONTS = 0x250, ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial.ttf")


def draw(picture: Image, sight: Sight) -> Image:
    """A new picture in mode "RGB", at least as large as `picture`, which is in mode "RGB" as well."""
    if sight.image is not None:
        enlarged: Image = sight.image.convert("RGB")
        return enlarged
    canvas, factor = _enlarged(picture)
    size = max(_LEAST_LETTER, min(_MOST_LETTER, min(canvas.size) // _LETTERS_OF_EDGE))
    if sight.depth is not None:
        return _with_lines(_beside(canvas, _coloured(sight.depth, canvas.size)), _depth_lines(sight.depth), size)
    colours = _colours_of(sight.things)
    canvas = _masked(canvas, sight.things, colours, max(1, size // 14))
    boxes = [thing for thing in sight.things if thing.box is not None]
    for thing in boxes:
        _outline(canvas, thing, factor, colours[thing.text], size)
    tags: list[Edges] = []
    for thing in boxes:  # after all outlines, so that none goes through a label
        _tag(canvas, thing, factor, colours[thing.text], size, tags)
    lines = [(_line(thing), colours[thing.text]) for thing in sight.things if thing.box is None]
    return _with_lines(canvas, lines, size)


def _line(thing: Seen) -> str:
    return thing.words if thing.mask is None else f"{thing.words}, {thing.mask.mean():.1%} of the picture"


def _enlarged(picture: Image) -> tuple[Image, int]:
    """A copy whose edges have at least _LEAST_EDGE and _LEAST_SHORTER pixels, by a whole factor."""
    from PIL.Image import Resampling

    longer, shorter = max(picture.size), min(picture.size)
    factor = max(-(-_LEAST_EDGE // longer), min(-(-_LEAST_SHORTER // shorter), _MOST_LONGER // longer))
    if factor <= 1:
        return picture.copy(), 1
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, resample=Resampling.NEAREST if factor > 2 else Resampling.BICUBIC), factor


def _colours_of(things: Sequence[Seen]) -> dict[str, Colour]:
    """A colour for each label, in the order in which they come."""
    labels = list(dict.fromkeys(thing.text for thing in things))
    return {label: _colour(place) for place, label in enumerate(labels)}


def _colour(place: int) -> Colour:
    if place < len(_COLOURS):
        return _COLOURS[place]
    red, green, blue = colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.65, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _masked(canvas: Image, things: Sequence[Seen], colours: dict[str, Colour], width: int) -> Image:
    """The masks' colours over the picture, with edges of this width; one that comes later lies over one that comes
    before."""
    from PIL.Image import fromarray

    masks = [(_scaled(thing.mask, canvas.size), colours[thing.text]) for thing in things if thing.mask is not None]
    if not masks:
        return canvas
    pixels = np.array(canvas, dtype=np.float32)
    for mask, colour in masks:
        pixels[mask] += _OPACITY * (np.array(colour, np.float32) - pixels[mask])
    for mask, colour in masks:
        pixels[_edge(mask, width)] = colour
    return fromarray(pixels.round().astype(np.uint8))


def _scaled(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask of (height, width) in a size of (width, height)."""
    if mask.shape == size[::-1]:
        return mask
    rows = np.arange(size[1]) * mask.shape[0] // size[1]
    columns = np.arange(size[0]) * mask.shape[1] // size[0]
    scaled: NDArray[np.bool_] = mask[rows][:, columns]
    return scaled


def _edge(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """What of a mask is less than `width` rows and columns from a neighbour that is not of it."""
    inner = mask
    for _ in range(width):
        before, inner = inner, inner.copy()
        inner[1:] &= before[:-1]
        inner[:-1] &= before[1:]
        inner[:, 1:] &= before[:, :-1]
        inner[:, :-1] &= before[:, 1:]
    edge: NDArray[np.bool_] = mask & ~inner
    return edge


def _outline(canvas: Image, thing: Seen, factor: int, colour: Colour, size: int) -> None:
    from PIL import ImageDraw

    edges, width = _inside(canvas, thing, factor), max(2, size // 7)
    pen = ImageDraw.Draw(canvas)
    pen.rectangle(edges, outline=_DARK, width=width + 2)  # a rim, so that it is seen on ground of its own colour
    left, top, right, bottom = edges
    if right - left > 2 and bottom - top > 2:
        edges = (left + 1, top + 1, right - 1, bottom - 1)
    pen.rectangle(edges, outline=colour, width=width)


def _tag(canvas: Image, thing: Seen, factor: int, colour: Colour, size: int, tags: list[Edges]) -> None:
    """The label on ground of the box's colour, at the first place where it covers no other label; `tags` are those that
    stand, and get this one."""
    from PIL import ImageDraw

    if not thing.words:
        return
    pen, font = ImageDraw.Draw(canvas), _font(thing.words, size)
    margin = _margin(size)
    width, height = pen.textlength(thing.words, font=font) + 2 * margin, size + 2 * margin
    places = _places(_inside(canvas, thing, factor), (width, height), canvas.size)
    left, top = next((place for place in places if not _covers((*place, width, height), tags)), places[0])
    tags.append((left, top, left + width, top + height))
    pen.rectangle(tags[-1], fill=colour)
    pen.text((left + margin, top + height / 2), thing.words, fill=_ink_on(colour), font=font, anchor="lm")


def _places(box: Edges, label: tuple[float, float], canvas: tuple[int, int]) -> list[tuple[float, float]]:
    """Where a label may begin, the best first: above the box, within it, below it, and further down in steps of its
    height; each wholly in the picture, if there is room at all."""
    (left, top, _, bottom), (width, height) = box, label
    left = max(0.0, min(left, canvas[0] - width))
    tops = [top - height, top, bottom - height, bottom + 1, *np.arange(top + height, canvas[1], height).tolist()]
    inside = [place for place in tops if 0 <= place <= canvas[1] - height]
    return [(left, place) for place in inside] or [(left, max(0.0, min(top, canvas[1] - height)))]


def _covers(place: tuple[float, float, float, float], tags: Sequence[Edges]) -> bool:
    """Whether a label of (left, top, width, height) lies on one of those."""
    left, top, width, height = place
    return any(left < tag[2] and tag[0] < left + width and top < tag[3] and tag[1] < top + height for tag in tags)


def _inside(canvas: Image, thing: Seen, factor: int) -> Edges:
    """The box in the canvas, its edges in order and within the canvas: models may answer others."""
    assert thing.box is not None
    left, top, right, bottom = (edge * factor for edge in thing.box)
    (left, right), (top, bottom) = sorted((left, right)), sorted((top, bottom))
    width, height = canvas.width - 1, canvas.height - 1
    return min(max(left, 0), width), min(max(top, 0), height), min(max(right, 0), width), min(max(bottom, 0), height)


def _margin(size: int) -> int:
    """Around letters of this height."""
    return max(3, size // 6)


def _ink_on(colour: Colour) -> Colour:
    """Dark on light ground, light on dark ground (Rec. 601)."""
    return _DARK if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 120 else _INK


def _coloured(depth: NDArray[np.float32], size: tuple[int, int]) -> Image:
    """Depth as colours, in a size of (width, height)."""
    from PIL.Image import Resampling, fromarray

    low, high = _range(depth)
    levels = np.clip((np.nan_to_num(depth, nan=low) - low) / (high - low or 1), 0, 1)
    places = np.linspace(0, 1, len(_DEPTHS))
    channels = [np.interp(levels, places, column) for column in zip(*_DEPTHS, strict=True)]
    image = fromarray(np.stack(channels, axis=-1).round().astype(np.uint8))
    return image.resize(size, resample=Resampling.BILINEAR)


def _range(depth: NDArray[np.float32]) -> tuple[float, float]:
    finite = depth[np.isfinite(depth)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _depth_lines(depth: NDArray[np.float32]) -> list[tuple[str, Colour]]:
    low, high = _range(depth)
    return [(f"least {low:.4g}", _DEPTHS[1]), (f"largest {high:.4g}", _DEPTHS[-1])]


def _beside(left: Image, right: Image) -> Image:
    from PIL.Image import new

    both = new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def _with_lines(canvas: Image, lines: Sequence[tuple[str, Colour]], size: int) -> Image:
    """The picture with lines below it, each after a square of its colour, on a ground of their own."""
    from PIL import ImageDraw
    from PIL.Image import new

    lines = [(line, colour) for line, colour in lines if line]
    if not lines:
        return canvas
    width, margin = max(canvas.width, _LEAST_WIDTH), _margin(size)
    height = size + 2 * margin
    columns = max(8, int(width / (size * 0.55)) - 3)
    rows = [(piece, colour, place == 0) for line, colour in lines for place, piece in enumerate(wrap(line, columns))]
    if len(rows) > _MOST_LINES:
        rows = [*rows[: _MOST_LINES - 1], (f"and {len(rows) - _MOST_LINES + 1} more", _GROUND, True)]
    drawn = new("RGB", (width, canvas.height + height * len(rows) + 2 * margin), _GROUND)
    drawn.paste(canvas, ((width - canvas.width) // 2, 0))
    pen = ImageDraw.Draw(drawn)
    for place, (piece, colour, is_first) in enumerate(rows):
        middle = canvas.height + margin + height * place + height / 2
        if is_first:
            side = size * 0.4
            pen.rectangle((2 * margin, middle - side, 2 * (margin + side), middle + side), fill=colour)
        pen.text((size + 3 * margin, middle), piece, fill=_INK, font=_font(piece, size), anchor="lm")
    return drawn


def _font(text: str, size: int) -> Any:
    """Pillow's own font; for letters that it lacks one of the system's, where there is one."""
    from PIL import ImageFont

    if any(ord(letter) >= _LATIN for letter in text):
        for name in _SYSTEM_FONTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)
