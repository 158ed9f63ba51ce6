"""Pictures: the checkpoint's image processor, as a program of the manifest."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress.format.manifest import TensorInfo
from onnxpress.format.pictures import CHANNELS, PATCH_GRID, PATCH_MASK, PIXEL_MASK, ImageSettings
from onnxpress.format.processors import Processors
from onnxpress.image.transform import output_size
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.generating import Built
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.inputs.base import answers_of, class_of, copy_processor_files, shaped
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.image_processors import read_image_processor
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.source.processors import load_image_processor
from onnxpress_exporter.tasks.row import ExportTask, Tower

_BATCH = "batch"

#: Pictures that are traced: a number unlike any size inside a model.
_ROWS = 5

#: Heights and widths where pictures keep their own: multiples of what processors round to, and unlike. The first is
#: traced.
ANY_SIZES = ((96, 160), (128, 192))

#: Of pictures that become patches, whose arrays are of one shape.
_NO_SIZE = (0, 0)

#: Answers that differ by less than this share of the largest number are the same.
_SAME = 1e-4


class PictureInputs:
    """As `Inputs` says, of the program that a processor of transformers was read as."""

    check: Check | None = None

    def __init__(self, settings: ImageSettings) -> None:
        #: The program.
        self.settings = settings

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        """As `Inputs` says."""
        if row.parts is not None:
            return list(row.parts(model))
        assert row.outputs is not None, f"{row.name} has graphs of its own"
        return [self.traceable_tower(Tower("model", "encoder", "image", model, row.outputs(model)), row.by_rows(model))]

    def traceable_tower(self, tower: Tower, module: Any = None) -> Traceable:
        """float32 (batch, channels, height, width), of one size where the program makes all pictures of one; and the
        mask of padding, where the model's answers need it.

        Args:
            module: what is traced in the place of the tower's own, which answers the same.

        Raises:
            UnsupportedCheckpoint: it does not take such pictures.
        """
        model = tower.module
        settings = self._of_graph(model)
        size = output_size(settings)
        sizes = ANY_SIZES if size is None else (size,)
        if settings.patches is not None:
            sizes = (_NO_SIZE,)
        answers = [_answers(model, settings, examples(settings, each)) for each in sizes]
        outputs = tuple(shaped(tensor, answers) for tensor in tower.outputs if answers[0].get(tensor.name) is not None)
        if not outputs or outputs[0].name != tower.outputs[0].name:
            raise UnsupportedCheckpoint(f"{class_of(model)} does not return {tower.outputs[0].name}.")
        inputs = examples(settings, sizes[0])
        axes = size or ("height", "width")
        sources = tuple(
            TensorInfo(name, str(array.dtype).removeprefix("torch."), (_BATCH, *_axes(array, settings, axes)))
            for name, array in inputs.items()
        )
        return Traceable(GraphSpec(tower.name, sources, outputs, tower.role), module or model, inputs)

    def built(self, model: Any) -> Built:
        raise AssertionError(f"{type(model).__name__} reads pictures and writes nothing")

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says. The manifest says it all; the checkpoint's own file is for other libraries."""
        copy_processor_files(checkpoint, folder)
        return Processors(image=self._of_graph(model))

    def _of_graph(self, model: Any) -> ImageSettings:
        """The program, with a mask only where the graph gains by one: where a picture has padding when it is alone, or
        the model answers beside larger pictures as it does without them."""
        settings = self.settings
        if PIXEL_MASK not in settings.input_names:
            return settings
        takes = PIXEL_MASK in inspect.signature(model.forward).parameters
        if takes and (settings.pad is not None or _heeds_mask(model, settings)):
            return settings
        return replace(settings, input_names=tuple(name for name in settings.input_names if name != PIXEL_MASK))


def examples(settings: ImageSettings, size: tuple[int, int], rows: int = _ROWS) -> dict[str, Any]:
    """What the graph takes of noise: float32 (rows, channels, height, width), and int64 (rows, height, width) of a
    mask, all ones. Of patches: float32 (rows, patches, numbers) of various grids, and what tells of these."""
    import torch

    pixels, *others = settings.input_names
    generator = torch.Generator().manual_seed(0)
    if (patches := settings.patches) is not None:
        grids = torch.tensor([_grid(row, patches.most) for row in range(rows)])
        mask = (torch.arange(patches.most)[None] < grids.prod(1)[:, None]).to(torch.int64)
        values = torch.randn((rows, patches.most, patches.patch**2 * CHANNELS), generator=generator)
        return {pixels: values * mask[:, :, None], PATCH_MASK: mask, PATCH_GRID: grids}
    arrays = {pixels: torch.randn((rows, CHANNELS, *size), generator=generator)}
    return arrays | {name: torch.ones((rows, *size), dtype=torch.int64) for name in others if name == PIXEL_MASK}


def _grid(row: int, most: int) -> tuple[int, int]:
    """Patches high and wide: one, square, wide, high, side by side. None has one column of several: PyTorch's kernel
    resizes a table to such a size otherwise than its definition says."""
    side = max(1, int(most**0.5))
    grids = ((1, 1), (side, side), (max(1, side // 2), most // max(1, side // 2)), (side, max(1, side - 1)), (1, most))
    return grids[row % len(grids)]


def _axes(array: Any, settings: ImageSettings, size: tuple[int | str, int | str]) -> tuple[int | str, ...]:
    return tuple(array.shape[1:]) if settings.patches is not None else (*array.shape[1:-2], *size)


def _answers(model: Any, settings: ImageSettings, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    size = output_size(settings)
    shape = " x ".join(map(str, size)) if size else "of any size"
    return answers_of(model, inputs, f"pictures as its image processor makes them ({shape})")


def _heeds_mask(model: Any, settings: ImageSettings) -> bool:
    """Whether a picture that is padded to a larger one's size, and masked, is answered as it is alone. Where strides
    overlap, as those of most convolutions do, the padding shows at the picture's border."""
    import torch

    (height, width), larger = ANY_SIZES[0], ANY_SIZES[1]
    alone = examples(settings, (height, width), 1)
    beside = {name: torch.zeros((1, *array.shape[1:-2], *larger), dtype=array.dtype) for name, array in alone.items()}
    for name, array in beside.items():
        array[..., :height, :width] = alone[name]
    expected, padded = _answers(model, settings, alone), _answers(model, settings, beside)
    pairs = [(value, padded[name]) for name, value in expected.items() if isinstance(value, torch.Tensor)]
    return all(a.shape == b.shape and bool((a - b).abs().max() <= _SAME * a.abs().max()) for a, b in pairs)


def read_pictures(checkpoint: Checkpoint, arguments: LoadArguments) -> PictureInputs:
    """The checkpoint's image processor.

    Raises:
        UnsupportedCheckpoint: there is none, or its class does what no step of the manifest does.
        VerificationFailed: it was read wrong.
    """
    return PictureInputs(read_image_processor(load_image_processor(checkpoint)))
