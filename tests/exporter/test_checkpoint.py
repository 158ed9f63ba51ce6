"""Checkpoints: what is opened, which task it is found to have, what is loaded and what is refused, by which words."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxpress.errors import UnknownTask
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.source.checkpoint import load_tokenizer, open_checkpoint
from onnxpress_exporter.source.cross_encoders import read_cross_encoder
from onnxpress_exporter.source.sentence_transformers import HeadLayer, SentenceSettings, read_sentence_settings
from onnxpress_exporter.tasks.heads import normalize_task
from onnxpress_exporter.tasks.loading import infer_task, load_model
from onnxpress_exporter.tasks.outputs import hidden_size
from onnxpress_exporter.tasks.sentence_head import load_sentence_head, sentence_head_spec
from tests.fixtures.tiny import HIDDEN, tiny_checkpoint, write_sentence_files
from tests.hub.conftest import hub, pauses  # noqa: F401 - fixtures
from tests.hub.server import HubServer


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`made(architecture, task, **config)` -> a checkpoint's folder, made once; copy it before changing it."""
    folders: dict[str, Path] = {}

    def make(architecture: str, task: str, **config: Any) -> Path:
        key = f"{architecture}-{task}-{sorted(config.items())}"
        if key not in folders:
            with quiet():
                folders[key] = tiny_checkpoint(architecture, task, tmp_path_factory.mktemp("tiny"), **config)
        return folders[key]

    return make


@pytest.fixture
def classifier(made: Callable[..., Path], tmp_path: Path) -> Path:
    """A text classifier of one's own, to be damaged."""
    return shutil.copytree(made("bert", "text-classification"), tmp_path / "classifier")


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


# What is opened.


def test_a_folder_is_opened_as_it_is(classifier: Path) -> None:
    checkpoint = open_checkpoint(classifier)
    assert (checkpoint.folder, checkpoint.source) == (classifier, str(classifier))
    assert checkpoint.revision is None and checkpoint.commit is None
    assert checkpoint.config["num_hidden_layers"] == 2


def test_what_a_trainer_saves_beside_the_model_is_ignored(classifier: Path) -> None:
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        (classifier / name).write_bytes(b"{}")
    assert load_model(open_checkpoint(classifier), "text-classification") is not None


