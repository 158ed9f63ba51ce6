"""What a stranger's graph of pictures takes and returns, in the manifest's words, as `faces` says it of texts.

A graph that reads a text beside the picture, each into a vector, is described twice: once for each, and it is given one
row of ones for the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress.format.model import Adapter, Answers
from onnxpress.format.pictures import CHANNELS, PIXEL_MASK
from onnxpress.graphcheck.face import Value
from onnxpress.graphcheck.scan import GraphFile
from onnxpress.layouts.faces import INPUTS, NUMBERS, Face, described
from onnxpress.layouts.graph_names import PICTURES, TEXTS
from onnxpress.layouts.picture_files.readers import PIXELS

_AXES = ("batch", "channels", "height", "width")
_TEXT_VECTORS, _PICTURE_VECTORS = "text_embeds", "image_embeds"
#: What graphs return of a text and a picture, which tells how the vectors are compared.
SCORES_OF_BOTH = "logits_per_image"
#: So many tokens has the text that a graph is given beside a picture.
_TOKENS = 8
#: The edge of the picture that a graph is given beside a text, where neither it nor the config tells one.
_EDGE = 224

#: Outputs that tell what they are by their names -> what the answers are. The first whose all are there counts.
_BY_NAMES: tuple[tuple[tuple[str, ...], Answers], ...] = (
    (("class_queries_logits", "masks_queries_logits"), "segments"),
    (("logits", "pred_boxes", "pred_masks"), "segments"),
    (("logits", "pred_boxes"), "boxes"),
    (("predicted_depth",), "depths"),
    (("reconstruction",), "picture"),
    (("last_hidden_state",), "picture states"),
    ((_PICTURE_VECTORS,), "picture states"),
)
#: Of `pred_boxes` beside masks nothing is made.
_UNUSED = {"segments": ("pred_boxes",)}


def reads_pictures(graph: GraphFile) -> bool:
    """Whether a graph takes a picture."""
    return _pixels(graph) is not None


def reads_both(graph: GraphFile) -> bool:
    """Whether a graph makes a vector of a text and one of a picture."""
    returned = {value.name for value in graph.returns}
    return reads_pictures(graph) and "input_ids" in graph.inputs and {_TEXT_VECTORS, _PICTURE_VECTORS} <= returned


def read_picture_face(graph: GraphFile, config: Mapping[str, Any], output: str | None = None) -> Face:
    """Describe a graph that reads pictures alone.

    Args:
        config: config.json, whose class tells scores from vectors where the graph does not.
        output: the one that the caller says is the answer; None: the graph's names and shapes tell.

    Raises:
        UnsupportedFormat: it takes more than a picture gives, or it is not known what it returns.
    """
    pixels = _required(graph)
    if extra := [name for name in graph.inputs if name not in (pixels.name, PIXEL_MASK)]:
        raise UnsupportedFormat(
            f"it takes {', '.join(extra)} beside {pixels.name}: this version of onnxpress runs graphs of another tool "
            "that read pictures alone, or make a vector of a text and one of a picture; export the checkpoint with "
            "`onnxpress export`"
        )
    floats = {value.name: value for value in graph.returns if value.dtype in NUMBERS}
    answers, names = _answering(floats, config, output)
    inputs = [_picture(pixels)]
    if PIXEL_MASK in graph.inputs:
        mask = next(value for value in graph.takes if value.name == PIXEL_MASK)
        inputs.append(TensorInfo(PIXEL_MASK, mask.dtype or "int64", ("batch", "height", "width")))
    outputs = tuple(described(floats[name], ("batch", *(floats[name].axes or ("",))[1:])) for name in names)
    names_of = {PIXELS: pixels.name} if pixels.name != PIXELS else {}
    return Face(GraphInfo(tuple(inputs), outputs, "encoder"), answers, _width(answers, outputs[0]), Adapter(names_of))


def read_towers(graph: GraphFile, config: Mapping[str, Any]) -> dict[str, Face]:
    """Describe a graph that makes a vector of a text and one of a picture, as one of texts and one of pictures."""
    pixels = _required(graph)
    if extra := [name for name in graph.inputs if name not in (pixels.name, *INPUTS)]:
        raise UnsupportedFormat(f"it takes {', '.join(extra)} beside texts and pictures, which nothing gives it")
    texts = [value for value in graph.takes if value.name != pixels.name]
    returned = {value.name: value for value in graph.returns}
    ones = {value.name: _sizes(value, (_TOKENS,)) for value in texts}
    edge = _edge_of(config)
    picture = {pixels.name: _sizes(pixels, (CHANNELS, edge, edge))}
    names = {PIXELS: pixels.name} if pixels.name != PIXELS else {}
    more = [name for name in (SCORES_OF_BOTH, _TEXT_VECTORS) if name in returned]
    return {
        TEXTS: _text_tower(texts, returned[_TEXT_VECTORS], config, Adapter(ones=picture)),
        PICTURES: _picture_tower(
            pixels, [returned[name] for name in (_PICTURE_VECTORS, *more)], config, Adapter(names, ones=ones)
        ),
    }


def read_tower(graph: GraphFile, which: str, config: Mapping[str, Any]) -> Face:
    """Describe a graph that makes vectors of texts (TEXTS), or of pictures (PICTURES), and nothing else.

    Raises:
        UnsupportedFormat: it does not.
    """
    floats = {value.name: value for value in graph.returns if value.dtype in NUMBERS}
    vectors = next((name for name in (_TEXT_VECTORS, _PICTURE_VECTORS, "pooler_output") if name in floats), None)
    if vectors is None:
        raise UnsupportedFormat(f"it returns {', '.join(graph.outputs)}, and none of them is a vector of its input")
    if which == TEXTS:
        return _text_tower(graph.takes, floats[vectors], config, Adapter())
    pixels = _required(graph)
    return _picture_tower(pixels, [floats[vectors]], config, Adapter())


def _text_tower(texts: Sequence[Value], vectors: Value, config: Mapping[str, Any], adapter: Adapter) -> Face:
    filled = _FILLED.get(str(config.get("model_type", "")))
    axes = ("batch", filled or "sequence")
    for value in texts:
        if value.name not in INPUTS:
            raise UnsupportedFormat(f"it takes {value.name} beside {', '.join(INPUTS)}, which nothing gives it")
    ordered = sorted(texts, key=lambda value: INPUTS.index(value.name))
    inputs = tuple(described(value, _fixed(value, axes)) for value in ordered)
    return Face(GraphInfo(inputs, (_vectors(vectors, config),), "text"), "vectors of both", None, adapter)


def _picture_tower(pixels: Value, outputs: Sequence[Value], config: Mapping[str, Any], adapter: Adapter) -> Face:
    first, *others = outputs
    more = tuple(described(value, value.axes or ()) for value in others)
    info = GraphInfo((_picture(pixels),), (_vectors(first, config), *more), "vision")
    return Face(info, "vectors of both", None, adapter)


#: model_type -> tokens that its texts are filled up to, and its model attends to all of them.
_FILLED: Mapping[str, int] = {"siglip": 64, "siglip2": 64}


def _vectors(value: Value, config: Mapping[str, Any]) -> TensorInfo:
    """Vectors, whose width the config tells where the graph does not."""
    width: Any = value.axes[-1] if value.axes else ""
    if not isinstance(width, int):
        texts = config.get("text_config")
        width = config.get("projection_dim") or (texts.get("hidden_size") if isinstance(texts, Mapping) else None)
    if not isinstance(width, int):
        raise UnsupportedFormat(f"its output {value.name} does not say how many numbers a vector has")
    return described(value, ("batch", width))


def _required(graph: GraphFile) -> Value:
    pixels = _pixels(graph)
    assert pixels is not None, "it takes a picture"
    channels = pixels.axes[1] if pixels.axes and len(pixels.axes) == len(_AXES) else CHANNELS
    if isinstance(channels, int) and channels != CHANNELS:
        raise UnsupportedFormat(
            f"its input {pixels.name} has the axes {pixels.axes}, and pictures have {CHANNELS} channels, which come "
            "before height and width"
        )
    return pixels


def _pixels(graph: GraphFile) -> Value | None:
    """The input that takes pictures: it has the name, or is the only one, of four axes."""
    named = next((value for value in graph.takes if value.name == PIXELS), None)
    if named is not None or len(graph.takes) != 1:
        return named
    only = graph.takes[0]
    return only if only.dtype in NUMBERS and only.axes is not None and len(only.axes) == len(_AXES) else None


def _picture(value: Value) -> TensorInfo:
    sizes = value.axes if value.axes is not None and len(value.axes) == len(_AXES) else ("",) * len(_AXES)
    axes = [size if isinstance(size, int) else name for size, name in zip(sizes, _AXES, strict=True)]
    axes[1] = CHANNELS
    return TensorInfo(PIXELS, described(value, axes).dtype, tuple(axes))


def _answering(
    floats: Mapping[str, Value], config: Mapping[str, Any], output: str | None
) -> tuple[Answers, tuple[str, ...]]:
    """What the answers are, and the outputs that hold them."""
    if output is not None:
        if output not in floats:
            raise UnsupportedFormat(
                f"output={output!r} is none of its outputs with numbers, which are {', '.join(map(repr, floats))}"
            )
        floats = {output: floats[output]}
    for names, answers in _BY_NAMES:
        if set(names) <= set(floats):
            telling = tuple(name for name in names if name not in _UNUSED.get(answers, ()))
            pooled = ("pooler_output",) if answers == "picture states" and "pooler_output" in floats else ()
            return answers, telling + pooled
    name = "logits" if "logits" in floats else next(iter(floats), None) if len(floats) == 1 else None
    if name is not None:
        value = floats[name]
        architecture = str(next(iter(config.get("architectures") or ()), ""))
        rank = None if value.axes is None else len(value.axes)
        scores = name == "logits" or architecture.endswith("ForImageClassification") or _is_labelled(value, config)
        if rank == 4 and name == "logits":
            return "segments", (name,)
        if rank in (2, None) and scores:
            return "picture classes", (name,)
        if rank in (2, 3, 4) and not scores:
            return "picture states", (name,)
    raise UnsupportedFormat(
        "it is not known which of its outputs is the answer: "
        f"{', '.join(f'{value.name} {value.axes}' for value in floats.values()) or 'none has numbers'}; name one: "
        "output=NAME"
    )


def _is_labelled(value: Value, config: Mapping[str, Any]) -> bool:
    """Whether there are as many numbers as the config names labels."""
    labels = config.get("id2label")
    return bool(value.axes) and isinstance(labels, Mapping) and value.axes is not None and value.axes[-1] == len(labels)


def _width(answers: Answers, tensor: TensorInfo) -> int | None:
    """How many classes there are scores for: the axis of scores at each place comes before those of places."""
    at_places = answers == "segments" and len(tensor.axes) == 4
    width = tensor.axes[1 if at_places else -1] if tensor.axes else None
    return width if isinstance(width, int) else None


def _fixed(value: Value, names: Sequence[str | int]) -> tuple[str | int, ...]:
    """Axes of these names, with the sizes of those that are fixed."""
    axes = value.axes if value.axes is not None and len(value.axes) == len(names) else names
    return tuple(axis if isinstance(axis, int) else name for axis, name in zip(axes, names, strict=True))


def _sizes(value: Value, usual: Sequence[int]) -> tuple[int, ...]:
    """The axes after the batch's of what is given where nobody gives anything."""
    info = described(value, _fixed(value, ("batch", *usual)))
    return tuple(axis for axis in info.axes[1:] if isinstance(axis, int))


def _edge_of(config: Mapping[str, Any]) -> int:
    pictures = config.get("vision_config")
    edge = pictures.get("image_size") if isinstance(pictures, Mapping) else None
    return edge if isinstance(edge, int) and not isinstance(edge, bool) and 0 < edge <= 1 << 12 else _EDGE
