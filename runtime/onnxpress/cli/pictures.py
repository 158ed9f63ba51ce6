"""Pictures on a command line: what is told of one, and where a drawn one is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress.errors import InputError

if TYPE_CHECKING:
    from onnxpress.image.seen import Seen, Sight
    from onnxpress.pipelines.base import Pipeline

#: What a drawn picture may be written as.
_WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

#: Where an input that is an object has its picture.
_FIELDS = ("image", "images", "inputs", "input")


def reads_pictures(pipe: Pipeline[Any, Any]) -> bool:
    """Whether the inputs of a pipeline are pictures."""
    return pipe.manifest.processors.image is not None


def describe(result: Any) -> str | None:
    """What is told of a picture, a line for each thing; None: nothing of it can be read."""
    from onnxpress.image.seen import see

    sight = see(result)
    if sight is None:
        return None
    if sight.image is not None:
        return f"a picture of {sight.image.width}x{sight.image.height} pixels"
    if sight.depth is not None:
        depth, (height, width) = sight.depth, sight.depth.shape
        return f"depth {depth.min():.4g} to {depth.max():.4g}, mean {depth.mean():.4g}, of {width}x{height}"
    longest = max((len(thing.text) for thing in sight.things), default=0)
    return "\n".join(_told(thing, longest) for thing in sight.things) or "nothing"


def _told(thing: Seen, longest: int) -> str:
    score = "" if thing.score is None else f"{thing.score:.4f}  "
    parts = [] if thing.mask is None else [f"{thing.mask.mean():.1%} of the picture"]
    if (extent := thing.extent) is not None:
        left, top, right, bottom = extent
        parts.append(f"x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f}")
    return f"{score}{thing.text:<{longest}}  {', '.join(parts)}" if parts else f"{score}{thing.text}"


@dataclass(slots=True)
class Drawings:
    """Writes what was seen of pictures onto copies of them: to one file, or for several into a folder."""

    target: Path
    _names: set[str] = field(default_factory=set)

    @property
    def is_file(self) -> bool:
        """Whether there is room for one picture alone."""
        return self.target.suffix.lower() in _WRITTEN and not self.target.is_dir()

    def check(self, count: int) -> None:
        """Raises InputError where so many pictures do not go into one file, or the target is no folder."""
        if count > 1 and self.is_file:
            raise InputError(f"--draw {self.target} is one file, and there are several pictures: name a folder.")
        if self.target.is_file() and not self.is_file:
            raise InputError(f"--draw {self.target}: a picture is written as {', '.join(_WRITTEN)}, or into a folder.")

    def write(self, body: Any, result: Any) -> list[Path]:
        """Draw the result, or the results, of a row; the files that were written.

        Raises:
            InputError: there is nothing to draw, no room, or a file cannot be written.
        """
        from onnxpress.image.drawing import draw
        from onnxpress.image.opening import open_picture
        from onnxpress.image.seen import see

        written = []
        for picture, single in _pairs(body, result):
            sight: Sight | None = see(single)
            if sight is None:
                raise InputError("--draw: this result is numbers, of which nothing can be drawn.")
            self.check(len(self._names) + 1)
            file = self._file(picture)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                draw(open_picture(picture), sight).save(file)
            except OSError as error:
                raise InputError(f"--draw {file}: cannot be written ({error.strerror or error}).") from error
            written.append(file)
        return written

    def _file(self, picture: Any) -> Path:
        """The target, or a name in it that no picture of this run has yet."""
        is_path = isinstance(picture, str) and not picture.startswith("data:")
        stem = (Path(picture).stem if is_path else "") or "picture"
        name, number = stem, 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name)
        return self.target if self.is_file else self.target / f"{name}.png"


def _pairs(body: Any, result: Any) -> list[tuple[Any, Any]]:
    """Each picture of a row with its result."""
    if isinstance(body, Mapping):
        inputs = next((body[name] for name in _FIELDS if name in body), None)
        return _pairs(inputs, result) if inputs is not None else []
    if isinstance(body, Sequence) and not isinstance(body, str):
        pictures = [picture for entry in body for picture, _ in _pairs(entry, None)]
        return list(zip(pictures, result if isinstance(result, Sequence) else [None] * len(pictures), strict=False))
    return [(body, result)]
