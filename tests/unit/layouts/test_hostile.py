"""Hostile foreign folders: each is refused with the sentence that says what is wrong, or answers in spite of it.

Graphs that the scan refuses in any folder are in tests/fixtures/bad/graphs.py; here is what a folder adds.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxpress
from onnxpress.errors import ArtifactError, CorruptFile, MissingFile, OnnxpressError, UnsupportedFormat

from ...fixtures.foreign import Edit, of_tokens, sized, write_foreign
from ...fixtures.foreign_writers import write_encoder_decoder

GRAPH = "onnx/model.onnx"
MODULE = "sentence_transformers.models"

Damage = Callable[[Path], object]


def settings(name: str, **changed: Any) -> Damage:
    """The folder's file says something else besides."""

    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changed}))

    return damage


def graph(*edits: Edit) -> Damage:
    def damage(folder: Path) -> None:
        model = onnx.load(folder / GRAPH)
        for edit in edits:
            edit(model)
        onnx.save(model, folder / GRAPH)

    return damage


def operator(kind: str, domain: str = "", inputs: tuple[str, ...] = ("attention_mask",), **attributes: Any) -> Edit:
    """One operator more, whose output nobody reads."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.node.insert(0, helper.make_node(kind, list(inputs), ["unread"], domain=domain, **attributes))
        if domain:
            model.opset_import.append(helper.make_opsetid(domain, 1))

    return edit


def constant(name: str, *numbers: int) -> Edit:
    return lambda model: model.graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), name))


def outside(location: str, **entries: str) -> Edit:
    """A tensor whose data is said to be somewhere."""

    def edit(model: onnx.ModelProto) -> None:
        tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        for key, value in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=value)
        model.graph.initializer.append(tensor)

    return edit


def larger_than_its_data(model: onnx.ModelProto) -> None:
    """A few bytes that say that they are terabytes."""
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]


def endless_loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["goes_on"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("goes_on", TensorProto.BOOL, [])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    model.graph.node.insert(0, helper.make_node("Loop", ["", "always"], [], body=body))


def function_that_calls_itself(model: onnx.ModelProto) -> None:
    node = helper.make_node("Again", ["x"], ["y"], domain="local")
    model.functions.append(
        helper.make_function("local", "Again", ["x"], ["y"], [node], [helper.make_opsetid("local", 1)])
    )
    operator("Again", "local")(model)


def modules(*entries: tuple[str, str]) -> Damage:
    """sentence-transformers' list of modules over a graph of token states."""

    def damage(folder: Path) -> None:
        graph(of_tokens("last_hidden_state"))(folder)
        listed = [{"idx": n, "name": str(n), "path": path, "type": kind} for n, (kind, path) in enumerate(entries)]
        (folder / "modules.json").write_text(json.dumps(listed))

    return damage


def pipe_in_place_of(name: str) -> Damage:
    return lambda folder: [(folder / name).unlink(), os.mkfifo(folder / name)]


def link(name: str, target: str) -> Damage:
    return lambda folder: [(folder / name).unlink(), (folder / name).symlink_to(target)]


