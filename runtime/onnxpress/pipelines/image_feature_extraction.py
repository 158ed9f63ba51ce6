"""image-feature-extraction: what the encoder returns for a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnxpress.errors import InputError
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, call_pictures
from onnxpress.pipelines.tensors import as_tensors, check_tensors

#: The graph's output that `pool` asks for.
POOLED = "pooler_output"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFeatureOptions(PictureOptions):
    """`pool`: the pooled output in the place of the states. `return_tensors`: "np" or True for arrays, "pt" for
    PyTorch's tensors where the caller has imported torch, False or None for nested lists."""

    pool: bool | None = None
    return_tensors: Any = None

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        check_tensors(self.return_tensors)


class ImageFeatureExtraction(Pipeline[ImageFeatureOptions, PictureProcessor]):
    """`pipe(picture)` -> nested lists of floats (1, ...), or with `return_tensors` a float32 array of this shape: the
    states of the last layer, or with `pool` what the model pools them to. A list of pictures gives a list of these."""

    options_type = ImageFeatureOptions
    processor_type = PictureProcessor
    __call__ = call_pictures

    def check(self, options: ImageFeatureOptions) -> None:
        if options.pool and all(tensor.name != POOLED for tensor in self.graph.outputs):
            raise InputError(f"pool=True: this {self.manifest.architecture} does not pool its states. Leave it out.")

    def prepare(self, item: Any, options: ImageFeatureOptions) -> Prepared[None]:
        self.check(options)
        return Prepared((self.processor.read(item, options),), None)

    def finish(self, context: None, values: list[Any], options: ImageFeatureOptions) -> Any:
        return as_tensors(values[0][POOLED if options.pool else self.answer_name][None], options.return_tensors)
