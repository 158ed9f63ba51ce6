"""The factory takes what the factories of transformers, optimum and sentence-transformers take, or says our way."""

from __future__ import annotations

import inspect
import json
import pickle
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

import onnxpress
from onnxpress import Artifact, InputError, pipeline
from onnxpress.errors import HubError, UnsupportedFormat
from onnxpress.pipelines import TASKS
from onnxpress.pipelines.asked import Opening
from onnxpress.pipelines.known_arguments import FACTORY, OURS
from onnxpress.pipelines.writing import SETTINGS

from ..fixtures.artifacts import seal, write_artifact
from ..fixtures.devices import SHADOW, add_shadow

ANSWER = [{"label": "good", "score": pytest.approx(0.731, abs=1e-3)}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_artifact(tmp_path_factory.mktemp("factory") / "artifact")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 2, "id2label": {"0": "x"}}))
    seal(folder, Artifact.open(folder).manifest)
    return folder


def _options(threads: int = 0, **others: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    for name, value in others.items():
        setattr(options, name, value)
    return options


TAKEN: list[dict[str, Any]] = [
    {"use_fast": False, "trust_remote_code": True, "framework": "pt", "device_map": "auto", "dtype": "auto"},
    {"feature_extractor": None, "image_processor": None, "processor": None, "config": None, "tokenizer": None},
    {"token": "secret", "cache_dir": "/nowhere", "local_files_only": True},
    {"dtype": "float32"},
    {"torch_dtype": SimpleNamespace(name="torch.float32")},
    {"device_map": {"": "cpu"}, "device": -1},
    {"model_kwargs": {"torch_dtype": "float32", "attn_implementation": "sdpa", "low_cpu_mem_usage": True}},
    {"provider": "CPUExecutionProvider", "device": "cpu"},
    {"providers": ["CPUExecutionProvider"], "provider_options": None, "use_io_binding": False},
    {"file_name": "model.onnx", "subfolder": "onnx", "accelerator": "ort", "export": False},
    {"backend": "onnx", "cache_folder": None, "model_card_data": object()},
]


@pytest.mark.parametrize("arguments", TAKEN, ids=lambda arguments: ",".join(arguments))
def test_arguments_that_change_nothing_or_are_honoured(folder: Path, arguments: dict[str, Any]) -> None:
    with pipeline("text-classification", folder, **arguments) as pipe:
        assert (pipe("good"), pipe.precision, pipe.session.device) == (ANSWER, "fp32", "cpu")


def test_session_options_bring_their_threads(folder: Path) -> None:
    with pipeline(model=folder, session_options=_options(threads=1)) as pipe:
        assert pipe.session.threads == 1
    with pipeline(model=folder, session_options=_options()) as pipe:
        assert pipe.session.threads is None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"dtype": "bfloat16"}, "dtype='bfloat16'.*precision= fp32, fp16"),
    ({"dtype": "float32", "precision": "int8"}, "dtype='float32' means precision='fp32', and precision='int8'"),
    ({"device_map": {"a": 0, "b": 1}}, "device_map=.*device="),
    ({"device_map": "balanced"}, "one device"),
    ({"provider": "TensorrtExecutionProvider"}, 'CPUExecutionProvider .device="cpu"'),
    ({"session_options": _options(enable_mem_pattern=False)}, "session_options: enable_mem_pattern is False"),
    ({"file_name": "decoder.gguf"}, "precision="),
    ({"framework": "tf"}, "framework='tf'.*leave it out"),
    ({"accelerator": "ipex"}, "accelerator='ipex'"),
    ({"export": True}, "onnxpress export MODEL OUT"),
    ({"pipeline_class": object}, "pipeline_class=.*wrap"),
    ({"model_kwargs": {"load_in_8bit": True}}, "load_in_8bit=True.*onnxpress quantize"),
    ({"model_kwargs": {"nonsense": True}}, "model_kwargs has 'nonsense'"),
    ({"model_kwargs": 3}, "must be a dictionary"),
    ({"quantization_config": object()}, "onnxpress quantize"),
    ({"image_processor": "x"}, "pictures"),
    ({"tokenizer": "somebody/else"}, "tokenizer='somebody/else' is not the artifact's own"),
    ({"tokenizer": lambda text: {"input_ids": [1]}}, "gives .1. for .Hello"),
    ({"tokenizer": 3}, "is no tokenizer"),
    ({"config": "somebody/else"}, "config='somebody/else' is not the artifact's own"),
    ({"config": {"model_type": "bert", "hidden_size": 3}}, "config has hidden_size=3, the artifact 2"),
    ({"precison": "fp32"}, "no argument 'precison'. Did you mean .precision"),
    ({"top_kk": 1}, "Did you mean .top_k"),
    ({"qwertz": 1}, "no argument 'qwertz'. It takes: .*top_k"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_others_are_refused_with_our_way(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipeline("text-classification", folder, **arguments)


def test_a_variant_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(UnsupportedFormat, match=r"no int8 variant. It has: fp32"):
        pipeline(model=folder, file_name="model_int8.onnx")


def test_an_argument_of_the_factory_in_a_call_is_told(folder: Path) -> None:
    with pipeline(model=folder) as pipe, pytest.raises(InputError, match=r"onnxpress.pipeline\(...\), where the model"):
        pipe("good", device=0)


def test_tokenizers_and_configs_of_the_same_checkpoint_are_taken(folder: Path) -> None:
    """As a name, a folder, our own, or another library's that gives the same ids."""
    artifact = Artifact.open(folder)
    with pipeline(model=folder) as pipe:
        ids = pipe.processor.tokenizer.encode
        theirs = [artifact.manifest.provenance.source, str(folder), folder, lambda t: {"input_ids": ids(t).ids}]
    for tokenizer in theirs:
        pipeline(model=folder, tokenizer=tokenizer).close()
    for config in (str(folder), {"hidden_size": 2, "id2label": {0: "good", 1: "bad"}, "transformers_version": "4"}):
        pipeline(model=folder, config=config).close()


@pytest.mark.parametrize("form", [str, Path])
def test_a_tilde_is_the_home_folder(folder: Path, form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    with pipeline(model=form("~/artifact")) as pipe:
        assert pipe("good") == ANSWER
    with pytest.raises(onnxpress.MissingFile, match="~nobody-of-this-name/x"):
        pipeline(model=form("~nobody-of-this-name/x"))


def test_an_artifact_and_an_open_pipeline_are_models(folder: Path) -> None:
    with pipeline(model=Artifact.open(folder), threads=1) as first:
        second = pipeline("sentiment-analysis", first, threads=1)
        assert second("good")[0]["label"] == "good"
        assert second.session.opened(None) is first.session.opened(None)  # the graph, not what closes it
        second.close()
        assert first("good") == ANSWER
        with pytest.raises(InputError, match="threads=2: this model is open, with threads=1"):
            pipeline(model=first, threads=2)
        with pytest.raises(InputError, match="precision='int8': this model is open"):
            pipeline(model=first, dtype="int8")


class _Theirs:
    def save_pretrained(self, folder: str) -> None: ...


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_Theirs(), "save_pretrained.FOLDER., run `onnxpress export FOLDER OUT`"),
        (SimpleNamespace(get_inputs=list), "no tokenizer: pass the artifact's folder"),
        (3, "not a builtins.int"),
    ],
)
def test_models_of_other_libraries_are_told_the_way(model: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipeline("text-classification", model)


def test_what_is_asked_of_the_hub_reaches_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And a pickle has no token in it."""
    seen: list[Any] = []

    def fetch(repo_id: str, revision: str | None, patterns: list[str], *, access: Any) -> None:
        seen.append(access)
        raise HubError("as far as the test goes")

    monkeypatch.setattr("onnxpress.hub.fetch", fetch)
    with pytest.raises(HubError):
        pipeline(model="some/model", token="secret", model_kwargs={"cache_dir": tmp_path}, local_files_only=True)
    assert (seen[0].token, seen[0].cache_dir, seen[0].local_only) == ("secret", tmp_path, True)
    assert "secret" not in repr(seen[0])
    assert b"secret" not in pickle.dumps(seen[0])


def test_no_row_hides_an_argument_of_a_task() -> None:
    """Of generation, only the cache is known to both, and changes no answer."""
    for row in TASKS.values():
        options = getattr(row.load(), "options_type", None)
        names = {field.name for field in fields(options)} if options else set()
        assert not names & set(FACTORY), row.name
    assert SETTINGS & set(FACTORY) == {"use_cache"}
    assert not set(OURS) & set(FACTORY)


def test_every_argument_of_their_factories_is_known() -> None:
    import transformers
    from sentence_transformers import CrossEncoder, SentenceTransformer

    for factory in (transformers.pipeline, SentenceTransformer.__init__, CrossEncoder.__init__):
        names = {name for name, parameter in inspect.signature(factory).parameters.items() if parameter.kind != 4}
        of_tasks = {"prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim"}
        of_tasks |= {"num_labels", "max_length", "activation_fn", "self", "model_name_or_path"}
        assert names - of_tasks <= {*FACTORY, *OURS}


def test_a_session_opens_an_artifact(folder: Path) -> None:
    import numpy as np

    for source in (folder, str(folder), Artifact.open(folder)):
        with_roles = onnxpress.Session(source)
        ids = np.array([[2, 4, 3]])
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        assert with_roles.run(feeds, graph="encoder")["logits"].tolist() == [[1.0, 0.0]]
        with_roles.close()
    with pytest.raises(onnxpress.MissingFile, match="is a file"):
        onnxpress.Session(folder / "onnx" / "model.onnx")


def test_export_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxpress.pipelines import opening

    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(opening, "import_module", missing)
    with pytest.raises(
        onnxpress.MissingDependency, match=r"onnxpress_exporter is needed.*pip install onnxpress.export"
    ):
        onnxpress.export("a", "b")


def test_export_hands_everything_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from onnxpress.pipelines import opening

    calls: list[Any] = []
    module = SimpleNamespace(export=lambda *arguments, **options: calls.append((arguments, options)))
    monkeypatch.setattr(opening, "import_module", lambda name: module)
    onnxpress.export("org/name", tmp_path, precision="fp32, int8", force=True)
    assert calls == [(("org/name", tmp_path, None, ["fp32", "int8"]), {"force": True})]


def test_options_of_execution_providers_reach_the_device(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """With a device that is the CPU under another name: ONNX Runtime's CPU provider takes any options."""
    seen: list[Any] = []
    real = onnxruntime.InferenceSession

    def spy(*arguments: Any, providers: Any, **others: Any) -> Any:
        seen.extend(providers)
        return real(*arguments, providers=[name for name, _ in providers], **others)

    add_shadow(monkeypatch)
    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    chosen = {"use_tf32": True, "arena_extend_strategy": "kNextPowerOfTwo"}
    with pipeline(model=folder, device=SHADOW, precision="fp32", provider_options=chosen) as pipe:
        assert pipe("good") == ANSWER
        assert pipe.session.provider_options == {"use_tf32": "1", "arena_extend_strategy": "kNextPowerOfTwo"}
        assert pickle.loads(pickle.dumps(pipe.session)).provider_options == pipe.session.provider_options
        with pytest.raises(InputError, match="this model is open"):
            pipeline(model=pipe, provider_options={"use_tf32": False})
    (said,) = {frozenset(options.items()) for name, options in seen}
    assert {("use_tf32", "1"), ("arena_extend_strategy", "kNextPowerOfTwo"), ("device_id", "1")} <= said


@pytest.mark.parametrize(
    ("arguments", "device", "options"),
    [
        ({"provider": "CUDAExecutionProvider", "provider_options": {"device_id": 1}}, "cuda:1", {}),
        ({"device": "cuda:2", "provider_options": [{"device_id": "2", "use_tf32": 1}, {}]}, "cuda:2", {"use_tf32": 1}),
        ({"providers": [("CUDAExecutionProvider", {"device_id": 3, "use_tf32": 1})]}, "cuda:3", {"use_tf32": 1}),
        ({"providers": [("CUDAExecutionProvider", {}), "CPUExecutionProvider"], "device": 0}, "cuda:0", {}),
        ({"device_map": {"": 1}, "device": "cuda:1"}, "cuda:1", {}),
        ({"device_map": 0, "provider": "CUDAExecutionProvider"}, "cuda:0", {}),
    ],
    ids=str,
)
def test_devices_and_options_as_optimum_says_them(arguments: Any, device: str, options: dict[str, Any]) -> None:
    opening = Opening.of(arguments)
    assert (opening.device, opening.provider_options) == (device, options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"provider_options": {"use_tf23": 1}}, "cpu has no option 'use_tf23'"),
        ({"providers": [("CUDAExecutionProvider", {"use_tf23": 1})]}, "Did you mean 'use_tf32'"),
        ({"provider_options": [("device_id", 1)]}, "provider_options"),
        ({"provider_options": "use_tf32"}, "must be a dictionary"),
        ({"provider": "CPUExecutionProvider", "provider_options": {"device_id": 1}}, "says something else"),
    ],
    ids=str,
)
def test_wrong_options_of_execution_providers_are_refused(
    folder: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        pipeline(model=folder, **arguments)