REFUSED: dict[str, tuple[Damage, type[OnnxpressError], str]] = {
    "an operator of nobody knows whom": (
        graph(operator("Steal", "ai.evil")), UnsupportedFormat, "'ai.evil::Steal', which onnxpress does not run"),
    "an operator that runs Python": (
        graph(operator("PyOp", "com.microsoft")), UnsupportedFormat, "PyOp', which runs code that"),
    "an operator of PyTorch": (graph(operator("ATen", "org.pytorch.aten")), UnsupportedFormat, "ATen', which runs"),
    "a compiled blob": (
        graph(operator("EPContext", "com.microsoft", ep_cache_context="/tmp/x.so")), UnsupportedFormat, "EPContext'"),
    "weights in a folder above": (
        graph(outside("../../etc/passwd")), CorruptFile, r"'../../etc/passwd' is not a plain relative path"),
    "weights at an absolute path": (graph(outside("/etc/passwd")), CorruptFile, "not a plain relative path"),
    "weights of a drive": (graph(outside("C:\\x")), CorruptFile, "not a plain relative path"),
    "weights in the memory of the process": (
        graph(outside("*/_ORT_MEM_ADDR_/*", offset="4096")), CorruptFile, "not a plain relative path"),
    "weights behind a link": (
        lambda f: [(f / "onnx" / "w").symlink_to("/etc/passwd"), graph(outside("w"))(f)], CorruptFile, "outside"),
    "weights in a pipe": (lambda f: [os.mkfifo(f / "onnx" / "w"), graph(outside("w"))(f)], ArtifactError, "'w'"),
    "weights that are not there": (graph(outside("w")), MissingFile, "external data 'w' cannot be read"),
    "weights behind the end of their file": (
        lambda f: [(f / "onnx" / "w").write_bytes(b"1234"), graph(outside("w", offset="0", length="16"))(f)],
        CorruptFile, "reads bytes 0 to 16 of 'w', which has 4"),
    "weights of terabytes in a few bytes": (graph(larger_than_its_data), CorruptFile, "needs 4398046511104 bytes"),
    "terabytes of nothing": (
        graph(operator("ConstantOfShape", inputs=("huge",)), constant("huge", 1 << 20, 1 << 20)),
        CorruptFile, "makes 1,099,511,627,776 numbers of nothing"),
    "terabytes of one number": (
        graph(operator("Expand", inputs=("always", "huge")), constant("always", 1), constant("huge", 1 << 40)),
        CorruptFile, "makes 1,099,511,627,776 numbers of nothing"),
    "a loop without end": (graph(endless_loop), UnsupportedFormat, "uses Loop, which may never end"),
    "a function that calls itself": (graph(function_that_calls_itself), CorruptFile, "call each other in a circle"),
    "batches of a size that no memory holds": (
        graph(sized(1 << 23, 1 << 23)), UnsupportedFormat, "which is larger than any model's"),
    "more classes than there is memory for": (
        settings("config.json", id2label=None, num_labels=10**9),
        CorruptFile, "num_labels should be a number of labels, at most 1048576, not 1000000000"),
    "a graph in a pipe": (pipe_in_place_of(GRAPH), ArtifactError, "regular"),
    "settings in a pipe": (pipe_in_place_of("config.json"), MissingFile, "config.json: .*no regular one"),
    "settings from a device": (link("config.json", "/dev/zero"), CorruptFile, "leads to /dev/zero, outside"),
    "settings behind a loop of links": (link("config.json", "config.json"), CorruptFile, "config.json: its name or"),
    "a tokenizer behind a link": (link("tokenizer.json", "/etc/passwd"), CorruptFile, "leads to /etc/passwd, outside"),
    "JSON that is nested without end": (
        lambda f: (f / "tokenizer_config.json").write_text("[" * 100_000), CorruptFile, "_config.json: not JSON"),
    "a token list that is none": (
        settings("tokenizer.json", added_tokens=[7]), CorruptFile, "added_tokens should be a list of objects, not"),
    "a class's name that is none": (
        settings("config.json", architectures=5), CorruptFile, "architectures should be a list of names, not 5"),
    "labels that are none": (settings("config.json", id2label=[1]), CorruptFile, r"id2label should be an object, not"),
    "weights in a thousand files": (
        settings("config.json", **{"transformers.js_config": {"use_external_data_format": {"model.onnx": 1000}}}),
        CorruptFile, "use_external_data_format should be .* at most 100"),
    "a module of the author's": (
        modules(("evil.Module", "")), UnsupportedFormat, "evil.Module is the author's own code, which is not run"),
    "a module above the folder": (
        modules((f"{MODULE}.Transformer", ""), (f"{MODULE}.Pooling", "../../x")), CorruptFile, "not a plain path"),
    "a module at an absolute path": (
        modules((f"{MODULE}.Transformer", ""), (f"{MODULE}.Pooling", "/etc")), CorruptFile, "not a plain path"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_a_hostile_folder_is_refused_by_name(
    damage: Damage, error: type[OnnxpressError], words: str, tmp_path: Path
) -> None:
    folder = write_foreign(
        tmp_path / "folder",
    )
    damage(folder)
    with pytest.raises(error, match=words) as caught:
        onnxpress.pipeline("text-classification", folder)("good")
    assert str(folder) in str(caught.value)


def test_what_a_folder_brings_along_is_never_opened(tmp_path: Path) -> None:
    """Pickles, code, libraries and provider options: the answers are those without them."""
    folder = write_foreign(tmp_path / "folder")
    trap = tmp_path / "sprung"

    class Spring:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    for name in ("pytorch_model.bin", "training_args.bin", "rng_state.pth"):
        (folder / name).write_bytes(pickle.dumps(Spring()))
    (folder / "modeling_evil.py").write_text(f"open({str(trap)!r}, 'w')")
    for name in ("config.json", "tokenizer_config.json"):
        settings(name, auto_map={"AutoModel": "modeling_evil.Model"}, trust_remote_code=True)(folder)
    settings("ort_config.json", custom_ops_library="evil.so")(folder)
    with onnxpress.pipeline(model=folder) as pipe:
        assert pipe("good good bad")[0]["label"] == "good"
    assert not trap.exists()


def test_more_files_than_any_model_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxpress.layouts.files.MAX_FILES", 2)
    with pytest.raises(CorruptFile, match="more than 2 files, so this is no model's folder"):
        onnxpress.pipeline(model=write_foreign(tmp_path / "folder"))


def test_a_chat_template_runs_in_its_sandbox(tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path / "folder", merged=True)
    (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with onnxpress.pipeline(model=folder) as pipe, pytest.raises(ArtifactError, match="template was stopped"):
        pipe.tokenizer.apply_chat_template([{"role": "user", "content": "x"}])


def test_names_do_not_drive_the_terminal(tmp_path: Path) -> None:
    """Escape sequences, and characters that turn the direction of a text, are shown as what they are."""

    def rename(model: onnx.ModelProto) -> None:
        model.graph.input.append(
            helper.make_tensor_value_info("\x1b[2J\u202egnp.exe\x9b", TensorProto.INT64, ["batch", "sequence"])
        )

    with pytest.raises(UnsupportedFormat) as caught:
        onnxpress.pipeline(model=write_foreign(tmp_path / "folder", edits=[rename]))
    assert r"it takes \x1b[2J\u202egnp.exe\x9b beside" in str(caught.value)
    labels = {"0": "good\x1b]0;owned\x07", "1": "bad"}
    folder = write_foreign(tmp_path / "labels", config={"id2label": labels})
    with onnxpress.pipeline(model=folder) as pipe:
        from onnxpress.cli.inspection import describe

        shown = describe(pipe.manifest, adopted=pipe.adopted)
    assert "\x1b" not in shown and r"good\x1b]0;owned\x07" in shown
