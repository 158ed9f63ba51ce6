"""Reads the cells of labelled maps: pictures whose pixels are numbers of labels, or depths. Errors name the cell."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.image.opening import open_picture
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.maps import UNKNOWN, LabelMap

#: What many data sets have where nobody says what is there.
_IGNORED = 255


def label_map(cell: Cell, picture: Any, labels: tuple[str, ...]) -> LabelMap:
    """A picture of one channel whose pixels are numbers of labels; 255 is unknown, unless the model has such a label.

    Raises:
        InputError: it is none, has another size than the picture, or a number that is no label's.
    """
    values = _values(cell, "a picture of one channel, whose pixels are the numbers of labels")
    _check_size(cell, values, picture)
    if not np.issubdtype(values.dtype, np.integer):
        cell.fail(f"whole numbers, from 0 to {len(labels) - 1}")
    places = values.astype(np.int64)
    if len(labels) <= _IGNORED:
        places[places == _IGNORED] = UNKNOWN
    beyond = places[(places >= len(labels)) | (places < UNKNOWN)]
    if beyond.size:
        raise InputError(
            f"{cell.place}: a pixel is {int(beyond[0])}, and the model's labels are 0 to {len(labels) - 1} "
            f"({_IGNORED}: unknown). Number the map's labels as the model's config does."
        )
    if not (places != UNKNOWN).any():
        raise InputError(f"{cell.place}: no pixel of the map is known (all are {_IGNORED}).")
    return LabelMap(labels, places)


def depth_map(cell: Cell, picture: Any) -> NDArray[np.float64]:
    """A picture of one channel, of 8, 16 or 32 bits, or an array in a .npy file, as float64 (height, width): depths in
    the model's unit; what is not above 0 was not measured.

    Raises:
        InputError: it is none, or has another size than the picture.
    """
    values = _values(cell, "depths: a picture of one channel, or a .npy file").astype(np.float64)
    _check_size(cell, values, picture)
    if not (np.isfinite(values) & (values > 0)).any():
        raise InputError(f"{cell.place}: no depth of the map is above 0.")
    return values


def _values(cell: Cell, expected: str) -> NDArray[Any]:
    """(height, width)."""
    from PIL import Image

    source = cells.picture(cell)
    try:
        if isinstance(source, str) and source.startswith("data:"):
            source = b64decode(source.partition(",")[2], validate=True)
        if isinstance(source, str) and source.endswith(".npy"):
            values = np.load(source, allow_pickle=False)
        else:
            with Image.open(BytesIO(source) if isinstance(source, bytes) else Path(source)) as image:
                values = np.asarray(image)
    except Exception as error:
        raise InputError(f"{cell.place}: expected {expected}, which cannot be read ({error}).") from error
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if values.ndim != 2 or not (np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)):
        raise InputError(f"{cell.place}: expected {expected}; this has the shape {values.shape}, {values.dtype}.")
    return np.asarray(values)


def _check_size(cell: Cell, values: NDArray[Any], picture: Any) -> None:
    image = open_picture(picture)
    if values.shape != (image.height, image.width):
        raise InputError(
            f"{cell.place}: the map has {values.shape[1]}x{values.shape[0]} pixels, and its picture "
            f"{image.width}x{image.height}."
        )
