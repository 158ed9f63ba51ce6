"""onnxpress.json: what is written is read back equal; what is wrong is refused by the name of the field."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import ArtifactError, InvalidManifest, UnsupportedFormat
from onnxpress.format.manifest import (
    FORMAT_VERSION,
    MAX_MANIFEST_BYTES,
    EmbeddingSettings,
    FileInfo,
    GenerationSettings,
    GraphFiles,
    GraphInfo,
    Manifest,
    Postprocessing,
    Provenance,
    Quality,
    Speed,
    TensorInfo,
    Timing,
    Variant,
    dump,
    parse,
)
from onnxpress.format.pictures import (
    CHANNELS,
    MAX_EDGE,
    CenterCrop,
    ImageSettings,
    Normalization,
    PadToMultiple,
    PadToSize,
    PixelValues,
    Resample,
    Resize,
    ResizeEdge,
    ResizeLongest,
    ResizeToMultiple,
    ResizeWithin,
)
from onnxpress.format.precisions import PRECISIONS
from onnxpress.format.processors import (
    LanguageSettings,
    Processors,
    Segmentation,
    SpecialToken,
    TokenizerSettings,
)
from onnxpress.format.sounds import (
    RATES,
    CopyFrames,
    FitSamples,
    MelBank,
    MelScale,
    SoundSettings,
    Spectrum,
    StandardizeBands,
    StandardizeSamples,
    Window,
)

from ...fixtures.manifests import manifest

TEXT = st.text(max_size=8)
NUMBER = st.floats(0, 1e6, allow_nan=False)
TENSORS = st.lists(
    st.builds(TensorInfo, TEXT, st.sampled_from(["int64", "float32"]), st.lists(TEXT | st.integers(1, 9)).map(tuple)),
    max_size=3,
).map(tuple)
VARIANT = st.builds(
    Variant,
    graphs=st.builds(
        lambda precision: {"model": GraphFiles("onnx/model.onnx", (), {"": 20}, precision)},
        st.none() | st.sampled_from(list(PRECISIONS)),
    ),
    bytes=st.integers(0, 10**12),
    unverified_on=st.just(()) | st.just(("cuda",)),
    quality=st.none()
    | st.builds(Quality, TEXT, *[st.integers(0, 99)] * 2, *[NUMBER] * 4, st.dictionaries(TEXT, NUMBER)),
    speed=st.none()
    | st.builds(
        Speed,
        TEXT,
        st.integers(1, 64),
        st.lists(st.builds(Timing, st.integers(), st.integers(), NUMBER, NUMBER)).map(tuple),
    ),
)
SOUND = st.none() | st.builds(
    SoundSettings,
    st.lists(TEXT, min_size=1, max_size=2).map(tuple),
    st.integers(RATES.start, RATES.stop - 1),
    st.tuples(
        st.builds(StandardizeSamples, NUMBER) | st.builds(FitSamples, st.integers(1, 9000), st.booleans()),
        st.builds(
            Spectrum,
            st.integers(2, 400),
            st.integers(1, 400),
            st.integers(400, 512),
            st.sampled_from(get_args(Window)),
            st.builds(MelBank, st.integers(1, 128), st.just(0.0), st.just(500.0), st.sampled_from(get_args(MelScale))),
            base=st.sampled_from(["e", "10"]),
        ),
        st.builds(StandardizeBands, freedom=st.integers(0, 1)) | st.builds(CopyFrames, st.integers(1, 9)),
    ),
    st.booleans(),
)
TOKENIZER = st.none() | st.builds(
    TokenizerSettings,
    file=st.just("tokenizer.json"),
    input_names=st.lists(TEXT).map(tuple),
    max_length=st.none() | st.integers(1, 9000),
    pad_token_id=st.integers(0, 10**6),
    padding_side=st.sampled_from(["left", "right"]),
    special_tokens=st.dictionaries(TEXT, st.builds(SpecialToken, TEXT, st.integers())),
)
EDGE, RESAMPLE = st.integers(1, MAX_EDGE), st.sampled_from(get_args(Resample))
CHANNEL = st.tuples(*[st.floats(0.1, 9)] * CHANNELS)
STEP = st.one_of(
    st.builds(Resize, EDGE, EDGE, RESAMPLE),
    st.builds(ResizeEdge, EDGE, RESAMPLE, st.none() | EDGE),
    st.builds(ResizeEdge, EDGE, RESAMPLE, EDGE, EDGE),
    st.builds(ResizeWithin, EDGE, EDGE, RESAMPLE),
    st.builds(ResizeLongest, EDGE, RESAMPLE),
    st.builds(ResizeToMultiple, EDGE, RESAMPLE),
    st.builds(CenterCrop, EDGE, EDGE),
)
IMAGE = st.none() | st.builds(
    ImageSettings,
    st.lists(TEXT, min_size=1).map(tuple),
    st.lists(STEP).map(tuple),
    st.builds(
        PixelValues,
        st.none() | NUMBER,
        NUMBER,
        st.lists(st.builds(Normalization, CHANNEL, CHANNEL)).map(tuple),
        st.booleans(),
    ),
    st.none() | st.builds(PadToSize, EDGE, EDGE) | st.builds(PadToMultiple, EDGE),
)
PROCESSORS = st.builds(Processors, TOKENIZER, IMAGE, SOUND)
POSTPROCESSING = st.builds(
    Postprocessing,
    labels=st.lists(TEXT).map(tuple),
    problem_type=st.none() | TEXT,
    embedding=st.none()
    | st.builds(
        EmbeddingSettings,
        st.lists(TEXT).map(tuple),
        st.integers(1, 4096),
        st.booleans(),
        prompts=st.dictionaries(TEXT, TEXT),
    ),
)
MANIFESTS = st.builds(
    Manifest,
    format=st.just("onnxpress"),
    format_version=st.just(FORMAT_VERSION),
    task=TEXT,
    model_type=TEXT,
    architecture=TEXT,
    padding=st.booleans(),
    graphs=st.builds(lambda *info: {"model": GraphInfo(*info)}, TENSORS, TENSORS, TEXT),
    variants=st.dictionaries(st.sampled_from(list(PRECISIONS)), VARIANT, min_size=1),
    processors=PROCESSORS,
    postprocessing=POSTPROCESSING,
    provenance=st.builds(
        Provenance, TEXT, st.none() | TEXT, st.none() | TEXT, TEXT, TEXT, TEXT, st.dictionaries(TEXT, TEXT)
    ),
    files=st.just({"onnx/model.onnx": FileInfo(1, "0" * 64), "tokenizer.json": FileInfo(2, "a" * 64)}),
)


@given(MANIFESTS)
def test_what_is_written_is_read_back(value: Manifest) -> None:
    assert parse(dump(value)) == value


def _changed(change: Callable[[dict[str, Any]], object]) -> str:
    value = json.loads(dump(manifest()))
    change(value)
    return json.dumps(value)


def _with_a_second_graph(value: dict[str, Any]) -> None:
    value["graphs"]["second"] = value["graphs"]["model"]
    for variant in value["variants"].values():
        variant["graphs"]["second"] = variant["graphs"]["model"]


def _with_targets(levels: int) -> Callable[[dict[str, Any]], None]:
    def change(value: dict[str, Any]) -> None:
        settings = dict(value["processors"]["text"])
        for _ in range(levels):
            settings = {**settings, "target": settings}
        value["processors"]["text"] = settings

    return change


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], type[ArtifactError], str]] = {
    "task is missing": (lambda m: m.pop("task"), InvalidManifest, "'task' is missing"),
    "task is a number": (lambda m: m.update(task=3), InvalidManifest, "task: expected a string"),
    "padding is 1": (lambda m: m.update(padding=1), InvalidManifest, "padding: expected true or false"),
    "graphs is a list": (lambda m: m.update(graphs=[]), InvalidManifest, "graphs: expected an object"),
    "no variants": (lambda m: m.update(variants={}), InvalidManifest, "variants"),
    "bytes is true": (lambda m: m["variants"]["fp32"].update(bytes=True), InvalidManifest, "bytes"),
    "an axis is null": (lambda m: m["graphs"]["model"]["inputs"][0].update(axes=[None]), InvalidManifest, r"axes\[0\]"),
    "variant lacks a graph": (lambda m: m["variants"]["fp32"].update(graphs={}), InvalidManifest, "graphs"),
    "file is not listed": (lambda m: m["files"].pop("onnx/model.onnx"), InvalidManifest, "not listed"),
    "tokenizer is not listed": (lambda m: m["files"].pop("tokenizer.json"), InvalidManifest, r"processors\.text\.file"),
    "hash is upper case": (lambda m: m["files"]["tokenizer.json"].update(sha256="A" * 64), InvalidManifest, "sha256"),
    "size is negative": (lambda m: m["files"]["tokenizer.json"].update(bytes=-1), InvalidManifest, "negative"),
    "length is zero": (lambda m: m["processors"]["text"].update(max_length=0), InvalidManifest, "max_length"),
    "side is up": (lambda m: m["processors"]["text"].update(padding_side="up"), InvalidManifest, "padding_side"),
    "format is another": (lambda m: m.update(format="gguf"), InvalidManifest, "not an onnxpress manifest"),
    "version is text": (lambda m: m.update(format_version="1"), InvalidManifest, "format_version"),
    "version is zero": (lambda m: m.update(format_version=0), InvalidManifest, "format_version"),
    "version is of the future": (lambda m: m.update(format_version=99), UnsupportedFormat, "Upgrade onnxpress"),
    "unknown field": (lambda m: m.update(execute="rm"), UnsupportedFormat, "'execute'"),
    "no role": (lambda m: m["graphs"]["model"].pop("role"), InvalidManifest, "'role' is missing"),
    "a role is a number": (lambda m: m["graphs"]["model"].update(role=1), InvalidManifest, "role: expected a string"),
    "one role twice": (_with_a_second_graph, InvalidManifest, "two graphs have one role: encoder, encoder"),
    "the tokenizer of format 3": (
        lambda m: m.update(tokenizer=m["processors"]["text"]),
        UnsupportedFormat,
        "unknown field 'tokenizer'",
    ),
    "a sound's step is unknown": (
        lambda m: m["processors"].update(audio={"input_names": ["x"], "rate": 16000, "steps": [{"op": "rotate"}]}),
        UnsupportedFormat,
        r"processors\.audio\.steps\[0\]: op is 'rotate'; this onnxpress knows scale-samples, .* Upgrade",
    ),
    "a sound of no rate": (
        lambda m: m["processors"].update(audio={"input_names": ["x"], "rate": 0, "steps": []}),
        InvalidManifest,
        r"processors\.audio\.rate: not from 1000 to 384000",
    ),
    "frames before the spectrum": (
        lambda m: m["processors"].update(
            audio={"input_names": ["x"], "rate": 16000, "steps": [{"op": "limit-range", "range": 8.0}]}
        ),
        InvalidManifest,
        r"processors\.audio\.steps\[0\]: limit-range before the spectrum",
    ),
    "two spectra": (
        lambda m: m["processors"].update(
            audio={
                "input_names": ["x"],
                "rate": 16000,
                "steps": [
                    {
                        "op": "spectrum",
                        "frame": 400,
                        "hop": 160,
                        "fft": 400,
                        "window": "hann",
                        "mels": {"bands": 8, "lowest": 0, "highest": 8000, "scale": "htk"},
                    },
                    {
                        "op": "spectrum",
                        "frame": 400,
                        "hop": 160,
                        "fft": 400,
                        "window": "hann",
                        "mels": {"bands": 8, "lowest": 0, "highest": 8000, "scale": "htk"},
                    },
                ],
            }
        ),
        InvalidManifest,
        r"processors\.audio\.steps\[1\]: spectrum after the spectrum",
    ),
    "frames longer than the transform": (
        lambda m: m["processors"].update(
            audio={
                "input_names": ["x"],
                "rate": 16000,
                "steps": [
                    {
                        "op": "spectrum",
                        "frame": 400,
                        "hop": 160,
                        "fft": 256,
                        "window": "hann",
                        "mels": {"bands": 8, "lowest": 0, "highest": 8000, "scale": "htk"},
                    }
                ],
            }
        ),
        InvalidManifest,
        r"processors\.audio\.steps\[0\]\.frame: not from 2 to fft",
    ),
    "a divisor of zero": (
        lambda m: m["processors"].update(
            audio={
                "input_names": ["x"],
                "rate": 16000,
                "steps": [
                    {
                        "op": "spectrum",
                        "frame": 400,
                        "hop": 160,
                        "fft": 400,
                        "window": "hann",
                        "mels": {"bands": 8, "lowest": 0, "highest": 8000, "scale": "htk"},
                    },
                    {"op": "shift-scale", "offset": 0.0, "divisor": 0.0},
                ],
            }
        ),
        InvalidManifest,
        r"processors\.audio\.steps\[1\]\.divisor: zero",
    ),
    "a sound of endless length": (
        lambda m: m["processors"].update(
            audio={"input_names": ["x"], "rate": 16000, "steps": [{"op": "fit-samples", "samples": 1000000000000}]}
        ),
        InvalidManifest,
        r"processors\.audio\.steps\[0\]\.samples: not from 1 to",
    ),
    "three inputs of a sound": (
        lambda m: m["processors"].update(audio={"input_names": ["x", "y", "z"], "rate": 16000}),
        InvalidManifest,
        r"processors\.audio\.input_names: not one name or two",
    ),
    "a picture's step is unknown": (
        lambda m: m["processors"].update(image={"input_names": ["pixel_values"], "steps": [{"op": "rotate"}]}),
        UnsupportedFormat,
        r"processors\.image\.steps\[0\]: op is 'rotate'; this onnxpress knows .*resize, .* Upgrade",
    ),
    "a picture would be too large": (
        lambda m: m["processors"].update(
            image={"input_names": ["pixel_values"], "steps": [{"op": "center-crop", "height": 10**6, "width": 2}]}
        ),
        InvalidManifest,
        r"processors\.image\.steps\[0\]: not a size from 1 to 16384 pixels",
    ),
    "a padding would be too large": (
        lambda m: m["processors"].update(image={"input_names": ["x"], "pad": {"op": "pad-to-multiple", "divisor": 0}}),
        InvalidManifest,
        r"processors\.image\.pad: not a size from 1 to 16384 pixels",
    ),
    "multiples of edges without a limit": (
        lambda m: m["processors"].update(
            image={
                "input_names": ["x"],
                "steps": [{"op": "resize-edge", "shortest": 8, "divisor": 4, "resample": "box"}],
            }
        ),
        InvalidManifest,
        r"processors\.image\.steps\[0\]\.divisor: without longest",
    ),
    "a channel is divided by zero": (
        lambda m: m["processors"].update(
            image={"input_names": ["x"], "values": {"normalizations": [{"mean": [0, 0, 0], "std": [1, 0, 1]}]}}
        ),
        InvalidManifest,
        r"processors\.image\.values\.normalizations\[0\]\.std: zero",
    ),
    "a graph's precision is unknown": (
        lambda m: m["variants"]["fp32"]["graphs"]["model"].update(precision="int2"),
        UnsupportedFormat,
        r"graphs\.model\.precision: unknown precision 'int2'",
    ),
    "a target of a target": (_with_targets(2), InvalidManifest, r"target\.target: the target side of a target side"),
    "targets without end": (_with_targets(300), InvalidManifest, "nested too deeply"),
    "unknown precision": (lambda m: m["variants"].update(int2=m["variants"]["fp32"]), UnsupportedFormat, "int2"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_by_name(name: str) -> None:
    change, error, message = BAD[name]
    with pytest.raises(error, match=message):
        parse(_changed(change))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": "onnxpress"}', "[" * 100_000, '{"a": 1, "a": 2}', '{"format": NaN}', "\x00"],
)
def test_not_a_manifest(text: str) -> None:
    with pytest.raises(InvalidManifest):
        parse(text)


def test_absurd_size() -> None:
    with pytest.raises(InvalidManifest, match="more than a manifest"):
        parse(" " * (MAX_MANIFEST_BYTES + 1))


@given(st.data())
def test_damage_is_always_a_named_error(data: st.DataObject) -> None:
    text = dump(manifest())
    at = data.draw(st.integers(0, len(text) - 1))
    replacement = data.draw(st.text(max_size=3))
    with suppress(ArtifactError):
        parse(text[:at] + replacement + text[at + data.draw(st.integers(0, 20)) :])


def test_languages_and_segmentation_of_both_sides() -> None:
    """Kept as they are; every file that a side names has to be there."""
    plain = manifest()
    assert plain.tokenizer is not None
    segmentation = Segmentation("sentencepiece", 9, 1, (), (0,), "charsmap.bin", invisible=("<s>",), leading_code=True)
    target = replace(plain.tokenizer, file="tokenizer_target.json", segmentation=replace(segmentation, vocabulary=7))
    tokenizer = replace(
        plain.tokenizer, languages=LanguageSettings({"fr": 3}, 0, "forced"), segmentation=segmentation, target=target
    )
    names = ("charsmap.bin", "tokenizer_target.json")
    files = {**plain.files, **dict.fromkeys(names, plain.files["tokenizer.json"])}
    whole = replace(plain, processors=Processors(tokenizer), files=files)
    assert parse(dump(whole)) == whole
    for name in names:
        with pytest.raises(InvalidManifest, match=f"{name!r} is not listed"):
            parse(dump(replace(whole, files={key: info for key, info in files.items() if key != name})))


@pytest.mark.parametrize("path", [(), ("graphs", "model"), ("graphs", "model", "inputs", 0), ("variants", "fp32"),
    ("variants", "fp32", "graphs", "model"), ("processors",), ("processors", "text"), ("provenance",),
    ("files", "tokenizer.json")], ids=str)  # fmt: skip
def test_notes_of_other_programs_are_ignored(path: tuple[str | int, ...]) -> None:
    value = json.loads(dump(manifest()))
    place = value
    for step in path:
        place = place[step]
    place["x-note"] = {"anything": [1, None]}
    assert parse(json.dumps(value)) == manifest()


def test_names_that_begin_like_notes_are_kept() -> None:
    """`x-` begins a field's name. A file, a label or a language is a value, whatever it is called."""
    plain = manifest()
    whole = replace(plain, files={**plain.files, "x-ray.txt": FileInfo(3, "1" * 64)})
    assert parse(dump(whole)) == whole


