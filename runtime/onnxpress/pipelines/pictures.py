"""Pictures as samples: how every task of pictures reads its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxpress.errors import InputError
from onnxpress.fetching.limits import PICTURE, FetchLimits, limits_where_allowed
from onnxpress.format.manifest import TensorInfo
from onnxpress.format.pictures import CHANNELS, PIXEL_MASK, ImageSettings
from onnxpress.image.opening import MAX_PIXELS, open_picture
from onnxpress.image.transform import Transform, output_size
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.collators import Stack, size_of
from onnxpress.pipelines.inputs import named_input
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.samples import Collator, Sample

if TYPE_CHECKING:
    from onnxpress.image.opening import Image

#: Pixels that take about as long as a token of text: a patch of 16x16 is what most models make of them.
_PIXELS_OF_A_TOKEN = 256

#: What a picture is taken to become, (height, width), where a model takes pictures of any size.
_USUAL_SIZE = (800, 1066)

#: What transformers calls the inputs of tasks of pictures, beside `inputs`.
NAMES = ("images", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """What every task of pictures takes. `max_pixels`: a picture of more is refused before it is read. `allow_urls`:
    whether http and https addresses are fetched, those of the public internet alone; one may take 10 seconds, and no
    longer than the call's `timeout`."""

    max_pixels: int = MAX_PIXELS
    allow_urls: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.max_pixels, int) or isinstance(self.max_pixels, bool) or self.max_pixels < 1:
            raise InputError(f"max_pixels is {self.max_pixels!r}; it must be a positive number of pixels.")
        limits_where_allowed(self.allow_urls, PICTURE)

    @property
    def urls(self) -> FetchLimits | None:
        """What fetching an address may take; None: nothing is fetched."""
        return limits_where_allowed(self.allow_urls, PICTURE)


class PictureProcessor:
    """Pictures to samples: what `onnxpress.image.opening.open_picture` takes, as what the manifest's program makes."""

    def __init__(self, model: LoadedModel) -> None:
        settings = model.processor_settings(model.artifact.manifest.processors.image, "pictures")
        self.settings = settings
        manifest, name = model.artifact.manifest, settings.input_names[0]
        taken = (tensor for graph in manifest.graphs.values() for tensor in graph.inputs)
        pixels = next((tensor for tensor in taken if tensor.name == name), None)
        self.collator: Collator = picture_collator(settings, pixels, padding=manifest.padding)
        self._transform = Transform(settings)
        height, width = output_size(settings) or _USUAL_SIZE
        #: About what a picture costs, before it is read.
        self.foreseen = _cost(height * width)

    def sample(
        self, raw: Any, context: Any = None, max_pixels: int = MAX_PIXELS, urls: FetchLimits | None = None
    ) -> Sample:
        """One picture, opened as `open_picture` does it.

        Raises:
            InputError: it is none, damaged, too large, or of a shape that the model cannot take.
        """
        return self.sample_of(open_picture(raw, max_pixels, urls), context)

    def read(self, raw: Any, options: PictureOptions) -> Sample:
        """One picture, as the options of its call say.

        Raises:
            InputError: as of `sample`.
        """
        return self.sample(raw, max_pixels=options.max_pixels, urls=options.urls)

    def sample_of(self, image: Image, context: Any = None) -> Sample:
        """A picture that is open, in mode "RGB": of a task that asks it something else, such as its size.

        Raises:
            InputError: it is of a shape that the model cannot take.
        """
        return picture_sample(self._transform, image, context)


def picture_sample(transform: Transform, image: Image, context: Any = None) -> Sample:
    """A picture in mode "RGB" as a sample: what the program makes of it, and what that costs."""
    arrays = transform.arrays(image)
    values = next(iter(arrays.values()))
    return Sample(arrays, _cost(values.size // CHANNELS), context)


def _cost(pixels: int) -> int:
    """In tokens of text."""
    return max(1, pixels // _PIXELS_OF_A_TOKEN)


def picture_collator(settings: ImageSettings, pixels: TensorInfo | None = None, *, padding: bool) -> Stack:
    """What makes batches of pictures. Those of different sizes meet only where the graph is told what is padding, and
    its answer does not depend on it (`padding`, as the manifest says).

    Args:
        pixels: the graph's input, where it may take another dtype than float32, or one number of pictures.
    """
    pads = padding and PIXEL_MASK in settings.input_names
    if pixels is None:
        return Stack(pads)
    return Stack(pads, size_of(pixels).rows, {} if pixels.dtype == "float32" else {pixels.name: pixels.dtype})


def pictures_of(inputs: Any, options: dict[str, Any]) -> Any:
    """The inputs of a call, which transformers lets be named `images` or `image`; those names leave `options`.

    Raises:
        InputError: as of `named_input`.
    """
    return named_input(inputs, options, NAMES, "picture")


def call_pictures(pipe: Pipeline[Any, Any], inputs: Any = None, **options: Any) -> Any:
    """`__call__` of a pipeline whose inputs are pictures and nothing else."""
    return Pipeline.__call__(pipe, pictures_of(inputs, options), **options)
