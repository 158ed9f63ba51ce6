"""What a layout is. A layout is one file of this package that ends in one row; `table.LAYOUTS` lists the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onnxpress.format.model import Model


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of laying out the files of a model.

    `marks`: files by which it is known, and all that `read` looks at; of a repository they are fetched first.
    `read`: folder -> what the folder holds; None: these files are laid out another way. It raises ArtifactError for a
    folder that is its own and damaged.
    """

    name: str
    marks: tuple[str, ...]
    read: Callable[[Path], Model | None]