def test_graphs_are_found_by_what_they_do() -> None:
    plain = manifest()
    model = plain.graphs["model"]
    whole = replace(plain, graphs={"model": model, "head": replace(model, role="head")})
    assert (whole.graph_name("encoder"), whole.graph_name("head")) == ("model", "head")
    with pytest.raises(UnsupportedFormat, match=r"role 'vision'; it has: model \(encoder\), head \(head\)"):
        whole.graph_name("vision")


def _as_version_3(value: dict[str, Any]) -> dict[str, Any]:
    """What an exporter of format 3 would have written."""
    older = {name: field for name, field in value.items() if name != "processors"}
    older |= {"format_version": 3, "tokenizer": value["processors"]["text"]}
    older["graphs"] = {
        name: {key: field for key, field in graph.items() if key != "role"} for name, graph in value["graphs"].items()
    }
    return older


@pytest.mark.parametrize(
    ("names", "writes", "roles"),
    [
        (("model",), False, ("encoder",)),
        (("model", "head"), False, ("encoder", "head")),
        (("model",), True, ("decoder",)),
        (("encoder_model", "decoder_model_merged"), True, ("encoder", "decoder")),
    ],
)
def test_roles_of_older_formats(names: tuple[str, ...], writes: bool, roles: tuple[str, ...]) -> None:
    plain = manifest()
    model, files = plain.graphs["model"], plain.variants["fp32"].graphs["model"]
    expected = replace(
        plain,
        graphs={name: replace(model, role=role) for name, role in zip(names, roles, strict=True)},
        variants={"fp32": replace(plain.variants["fp32"], graphs=dict.fromkeys(names, files))},
        generation=GenerationSettings("growing", 9) if writes else None,
    )
    assert parse(json.dumps(_as_version_3(json.loads(dump(expected))))) == expected