def _only(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    return damage


def _cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _trainer_output(folder: Path) -> None:
    for step in (9, 100, 20):
        (folder / f"checkpoint-{step}").mkdir()
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()


def _index(*names: str) -> bytes:
    return json.dumps({"weight_map": {f"w{number}": name for number, name in enumerate(names)}}).encode()


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "broken config": (lambda folder: (folder / "config.json").write_text("{"), "not readable as JSON"),
    "config is a list": (lambda folder: (folder / "config.json").write_text("[]"), "JSON object"),
    "no model_type": (lambda folder: change_config(folder, model_type=...), "no model_type"),
    "unknown model_type": (lambda folder: change_config(folder, model_type="brt"), "does not know model_type 'brt'"),
    "own code": (
        lambda folder: change_config(folder, model_type="own", auto_map={"AutoModel": "modeling.Own"}),
        "trust_remote_code",
    ),
    "quantized": (lambda folder: change_config(folder, quantization_config={"quant_method": "gptq"}), "gptq"),
    "truncated": (_cut, "damaged.*promises"),
    "not safetensors": (_only("model.safetensors", b"\x00" * 100), "damaged or not a safetensors"),
    "header too long": (_only("model.safetensors", b"\xff" * 100), "header is longer"),
    "LFS pointer": (
        _only("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        "git lfs pull",
    ),
    "pickled": (_only("pytorch_model.bin"), "pickle.*allow pickled"),
    "PEFT adapter": (_only("adapter_config.json"), "PEFT adapter"),
    "GGUF": (_only("model.Q4_0.gguf"), "GGUF"),
    "TensorFlow": (_only("tf_model.h5"), "TensorFlow"),
    "Flax": (_only("flax_model.msgpack"), "Flax"),
    "ONNX": (_only("onnx/model.onnx"), "ONNX files"),
    "shard missing": (_only("model.safetensors.index.json", _index("a.safetensors")), "lacks 1 of its 1"),
    "shard outside": (_only("model.safetensors.index.json", _index("../a.safetensors")), "outside its folder"),
    "empty index": (_only("model.safetensors.index.json", b"{}"), "no weight_map"),
    "Trainer's output": (_trainer_output, "latest is .*checkpoint-100"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_refused_when_opened(classifier: Path, name: str) -> None:
    damage, words = DAMAGES[name]
    damage(classifier)
    with pytest.raises(UnsupportedCheckpoint, match=words):
        open_checkpoint(classifier)


@pytest.mark.parametrize(("source", "words"), [("./nowhere/at all", "no folder"), ("~/nowhere/../x y", "no folder")])
def test_neither_a_folder_nor_a_hub_id(source: str, words: str) -> None:
    with pytest.raises(UnsupportedCheckpoint, match=words):
        open_checkpoint(source)


def test_a_checkpoint_of_timm_where_timm_is_not_installed(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_config(classifier, model_type=..., architecture="vit_tiny_patch16_224", pretrained_cfg={"crop_pct": 0.9})
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UnsupportedCheckpoint, match=r"'vit_tiny_patch16_224' as timm saves it, .* pip install timm"):
        open_checkpoint(classifier)


def test_a_file_and_a_revision_of_a_folder(classifier: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="is a file"):
        open_checkpoint(classifier / "config.json")
    with pytest.raises(UnsupportedCheckpoint, match="has no revisions"):
        open_checkpoint(classifier, revision="main")


# The Hub.


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_from_the_hub_only_what_is_needed(hub: HubServer, classifier: Path) -> None:  # noqa: F811
    unneeded = ("pytorch_model.bin", "onnx/model.onnx", "modeling_own.py", "runs/log.json", "tf_model.h5")
    files = {**_files(classifier), "README.md": b"---\nlicense: mit\n---\n"}
    commit = hub.add("org/model", {**files, **dict.fromkeys(unneeded, b"x")}, revision="v1")
    checkpoint = open_checkpoint("org/model", revision="v1")
    assert (checkpoint.source, checkpoint.revision, checkpoint.commit) == ("org/model", "v1", commit)
    got = set(_files(checkpoint.folder))
    assert got == set(files)
    assert load_tokenizer(checkpoint)("the film").input_ids
    assert load_model(checkpoint, infer_task(checkpoint)) is not None


def test_pickles_are_refused_before_they_are_fetched(hub: HubServer) -> None:  # noqa: F811
    hub.add("org/model", {"config.json": b'{"model_type": "bert"}', "pytorch_model.bin": b"x"})
    with pytest.raises(UnsupportedCheckpoint, match="pickled"):
        open_checkpoint("org/model")
    assert not [path for path in hub.downloads() if path.endswith(".bin")]


# The task.


@pytest.mark.parametrize(
    ("given", "task"),
    [
        ("ner", "token-classification"),
        ("sentiment-analysis", "text-classification"),
        ("Text-Classification", "text-classification"),
        ("sequence-classification", "text-classification"),
        ("masked-lm", "fill-mask"),
        ("default", "feature-extraction"),
        ("reranking", "text-ranking"),
        ("sentence-similarity", "sentence-similarity"),
        ("zero-shot-classification", "zero-shot-classification"),
        ("causal-lm", "text-generation"),
        ("seq2seq-lm", "text2text-generation"),
        ("summarization", "summarization"),
        ("translation_en_to_de", "translation"),
    ],
)
def test_task_names(given: str, task: str) -> None:
    assert normalize_task(given) == task


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("text-clasification", UnknownTask, "mean 'text-classification'"),
        ("", UnknownTask, "Tasks: "),
        ("image-text-to-text", UnsupportedCheckpoint, "image-text-to-text yet"),
    ],
)
def test_tasks_that_there_are_not(given: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        normalize_task(given)


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("RobertaForTokenClassification", "token-classification"),
        ("DebertaV2ForQuestionAnswering", "question-answering"),
        ("XLNetForQuestionAnsweringSimple", "question-answering"),
        ("XLMRobertaForMaskedLM", "fill-mask"),
        ("XLMWithLMHeadModel", "fill-mask"),
        ("BertForPreTraining", "fill-mask"),
        ("ElectraForPreTraining", "feature-extraction"),
        ("MPNetModel", "feature-extraction"),
        ("T5EncoderModel", "feature-extraction"),
        ("GPT2LMHeadModel", "text-generation"),
        ("T5ForConditionalGeneration", "text2text-generation"),
        ("BartForConditionalGeneration", "text2text-generation"),
    ],
)
def test_task_of_an_architecture(classifier: Path, architecture: str, task: str) -> None:
    change_config(classifier, architectures=[architecture])
    assert infer_task(open_checkpoint(classifier)) == task


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ("VideoMAEForVideoClassification", "unknown kind"),
        ("NobodysForNothing", "unknown kind"),
    ],
)
def test_architectures_not_supported_yet(classifier: Path, architecture: str, words: str) -> None:
    change_config(classifier, architectures=[architecture])
    with pytest.raises(UnsupportedCheckpoint, match=words):
        infer_task(open_checkpoint(classifier))


