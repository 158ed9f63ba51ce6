"""The values of an image processor, of the file that it was saved in and of its class: as transformers' class resolves
them when it is made of the file.

Every value is a stranger's: what is not of its kind is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

from onnxpress.errors import CorruptFile, UnsupportedFormat
from onnxpress.format.pictures import CHANNELS, MAX_EDGE
from onnxpress.layouts.picture_files.classes import CLASSES

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SizeValues:
    """A size as a file says it, in pixels; what it does not say is None."""

    height: int | None = None
    width: int | None = None
    shortest_edge: int | None = None
    longest_edge: int | None = None
    max_height: int | None = None
    max_width: int | None = None

    def __str__(self) -> str:
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return str({name: value for name, value in said.items() if value is not None})


#: Which of them a size says, together; a class may have others of its own.
_SIZES = (
    frozenset({"height", "width"}),
    frozenset({"shortest_edge"}),
    frozenset({"shortest_edge", "longest_edge"}),
    frozenset({"max_height", "max_width"}),
)

#: DETR's edges, where a file does not say them.
_LONGEST = 1333
_SHORTEST = 800

_TRUTHS = (
    *("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_pad", "default_to_square", "keep_aspect_ratio"),
    *("do_flip_channel_order", "include_top", "rescale_offset", "do_thumbnail", "do_align_long_axis"),
)
#: What has to be known where something is to be done.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "do_center_crop": ("crop_size",),
    "do_rescale": ("rescale_factor",),
    "do_normalize": ("image_mean", "image_std"),
}
#: What every class has, and most are not told.
_ABSENT = ("crop_size", "pad_size", "do_pad", "do_center_crop", "image_mean", "image_std")
_COUNTS = ("size_divisor", "ensure_multiple_of", "patch_size", "max_num_patches")
_ROWS = ("image_mean", "image_std")


def values_of(name: str, saved: Mapping[str, Any], where: object) -> SimpleNamespace:
    """The attributes of the class `name`, one of CLASSES, made of what its file says.

    Raises:
        CorruptFile: a value is of another kind than it should be. `where`: the file, for the message.
        UnsupportedFormat: it names a size that no class has.
    """
    if (renew := _OLDER.get(name)) is not None:
        saved = renew(dict(saved))
    resolved = {**dict.fromkeys(_ABSENT), **CLASSES[name].values, **saved}  # what a file sets to null is null
    _check(resolved, where)
    of_edge = not resolved["default_to_square"]
    known = (*_SIZES, frozenset(CLASSES[name].values.get("size") or ()))
    for key in ("size", "crop_size", "pad_size"):
        if (value := resolved.get(key)) is not None:
            resolved[key] = _size(value, of_edge and key == "size", known, f"{where}: {key}")
    if resolved.get("size") is None:
        resolved["size"] = SizeValues()
    for key, needed in _NEEDED.items():
        for value in needed if resolved.get(key) else ():
            if resolved.get(value) is None:
                raise UnsupportedFormat(f"{where}: {key} is true, and {value} is missing.")
    return SimpleNamespace(class_name=f"{name}ImageProcessor", **resolved)


def _renew_detr(saved: Values) -> Values:
    """The longest edge is a value of its own, and so is the padding."""
    if "pad_and_return_pixel_mask" in saved:
        saved.setdefault("do_pad", saved["pad_and_return_pixel_mask"])
    if saved.get("size", saved) is None:
        del saved["size"]
    if isinstance(saved.get("size"), int):
        saved["size"] = _edges(saved["size"], saved.get("max_size", _LONGEST))
    return saved


def _renew_maskformer(saved: Values) -> Values:
    size, longest = saved.get("size"), saved.get("max_size")
    if isinstance(size, int):
        saved["size"] = _edges(size, longest)
    elif size is None:
        saved["size"] = _edges(_SHORTEST, _LONGEST if longest is None else longest)
    return saved


def _edges(shortest: int, longest: Any) -> dict[str, Any]:
    return {"shortest_edge": shortest} | ({} if longest is None else {"longest_edge": longest})


def _renew_donut(saved: Values) -> Values:
    """A list is width and height."""
    size = saved.get("size")
    return {**saved, "size": size[::-1]} if isinstance(size, list) else saved


def _renew_clip(saved: Values) -> Values:
    edge = CLASSES["CLIP"].values["size"]["shortest_edge"]
    return {**saved, "size": {"height": edge, "width": edge}} if saved.get("use_square_size") else saved


def _renew_owl(saved: Values) -> Values:
    return {**saved, "do_rescale": saved["rescale"]} if "rescale" in saved else saved


def _renew_swin2sr(saved: Values) -> Values:
    if saved.get("pad_size") is None:
        return saved
    renewed = {"size_divisor": saved["pad_size"], **saved}
    del renewed["pad_size"]
    return renewed


#: What older files of a class say otherwise.
_OLDER: Mapping[str, Callable[[Values], Values]] = {
    "CLIP": _renew_clip,
    "ConditionalDetr": _renew_detr,
    "DeformableDetr": _renew_detr,
    "Detr": _renew_detr,
    "Donut": _renew_donut,
    "Mask2Former": _renew_maskformer,
    "MaskFormer": _renew_maskformer,
    "OwlViT": _renew_owl,
    "Owlv2": _renew_owl,
    "Swin2SR": _renew_swin2sr,
    "Yolos": _renew_detr,
}


def _size(value: Any, of_edge: bool, known: Sequence[frozenset[str]], where: str) -> SizeValues:
    """A size as files say it: an object, (height, width), or one number.

    Args:
        of_edge: whether one number is that of the shorter edge, not of both.
        known: the names that may stand together.
    """
    if isinstance(value, int):
        value = {"shortest_edge": value} if of_edge else {"height": value, "width": value}
    elif isinstance(value, list) and len(value) == len(("height", "width")):
        value = {"height": value[0], "width": value[1]}
    if not isinstance(value, Mapping) or not all(_is_count(edge) for edge in value.values()):
        raise CorruptFile(f"{where} should be numbers of pixels up to {MAX_EDGE}, not {value!r:.60}.")
    if frozenset(value) not in known:
        raise UnsupportedFormat(f"{where} is {value!r:.60}, which is not read by this version.")
    return SizeValues(**value)


def _check(values: Mapping[str, Any], where: object) -> None:
    kinds: dict[str, tuple[str, Callable[[Any], bool]]] = {
        **dict.fromkeys(_TRUTHS, ("true or false", lambda value: isinstance(value, (bool, int)))),
        **dict.fromkeys(_COUNTS, (f"a number up to {MAX_EDGE}", lambda value: _is_count(value, least=0))),
        **dict.fromkeys(_ROWS, ("a number, or one for each channel", _is_row)),
        "rescale_factor": ("a number", _is_number),
        "crop_pct": ("a number above 0", lambda value: _is_number(value) and value > 0),
        "resample": ("a number", lambda value: isinstance(value, int)),
    }
    for key, (words, fits) in kinds.items():
        if (value := values.get(key)) is not None and not fits(value):
            raise CorruptFile(f"{where}: {key} should be {words}, not {value!r:.60}. Download it again.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e9


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MAX_EDGE


def _is_row(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) == CHANNELS and all(map(_is_number, value))
    return _is_number(value)