def test_older_formats_were_never_verified_on_a_gpu() -> None:
    plain = manifest()
    variants = {"fp32": plain.variants["fp32"], "fp16": replace(plain.variants["fp32"], targets=("cuda",))}
    value = json.loads(dump(replace(plain, variants=variants)))
    assert parse(json.dumps(value)).variants["fp16"].verified_on("cuda")
    for variant in value["variants"].values():
        del variant["unverified_on"]
    read = parse(json.dumps({**value, "format_version": 4})).variants
    assert (read["fp32"].unverified_on, read["fp16"].unverified_on) == ((), ("cuda",))
    assert [read["fp16"].verified_on(family) for family in ("cuda", "cpu")] == [False, False]


OLD_AND_BAD: dict[str, tuple[Callable[[dict[str, Any]], object], type[ArtifactError], str]] = {
    "no tokenizer": (lambda m: m.pop("tokenizer"), InvalidManifest, "'tokenizer' is missing"),
    "processors": (lambda m: m.update(processors={}), UnsupportedFormat, "has no field .processors."),
    "graphs is a list": (lambda m: m.update(graphs=[]), InvalidManifest, "graphs: expected an object"),
    "a graph is null": (
        lambda m: m["graphs"].update(model=None),
        InvalidManifest,
        r"graphs\.model: expected an object",
    ),
    "another graph": (
        lambda m: m["graphs"].update(vision={}),
        UnsupportedFormat,
        "vision: no exporter of that format",
    ),
}


@pytest.mark.parametrize("name", OLD_AND_BAD)
def test_older_formats_are_refused_by_name(name: str) -> None:
    change, error, message = OLD_AND_BAD[name]
    value = _as_version_3(json.loads(dump(manifest())))
    change(value)
    with pytest.raises(error, match=message):
        parse(json.dumps(value))
