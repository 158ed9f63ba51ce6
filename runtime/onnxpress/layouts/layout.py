"""What a layout is. A layout is one file of this package that ends in one row; `table.LAYOUTS` lists the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnxpress.format.model import Model
from onnxpress.layouts.files import Files


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller says of a folder, which stands above what its files say.

    `precision`: the variant to describe; None: the usual one. `pooling`: how token states become one vector.
    `files`: the graph files to run, with the folder or without; `folder`: where they are, "" or a path that ends in
    "/". `labels`: the names of the classes, by number. `output`: the output of the graph that answers.
    """

    precision: str | None = None
    pooling: str | None = None
    files: tuple[str, ...] = ()
    folder: str = ""
    labels: tuple[str, ...] = ()
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of laying out the files of a model.

    `marks`: files by which it is known; of a repository they are fetched first. `read`: what the files hold; None:
    they are laid out another way. It raises ArtifactError for files that are its own and damaged.
    """

    name: str
    marks: tuple[str, ...]
    read: Callable[[Files, Asked], Model | None]
