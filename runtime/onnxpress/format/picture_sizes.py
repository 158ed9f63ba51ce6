"""The sizes that pictures are resized to: pure functions on whole numbers of pixels, (height, width) in and out.

Rounding is transformers' own (`transformers.image_transforms`), digit by digit: a pixel more is another answer.
"""

from __future__ import annotations

from math import ceil

Pixels = tuple[int, int]


def shortest_edge(size: Pixels, shortest: int) -> Pixels:
    """The shorter edge as asked, the other in proportion, rounded down (`get_resize_output_image_size`)."""
    height, width = size
    if width <= height:
        return int(shortest * height / width), shortest
    return shortest, int(shortest * width / height)


def longest_edge(size: Pixels, longest: int) -> Pixels:
    """The longer edge as asked, the other in proportion, both rounded
    (`transformers.models.sam.image_processing_pil_sam.SamImageProcessorPil._get_preprocess_shape`)."""
    scale = longest * 1.0 / max(size)
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def shortest_and_longest_edge(size: Pixels, shortest: int, longest: int) -> Pixels:
    """The shorter edge as asked unless the other would be longer than `longest` (`get_size_with_aspect_ratio`)."""
    height, width = size
    exact: float = shortest
    if max(size) / min(size) * shortest > longest:
        exact = longest * float(min(size)) / float(max(size))
        shortest = round(exact)
    if min(size) == shortest:
        return size
    if width < height:
        return int(exact * height / width), shortest
    return shortest, int(exact * width / height)


def multiples_by_edges(size: Pixels, shortest: int, longest: int, divisor: int) -> Pixels:
    """As `shortest_and_longest_edge`, each edge then down to a multiple (`get_size_with_aspect_ratio_yolos`, which
    computes the height of a tall picture even where its width is as asked)."""
    height, width = size
    exact: float = shortest
    if max(size) / min(size) * shortest > longest:
        exact = longest * float(min(size)) / float(max(size))
        shortest = round(exact)
    if width < height:
        return down_to_multiple((int(exact * height / width), shortest), divisor)
    if height == shortest:
        return down_to_multiple(size, divisor)
    return down_to_multiple((shortest, int(exact * width / height)), divisor)


def nearest_by_edges(size: Pixels, shortest: int, longest: int, divisor: int) -> Pixels:
    """The shorter edge as asked, or less where the other would be longer than `longest`; rounded, and down to multiples
    (`transformers.models.vilt.image_processing_pil_vilt.get_resize_output_image_size`)."""
    height, width = size
    scale = shortest / min(height, width)
    exact: tuple[float, float] = (shortest, scale * width) if height < width else (scale * height, shortest)
    if max(exact) > longest:
        scale = longest / max(exact)
        exact = (scale * exact[0], scale * exact[1])
    return down_to_multiple((int(exact[0] + 0.5), int(exact[1] + 0.5)), divisor)


def within(size: Pixels, most: Pixels) -> Pixels:
    """As large as fits, rounded down (`get_image_size_for_max_height_width`)."""
    height, width = size
    scale = min(most[0] / height, most[1] / width)
    return int(height * scale), int(width * scale)


def over(size: Pixels, least: Pixels) -> Pixels:
    """As small as covers that, rounded (`timm.data.transforms.ResizeKeepRatio`)."""
    ratio = min(size[0] / least[0], size[1] / least[1])
    return round(size[0] / ratio), round(size[1] / ratio)


def down_to_multiple(size: Pixels, divisor: int) -> Pixels:
    """Each edge down to a multiple."""
    return size[0] // divisor * divisor, size[1] // divisor * divisor


def to_patches(size: Pixels, patch: int, most: int) -> Pixels:
    """As large as makes so many patches or fewer, each edge up to a multiple of a patch, found by halves
    (`transformers.models.siglip2.image_processing_siglip2.get_image_size_for_max_num_patches`)."""

    def scaled(scale: float) -> Pixels:
        height, width = (max(patch, int(ceil(edge * scale / patch) * patch)) for edge in size)
        return height, width

    least, largest = _NEAR / 10, 100.0
    while largest - least >= _NEAR:
        middle = (least + largest) / 2
        height, width = scaled(middle)
        if (height / patch) * (width / patch) <= most:
            least = middle
        else:
            largest = middle
    return scaled(least)


#: Where two scales are one to `to_patches`.
_NEAR = 1e-5


def up_to_multiple(size: Pixels, divisor: int) -> Pixels:
    """Each edge up to a multiple."""
    return -(-size[0] // divisor) * divisor, -(-size[1] // divisor) * divisor


def near(size: Pixels, wanted: Pixels, multiple: int, *, proportional: bool) -> Pixels:
    """Near to a size (`transformers.models.dpt.image_processing_dpt.get_resize_output_image_size`)."""
    height, width = size
    down, across = wanted[0] / height, wanted[1] / width
    if proportional:
        down = across = across if abs(1 - across) < abs(1 - down) else down
    return round(down * height / multiple) * multiple, round(across * width / multiple) * multiple


def shrunk(size: Pixels, most: Pixels) -> Pixels:
    """Where an edge is longer than in `most`: that, and the other in proportion to the longer one, rounded down
    (`DonutImageProcessorPil.thumbnail`)."""
    (height, width), fitting = size, (min(size[0], most[0]), min(size[1], most[1]))
    if fitting == size or height == width:
        return fitting
    if height > width:
        return fitting[0], int(width * fitting[0] / height)
    return int(height * fitting[1] / width), fitting[1]


def lies_across(size: Pixels, wanted: Pixels) -> bool:
    """Whether one of them is wider than high, and the other higher than wide."""
    return (size[0] - size[1]) * (wanted[0] - wanted[1]) < 0


def share_of_shorter(size: Pixels, shares: tuple[float, float]) -> Pixels:
    """Shares of the shorter edge, rounded down (`PerceiverImageProcessorPil.center_crop`)."""
    return int(shares[0] * min(size)), int(shares[1] * min(size))