def test_cross_encoders_and_sentence_transformers_are_known_by_their_files(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    ranker = made("bert", "text-ranking")
    assert infer_task(open_checkpoint(ranker)) == "text-ranking"
    assert read_cross_encoder(ranker, open_checkpoint(ranker).config).activation == "sigmoid"
    legacy = shutil.copytree(ranker, tmp_path / "legacy")
    name = "torch.nn.modules.linear.Identity"
    change_config(legacy, sentence_transformers=..., sbert_ce_default_activation_function=name)
    assert infer_task(open_checkpoint(legacy)) == "text-ranking"
    assert read_cross_encoder(legacy, open_checkpoint(legacy).config).activation == "identity"
    assert infer_task(open_checkpoint(made("mpnet", "sentence-similarity"))) == "sentence-similarity"


def test_a_task_without_a_head_is_refused_with_what_there_is(classifier: Path) -> None:
    checkpoint = open_checkpoint(classifier)
    assert load_model(checkpoint, "zero-shot-classification") is not None
    with pytest.raises(UnsupportedCheckpoint, match=r"no head for token-classification.*It offers: text-class"):
        load_model(checkpoint, "token-classification")


# The weights.


def test_half_precision_weights_become_float32(classifier: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    half = AutoModelForSequenceClassification.from_pretrained(classifier).to(torch.bfloat16)
    half.save_pretrained(classifier)
    model = load_model(open_checkpoint(classifier), "text-classification")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert not model.training


def test_shards_are_the_same_as_one_file(classifier: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    whole = load_model(open_checkpoint(classifier), "text-classification")
    sharded = tmp_path / "sharded"
    AutoModelForSequenceClassification.from_pretrained(classifier).save_pretrained(sharded, max_shard_size="40KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    parts = load_model(open_checkpoint(sharded), "text-classification")
    state = whole.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in parts.state_dict().items())


def test_pickled_weights_when_allowed(classifier: Path) -> None:
    import torch
    from safetensors.torch import load_file

    weights = load_file(classifier / "model.safetensors")
    (classifier / "model.safetensors").unlink()
    torch.save(weights, classifier / "pytorch_model.bin")
    checkpoint = open_checkpoint(classifier, allow_pickled_weights=True)
    assert load_model(checkpoint, "text-classification") is not None


def test_a_pickle_that_runs_code_does_not_run_it(classifier: Path, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    (classifier / "model.safetensors").unlink()
    (classifier / "pytorch_model.bin").write_bytes(pickle.dumps({"w": Evil()}))
    checkpoint = open_checkpoint(classifier, allow_pickled_weights=True)
    with pytest.raises(UnsupportedCheckpoint, match="cannot load"):
        load_model(checkpoint, "text-classification")
    assert not (tmp_path / "ran").exists()


def test_head_weights_that_would_be_random_are_refused(made: Callable[..., Path], tmp_path: Path) -> None:
    bare = shutil.copytree(made("bert", "feature-extraction"), tmp_path / "bare")
    change_config(bare, architectures=["BertForSequenceClassification"])
    with pytest.raises(UnsupportedCheckpoint, match=r"lacks 2 weights .*classifier\.bias.*random"):
        load_model(open_checkpoint(bare), "text-classification")


def test_an_unused_pooler_may_be_missing_and_tied_weights_are_not(made: Callable[..., Path]) -> None:
    masked = open_checkpoint(made("bert", "fill-mask"))
    assert infer_task(masked) == "fill-mask"
    assert load_model(masked, "fill-mask") is not None
    assert load_model(masked, "feature-extraction") is not None


def test_weights_that_do_not_fit_the_config(classifier: Path) -> None:
    change_config(classifier, intermediate_size=64)
    with pytest.raises(UnsupportedCheckpoint, match=r"weights do not fit config\.json, first bert"):
        load_model(open_checkpoint(classifier), "text-classification")


def test_a_model_that_does_not_read_text(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(image_size=8, patch_size=4, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedCheckpoint, match="takes image"):
        load_model(open_checkpoint(tmp_path), "feature-extraction")


def test_a_checkpoint_without_a_tokenizer(classifier: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (classifier / name).unlink()
    with pytest.raises(UnsupportedCheckpoint, match="has no tokenizer"):
        load_tokenizer(open_checkpoint(classifier))


# sentence-transformers.


@pytest.fixture
def embedder(made: Callable[..., Path], tmp_path: Path) -> Path:
    return shutil.copytree(made("bert", "feature-extraction"), tmp_path / "embedder")


def test_the_settings_of_a_sentence_transformer(embedder: Path) -> None:
    write_sentence_files(
        embedder,
        pooling=("mean", "cls"),
        dense=((2 * HIDDEN, 24, "Tanh"), (24, 8, "Identity")),
        prompts={"query": "query: "},
        default_prompt_name="query",
        include_prompt=False,
    )
    settings = read_sentence_settings(embedder, HIDDEN)
    assert settings.pooling == ("cls", "mean")  # the library's order, not the file's
    assert [(layer.in_features, layer.out_features, layer.activation) for layer in settings.dense] == [
        (64, 24, "Tanh"),
        (24, 8, "Identity"),
    ]
    assert (settings.normalize, settings.include_prompt, settings.embedding_dim) == (True, False, 8)
    assert (settings.prompts, settings.default_prompt_name) == ({"query": "query: "}, "query")
    assert (settings.max_seq_length, settings.similarity) == (96, "cosine")


def test_without_its_files_the_mean_is_taken_as_the_library_does(embedder: Path) -> None:
    settings = read_sentence_settings(embedder, HIDDEN)
    assert (settings.pooling, settings.normalize, settings.embedding_dim) == (("mean",), False, HIDDEN)


@pytest.mark.parametrize("pooling", ["mean", ("cls", "max"), "lasttoken"])
def test_what_the_library_saves_is_read_as_it_was(embedder: Path, tmp_path: Path, pooling: Any) -> None:
    """The current layout, written by sentence-transformers itself."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    transformer = modules.Transformer(str(embedder))
    layers = [transformer, modules.Pooling(HIDDEN, pooling)]
    width = HIDDEN * (1 if isinstance(pooling, str) else len(pooling))
    layers += [modules.Dense(width, 16, activation_function=torch.nn.ReLU()), modules.LayerNorm(16)]
    theirs = SentenceTransformer(modules=[*layers, modules.Normalize()], prompts={"query": "q: "}, device="cpu")
    saved = tmp_path / "saved"
    theirs.save(str(saved), create_model_card=False)
    checkpoint = open_checkpoint(saved)
    assert infer_task(checkpoint) == "sentence-similarity"
    model = load_model(checkpoint, "sentence-similarity")
    settings = read_sentence_settings(saved, hidden_size(model))
    assert settings.pooling == ((pooling,) if isinstance(pooling, str) else pooling)
    assert settings.normalize and settings.embedding_dim == 16 and settings.prompts["query"] == "q: "
    spec = sentence_head_spec(settings)
    assert spec is not None and spec.outputs[0].axes == ("batch", 16)
    pooled = torch.randn(3, width)
    expected = layers[3]({"sentence_embedding": layers[2]({"sentence_embedding": pooled})["sentence_embedding"]})
    found = load_sentence_head(settings)(pooled)["sentence_embedding"]
    torch.testing.assert_close(found, expected["sentence_embedding"])


@pytest.mark.parametrize(
    ("activation", "arguments"), [("PReLU", {"init": 0.7}), ("LeakyReLU", {"negative_slope": 0.7}), ("RReLU", {})]
)
def test_a_layer_computes_what_the_library_computes(tmp_path: Path, activation: str, arguments: Any) -> None:
    """Weights of an activation are its own (PReLU's slope); its arguments are not kept by the library either."""
    import torch
    from sentence_transformers.sentence_transformer import modules

    layer = modules.Dense(4, 6, activation_function=getattr(torch.nn, activation)(**arguments), use_residual=True)
    layer.save(str(tmp_path))
    theirs = modules.Dense.load(str(tmp_path)).eval()
    head = load_sentence_head(_dense(tmp_path, activation, residual=True))
    pooled = torch.linspace(-2, 2, 12).reshape(3, 4)
    expected = theirs({"sentence_embedding": pooled})["sentence_embedding"]
    torch.testing.assert_close(head(pooled)["sentence_embedding"], expected)


@pytest.mark.parametrize(
    ("activation", "weights", "words"),
    [
        ("Tanh", {"activation_function.weight": 1}, 'Unexpected key.*"activation_function.weight"'),
        ("PReLU", {}, 'Missing key.*"activation_function.weight"'),
        ("PReLU", {"activation_function.weight": 5}, "size mismatch for activation_function.weight"),
        ("Tanh", {"gate.weight": 1}, 'Unexpected key.*"gate.weight"'),
        ("Threshold", {}, "Threshold is no activation that works without arguments"),
        ("GLU", {}, "GLU makes 3 elements of 6"),
        ("functional", {}, "torch.nn has no functional"),
    ],
)
def test_layers_that_are_refused(tmp_path: Path, activation: str, weights: dict[str, int], words: str) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {"linear.weight": torch.ones(6, 4), **{name: torch.ones(size) for name, size in weights.items()}}
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UnsupportedCheckpoint, match=f"(?s){words}"):
        load_sentence_head(_dense(tmp_path, activation, bias=False))


def _dense(folder: Path, activation: str, *, bias: bool = True, residual: bool = False) -> Any:
    """Settings of a model whose head is one layer from 4 to 6 elements."""
    layer = HeadLayer("Dense", folder, 4, 6, bias, activation, residual)
    return SentenceSettings(("mean",), True, False, (layer,), {}, None, None, "cosine", 6, None)


def _module(folder: Path, number: int, kind: str) -> None:
    path = folder / "modules.json"
    modules = json.loads(path.read_text())
    modules[number]["type"] = f"sentence_transformers.models.{kind}"
    path.write_text(json.dumps(modules))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: _module(folder, 2, "WordWeights"), "module WordWeights is not supported"),
        (lambda folder: _module(folder, 1, "LSTM"), "Transformer, LSTM"),
        (lambda folder: _module(folder, 0, "CLIPModel"), "CLIPModel"),
        (lambda folder: (folder / "modules.json").write_text("{}"), "not a list of modules"),
        (lambda folder: (folder / "1_Pooling/config.json").write_text('{"pooling_mode": "median"}'), "median"),
        (lambda folder: (folder / "1_Pooling/config.json").unlink(), "1_Pooling"),
    ],
)
def test_modules_that_are_refused(embedder: Path, damage: Callable[[Path], None], words: str) -> None:
    write_sentence_files(embedder)
    damage(embedder)
    with pytest.raises(UnsupportedCheckpoint, match=words):
        open_checkpoint(embedder)
        read_sentence_settings(embedder, HIDDEN)


def test_a_head_that_does_not_fit(embedder: Path) -> None:
    write_sentence_files(embedder, dense=((HIDDEN + 1, 8, "Tanh"),))
    with pytest.raises(UnsupportedCheckpoint, match="takes 33 elements, but is given 32"):
        read_sentence_settings(embedder, HIDDEN)
