"""Pictures like photographs, made from a seed and written as JPEG files: what a picture holds does not change how long
it takes, but its size does, and reading it is part of every answer.

An item is the file's path, its answer that of the task's pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.workloads import Inputs, Model, Sizes

if TYPE_CHECKING:
    from numpy.random import Generator
    from PIL.Image import Image

    from onnxpress_bench.backends import BackendSpec, Encodes
    from onnxpress_bench.comparison import Settings

#: Queries of a shape: enough to vary, few enough to be gone through whole.
QUERIES_ALONE, QUERIES_TOGETHER = 8, 2

#: Of the stream: so many, with the longer edge drawn from here.
STREAM_ITEMS, STREAM_EDGES = 96, (200, 900)

#: Height over width, as cameras and crops have them.
_ASPECTS = (0.75, 1.0, 1.333, 0.5625, 0.667)

LABELS = tuple(f"a {colour} {shape}" for colour in ("red", "green", "blue", "yellow", "white") for shape in (
    *("circle", "square", "star", "house", "tree", "cat", "dog", "car", "boat", "bird"),
    *("table", "chair", "cup", "book", "shoe", "clock", "flower", "fish", "train", "lamp"),
))  # fmt: skip

#: task -> arguments of the call, for every backend.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "image-classification": {"top_k": 1_000},
    "image-feature-extraction": {"return_tensors": "np"},
    "zero-shot-image-classification": {"candidate_labels": list(LABELS)},
    "zero-shot-object-detection": {"candidate_labels": list(LABELS)},
}


def answer(backend: Encodes, items: Sequence[Any]) -> Sequence[Any]:
    """The answers to the items of one batch, of backends that run a classifier alone: all labels, best first."""
    from onnxpress_bench.workloads.encoding import label_scores

    images = [open_image(item) for item in items]
    pixels = backend.tokenizer(images, return_tensors="np")["pixel_values"]
    return label_scores(backend.spec, backend.forward({backend.spec.settings["input_names"][0]: pixels}))


def load_processor(spec: BackendSpec) -> Any:
    """transformers' own image processor, on Pillow, which is what users of such backends have."""
    import transformers

    load: Any = transformers.AutoImageProcessor.from_pretrained
    is_old = int(transformers.__version__.partition(".")[0]) < 5
    return load(spec.folder, **({"use_fast": False} if is_old else {"backend": "pil"}))


def make_inputs(model: Model, settings: Settings, sizes: Sizes) -> Inputs:
    """Pictures of each size, written where they are kept for later runs.

    Raises:
        InputError: a size that is none, or a folder that cannot be written.
    """
    import numpy as np

    from onnxpress_bench import environments

    store, rng = environments.home() / "pictures", np.random.default_rng(settings.seed)
    queries = {}
    for name in dict.fromkeys(sizes.pictures):
        rows, edge = parse_size(name)
        number = QUERIES_ALONE if rows == 1 else QUERIES_TOGETHER
        names = [
            [write_picture(store, edge, settings.seed + row + rows * i) for row in range(rows)] for i in range(number)
        ]
        queries[name] = names
    edges = rng.integers(*STREAM_EDGES, STREAM_ITEMS).tolist()
    stream = [write_picture(store, 10 * (edge // 10), settings.seed + place) for place, edge in enumerate(edges)]
    return Inputs(
        unit="pictures",
        first=next((query[0][0] for query in queries.values()), stream[0]),
        shapes=queries,
        stream=stream,
        stream_tokens=[1] * len(stream),  # none is padded
        uniform=stream,
        tokens={
            **{name: float(parse_size(name)[1]) for name in queries},
            "stream": float(np.mean(edges)),
            "uniform": 0.0,
        },
    )


def parse_size(name: str) -> tuple[int, int]:
    """Rows and pixels of the longer edge of "8x500".

    Raises:
        InputError: not a size.
    """
    from onnxpress.errors import InputError

    rows, _, edge = name.partition("x")
    if not (rows.isdecimal() and edge.isdecimal() and int(rows) and 16 <= int(edge) <= 4_000):
        raise InputError(f"{name!r} is no size of pictures. Write ROWSxPIXELS, for instance 8x500, of 16 to 4,000.")
    return int(rows), int(edge)


def write_picture(store: Path, edge: int, seed: int) -> str:
    """The path of the picture of this longer edge and seed, written unless it is there.

    Raises:
        InputError: `store` cannot be written.
    """
    file = store / f"photo-{edge}-{seed}.jpg"
    if file.is_file():
        return str(file)
    from io import BytesIO

    import numpy as np

    from onnxpress.errors import InputError
    from onnxpress.format.files import write_file

    content = BytesIO()
    make_picture(edge, np.random.default_rng([seed, edge])).save(content, "JPEG", quality=88)
    try:
        store.mkdir(parents=True, exist_ok=True)
        write_file(file, content.getvalue())
    except OSError as error:
        raise InputError(f"{store}: pictures cannot be written here ({error.strerror}).") from None
    return str(file)


def make_picture(edge: int, rng: Generator) -> Image:
    """Light that changes slowly, a few shapes before it, and faint grain."""
    import numpy as np
    from PIL.Image import Resampling, fromarray
    from PIL.ImageDraw import Draw

    aspect = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    height, width = (edge, round(edge / aspect)) if aspect > 1 else (round(edge * aspect), edge)
    coarse = fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    image = coarse.resize((width, height), resample=Resampling.BICUBIC)
    pen = Draw(image)
    for _ in range(int(rng.integers(3, 8))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        size = int(rng.integers(edge // 12, edge // 3))
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((x, y, x + size, y + size), fill=tuple(rng.integers(0, 256, 3).tolist()))
    grain = rng.normal(0, 6, (height, width, 1))
    return fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


def open_image(path: str) -> Image:
    """A picture in mode "RGB"."""
    from PIL import Image as images  # noqa: N813 - its function is called open

    with images.open(path) as image:
        return image.convert("RGB")
