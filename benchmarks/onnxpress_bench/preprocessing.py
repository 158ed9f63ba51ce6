"""How fast pictures and sounds become arrays, against transformers' own processors:
`python -m onnxpress_bench.preprocessing`, or with the names of some of CLASSES and EXTRACTORS behind it.

Each block is a fresh process of one thread, in which the sides alternate on the same photographs and sounds; a class's
gain is the median of its blocks' ratios, with its interval. `resize` is the share of our time that Pillow's resizing
takes, which both sides have in common: where it is large, no other way to compute the rest makes much of a difference.
Whisper's extractor has two ways to its spectra, with PyTorch and with numpy: both are compared without what is around.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from onnxpress_bench.statistics import paired_gain

#: Classes of transformers, each as it comes.
CLASSES = (
    "ViT", "DeiT", "Beit", "Bit", "CLIP", "Siglip", "Blip", "ConvNext", "EfficientNet", "MobileViT", "MobileNetV2",
    "Levit", "PoolFormer", "Segformer", "Detr", "Perceiver", "DPT",
)  # fmt: skip

#: (width, height) of the photographs.
SIZES = ((640, 427), (1920, 1281))

#: Feature extractors of transformers, each as it comes, and seconds of the sounds.
EXTRACTORS = ("Whisper", "AST", "SeamlessM4T", "Speech2Text", "Wav2Vec2")
SECONDS = (11, 30)

#: Fresh processes, and rounds in each, of which the fastest counts.
BLOCKS, ROUNDS = 7, 9


def main() -> None:
    """Print the table, of those that are named."""
    names = sys.argv[1:] or [*CLASSES, *EXTRACTORS]
    if unknown := set(names) - {*CLASSES, *EXTRACTORS}:
        sys.exit(f"There are no {', '.join(sorted(unknown))}; there are: {', '.join((*CLASSES, *EXTRACTORS))}.")
    if classes := [name for name in CLASSES if name in names]:
        _print_pictures(_blocks("measure", classes))
    if extractors := [name for name in EXTRACTORS if name in names]:
        _print_sounds(_blocks("measure_sounds", extractors))


def _blocks(function: str, names: list[str]) -> list[dict[str, dict[str, float]]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", f"from onnxpress_bench.preprocessing import {function} as of; of({names!r})"]
    return [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
        for _ in range(BLOCKS)
    ]


def _print_pictures(blocks: list[dict[str, dict[str, float]]]) -> None:
    lines = [
        "| class | photograph | transformers, ms | onnxpress, ms | times as fast | resize |",
        "|---|---|---|---|---|---|",
    ]
    for row in blocks[0]:
        theirs, ours, resizing = ([block[row][side] for block in blocks] for side in ("theirs", "ours", "resize"))
        gain = paired_gain(theirs, ours, lower_is_better=True)
        lines.append(
            f"| {row.replace(' ', ' | ')} | {min(theirs):.1f} | {min(ours):.1f} | {gain.ratio:.2f} "
            f"({gain.low:.2f} to {gain.high:.2f}) | {min(resizing) / min(ours):.0%} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")


def _print_sounds(blocks: list[dict[str, dict[str, float]]]) -> None:
    lines = [
        "| extractor | seconds | against | theirs, ms | onnxpress, ms | times as fast |",
        "|---|---|---|---|---|---|",
    ]
    for row, sides in blocks[0].items():
        ours = [block[row]["ours"] for block in blocks]
        for side in sides:
            if side == "ours":
                continue
            theirs = [block[row][side] for block in blocks]
            gain = paired_gain(theirs, ours, lower_is_better=True)
            lines.append(
                f"| {row.replace(' ', ' | ')} | {side} | {min(theirs):.1f} | {min(ours):.1f} | {gain.ratio:.2f} "
                f"({gain.low:.2f} to {gain.high:.2f}) |"
            )
    sys.stdout.write("\n" + "\n".join(lines) + "\n")


def measure_sounds(names: Sequence[str] = EXTRACTORS) -> None:
    """One block, as JSON: the milliseconds of each side by extractor and seconds."""
    import warnings

    import numpy as np
    import transformers

    from onnxpress.audio.transform import SoundTransform
    from onnxpress_exporter.judging.sounds import voice
    from onnxpress_exporter.source.feature_extractors import read_feature_extractor

    warnings.simplefilter("ignore")  # of bands without a frequency
    results = {}
    for name in names:
        extractor = getattr(transformers, f"{name}FeatureExtractor")()
        rate, transform = extractor.sampling_rate, SoundTransform(read_feature_extractor(extractor))
        for seconds in SECONDS:
            sound = voice(rate, seconds, 1)
            sides: dict[str, Callable[[], Any]] = {
                "the extractor": partial(extractor, sound, sampling_rate=rate, return_tensors="np"),
                "ours": partial(transform, sound),
            }
            if name == "Whisper":
                padded = np.pad(sound, (0, extractor.n_samples - len(sound)))[None]
                sides["its PyTorch path"] = partial(extractor._torch_extract_fbank_features, padded)
                sides["its numpy path"] = partial(extractor._np_extract_fbank_features, padded, "cpu")
            results[f"{name} {seconds}"] = _alternated(sides)
    sys.stdout.write(json.dumps(results))


def measure(names: Sequence[str] = CLASSES) -> None:
    """One block, as JSON: the milliseconds of each side by class and size."""
    import transformers
    from PIL import Image
    from sklearn.datasets import load_sample_images

    from onnxpress.format.pictures import CenterCrop
    from onnxpress.image.transform import Transform
    from onnxpress_exporter.source.image_processors import read_image_processor

    photograph = Image.fromarray(load_sample_images().images[0])
    results = {}
    for name in names:
        processor = getattr(transformers, f"{name}ImageProcessorPil")()
        settings = read_image_processor(processor)
        transform, resizing = Transform(settings), [s for s in settings.steps if not isinstance(s, CenterCrop)]

        for size in SIZES:
            image = photograph.resize(size)
            sides: dict[str, Callable[[], Any]] = {
                "theirs": partial(processor, images=image, return_tensors="np"),
                "ours": partial(transform, image),
                "resize": partial(_resized, resizing, image),
            }
            results[f"{name} {size[0]}x{size[1]}"] = _alternated(sides)
    sys.stdout.write(json.dumps(results))


def _resized(steps: list[Any], image: Any) -> Any:
    from onnxpress.image.transform import apply

    for step in steps:
        image = apply(step, image)
    return image


def _alternated(sides: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """The least milliseconds of processor time of each."""
    least = dict.fromkeys(sides, float("inf"))
    for _ in range(ROUNDS):
        for name, call in sides.items():
            began = time.process_time()
            call()
            least[name] = min(least[name], (time.process_time() - began) * 1000)
    return least


if __name__ == "__main__":
    main()
