"""What a caller has becomes a picture, or is refused by name: quickly, and before it takes memory."""

from __future__ import annotations

import base64
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from onnxpress.errors import InputError
from onnxpress.image.opening import open_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
IMAGE = Image.fromarray(PIXELS)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says it has so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_every_form_gives_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "ein Bild, ü.png"
    path.write_bytes(content := encoded(IMAGE))
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    with path.open("rb") as file:
        for raw in (path, str(path), content, bytearray(content), file, BytesIO(content), uri, IMAGE, PIXELS):
            assert np.array_equal(np.asarray(open_picture(raw)), PIXELS)
    assert np.array_equal(np.asarray(open_picture(PIXELS.transpose(2, 0, 1))), PIXELS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_a_mode_becomes_colours_as_pillow_converts_it(mode: str) -> None:
    image = (IMAGE.convert("L") if mode in ("1", "LA", "P", "PA") else IMAGE).convert(mode)
    assert np.array_equal(np.asarray(open_picture(image)), np.asarray(image.convert("RGB")))


def test_transparency_is_dropped_not_painted_over() -> None:
    red = Image.new("RGBA", (3, 2), (255, 0, 0, 0))
    assert np.asarray(open_picture(encoded(red)))[0, 0].tolist() == [255, 0, 0]
    assert np.asarray(open_picture(np.asarray(red)))[0, 0].tolist() == [255, 0, 0]


def test_a_photograph_is_turned_as_its_camera_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    turned = open_picture(encoded(IMAGE, "JPEG", exif=exif.tobytes()))
    assert turned.size == (12, 17)


def test_the_first_of_several_frames_counts() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(open_picture(moving))[0, 0].tolist() == [255, 0, 0]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a bomb": (lambda: png(60_000, 60_000), "pixels that are read"),
    "a smaller bomb": (lambda: png(9_000, 9_000), r"has 9000x9000 pixels, more than the 50000000 that are read"),
    "half a PNG": (lambda: encoded(IMAGE)[:200], "damaged picture"),
    "half a JPEG": (lambda: encoded(IMAGE, "JPEG")[:-300], "damaged picture"),
    "a text": (lambda: b"no picture at all", r"no picture of a known format \(BMP, "),
    "nothing": (lambda: b"", "no picture of a known format"),
    "a vector drawing": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture of a known format"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture of a known format"),
    "16 bits": (lambda: encoded(Image.fromarray(np.full((4, 4), 40_000, np.uint16))), "more than 8 bits a channel"),
    "floats in a TIFF": (lambda: encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "more than 8 bits a channel"),
    "an image of floats": (lambda: Image.new("F", (4, 4), 0.5), "more than 8 bits a channel"),
    "an array of floats": (lambda: np.zeros((4, 4, 3)), r"must be uint8, from 0 to 255, not float64"),
    "an array of booleans": (lambda: np.zeros((4, 4, 3), bool), "not bool"),
    "not a number": (lambda: np.full((4, 4, 3), np.nan), "must be uint8"),
    "an empty array": (lambda: np.zeros((0, 4, 3), np.uint8), r"empty: \(0, 4, 3\)"),
    "five channels": (lambda: np.zeros((9, 9, 5), np.uint8), r"not \(9, 9, 5\)"),
    "a film": (lambda: np.zeros((2, 9, 9, 3), np.uint8), r"not \(2, 9, 9, 3\)"),
    "a huge array": (lambda: np.zeros((9_000, 9_000), np.uint8), "more than the 50000000"),
    "no file": (lambda: "/nowhere/cat.png", r"'/nowhere/cat.png' is to be a picture, and there is no such file"),
    "a folder": (lambda: "/", "it is not a file"),
    "a long text": (lambda: "x" * 10_000, r"'x{80}' is to be a picture"),
    "a null": (lambda: "a\0b", "is to be a picture"),
    "an address": (lambda: "https://example.org/cat.png", "pass allow_urls=True"),
    "a bare URI": (lambda: "data:image/png,abc", "no data URI of base64"),
    "no base64": (lambda: "data:image/png;base64,a*b", "no base64"),
    "a number": (lambda: 7, "A picture is expected: .* not int"),
    "none": (lambda: None, "not NoneType"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_name(kind: str) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(InputError, match=message):
        open_picture(make())


@given(st.integers(0, 10**9), st.integers(0, 400), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
def test_a_damaged_file_is_a_picture_or_refused(seed: int, place: int, kind: str) -> None:
    content = bytearray(encoded(IMAGE, kind))
    generator = np.random.default_rng(seed)
    for _ in range(4):
        content[int(generator.integers(len(content)))] = int(generator.integers(256))
    with suppress(InputError):
        assert open_picture(bytes(content[: len(content) - place % 7])).mode == "RGB"


def test_pictures_opened_in_several_threads_leave_the_warnings_as_they_were() -> None:
    """Filters of warnings are those of the whole process."""
    before, files = list(warnings.filters), [encoded(IMAGE, kind) for kind in ("PNG", "JPEG")] * 40

    def read(file: bytes) -> tuple[int, int]:
        return open_picture(file).size

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(read, files)) == {IMAGE.size}
    assert list(warnings.filters) == before
