"""What tools call the graphs of a model: by their files' names it is known which belong together, and how precise they
are."""

from __future__ import annotations

from collections.abc import Mapping

from onnxpress.format.precisions import SUFFIXES
from onnxpress.layouts.files import Files

#: The graph of a model that has but one; those of one that writes about a text; what makes keys and values of the text.
MODEL, ENCODER, DECODER, KEYS = "model", "encoder_model", "decoder_model_merged", "decoder_model"
#: What reads the first tokens of a row, where the model goes on from there.
PROMPT = "prompt"
#: Of a model that reads texts and pictures apart, what makes vectors of each.
TEXTS, PICTURES = "text_model", "vision_model"

#: Precision -> the graphs of a variant, by name -> file.
Variants = Mapping[str, Mapping[str, str]]

#: Graph -> the names of its files without suffix and ending, the first that is there counts. In the order in which they
#: are looked for: what writes about what it reads, what reads or continues texts, what reads texts and pictures apart.
KINDS: tuple[Mapping[str, tuple[str, ...]], ...] = (
    {ENCODER: ("encoder_model",), DECODER: ("decoder_model_merged",)},
    {ENCODER: ("encoder_model",), DECODER: ("decoder_with_past_model",), KEYS: ("decoder_model",)},
    {MODEL: ("model",)},
    {TEXTS: ("text_model",), PICTURES: ("vision_model",)},
    {MODEL: ("text_model", "decoder_model_merged")},
    {MODEL: ("decoder_with_past_model",), PROMPT: ("decoder_model",)},
    {MODEL: ("decoder_with_past_model",)},
)


def find_variants(files: Files, folder: str = "") -> Variants:
    """The graph files in a folder, by variant and graph; empty: there are none of known names.

    Args:
        folder: "" or a path that ends in "/".
    """
    for graphs in KINDS:
        variants = {}
        for name, row in SUFFIXES.items():
            whole = {}
            for graph, bases in graphs.items():
                places = (f"{folder}{base}{row.suffix}.onnx" for base in bases)
                file = next((place for place in places if place in files.names), None)
                if file is not None:
                    whole[graph] = file
            if len(whole) == len(graphs):
                variants[name] = whole
        if variants:
            return variants
    return {}
