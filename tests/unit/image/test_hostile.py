"""Hostile files are refused by name, in little memory, and nothing that is not a regular file is waited for."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxpress.errors import InputError
from onnxpress.format.pictures import ImageSettings, Resize, ResizeEdge
from onnxpress.image.opening import MAX_BYTES, open_picture
from onnxpress.image.transform import Transform
from tests.fixtures.bad.pictures import HOSTILE, ODD
from tests.fixtures.processes import in_fresh_process

#: Of address space, for any one of them.
MOST_BYTES = 256 * 2**20


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_by_name(name: str, tmp_path: Path) -> None:
    make, message = HOSTILE[name]
    path = tmp_path / "picture.png"  # which most are not
    path.write_bytes(make())
    for raw in (path.read_bytes(), path):
        with pytest.raises(InputError, match=message):
            open_picture(raw)


@pytest.mark.parametrize("name", ODD)
def test_odd_files_that_hold_a_picture(name: str) -> None:
    assert open_picture(ODD[name]()).mode == "RGB"


@in_fresh_process
def test_none_takes_memory() -> None:
    contents = {name: make() for name, (make, _) in HOSTILE.items()}
    open_picture(np.zeros((4, 4, 3), np.uint8))
    Image.init()  # all readers, before memory is counted
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_BYTES,) * 2)
    for name, content in contents.items():
        with pytest.raises(InputError) as refused:
            open_picture(content)
        assert "MemoryError" not in str(refused.value), name


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe, link, server = tmp_path / "pipe.png", tmp_path / "link.png", tmp_path / "s.png"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "nowhere.png")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(server))
        for path in (pipe, server, tmp_path, Path("/dev/zero")):
            with pytest.raises(InputError, match="is to be a picture, and it is not a file"):
                open_picture(path)
    with pytest.raises(InputError, match="there is no such file"):
        open_picture(link)


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "endless.webp"
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\x7fWEBPVP8L")
        file.truncate(MAX_BYTES + 1)  # takes no place on most disks
    with pytest.raises(InputError, match=f"more than the {MAX_BYTES} bytes that are read"):
        open_picture(path)

    class Endless:
        def read(self, size: int) -> bytes:
            return bytes(size)

    with pytest.raises(InputError, match=f"more than the {MAX_BYTES} bytes that are read"):
        open_picture(Endless())


def test_a_file_object_that_fails() -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError("the line is dead")

    with pytest.raises(InputError, match=r"cannot be read \(the line is dead"):
        open_picture(Broken())
    path = Path(__file__)
    with path.open("rb") as file:
        pass
    with pytest.raises(InputError, match=r"test_hostile.* cannot be read \(.*closed"):
        open_picture(file)


@pytest.mark.parametrize("size", [(1, 4_000), (4_000, 1)])
def test_an_extreme_shape(size: tuple[int, int]) -> None:
    """Of a model that keeps proportions nothing is made; of one that warps, what transformers makes."""
    image = Image.new("RGB", size)
    with pytest.raises(InputError, match="less extreme shape"):
        Transform(ImageSettings(("x",), (ResizeEdge(224, "bilinear"),)))(image)
    assert Transform(ImageSettings(("x",), (Resize(224, 224, "bilinear"),)))(image).shape == (3, 224, 224)
