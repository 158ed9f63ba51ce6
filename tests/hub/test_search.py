"""`onnxpress search`: which models come, what is told of them, in 80 columns, and what refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxpress.cli.main import program
from onnxpress.errors import HubError, InputError, UnknownTask
from onnxpress.pipelines.searching import parse_size, search

from .server import HubServer

LIST = "/api/models[?]*"
TOKENIZER = {"config.json": b"{}", "tokenizer.json": b"{}"}


def command(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["search", *map(str, arguments)])


@pytest.fixture
def filled(hub: HubServer) -> HubServer:
    """A Hub with one model of each kind."""
    models = {
        "org/ours-sentiment": ({**TOKENIZER, "onnxpress.json": b"{}", "onnx/model.onnx": b"x" * 900,
                                "onnx/model_int8.onnx": b"x" * 300}, "text-classification", "onnxpress", 50),
        "Xenova/sentiment": ({**TOKENIZER, "onnx/model.onnx": b"x" * 2000, "onnx/model.onnx_data": b"x" * 8000,
                              "onnx/model_quantized.onnx": b"x" * 500, "onnx/model_q4f16.onnx": b"x" * 400,
                              "onnx/model_bnb4.onnx": b"x"}, "text-classification", "transformers.js", 2_500_000),
        "org/embedder": ({**TOKENIZER, "model.onnx": b"x" * 100}, "sentence-similarity", "sentence-transformers", 7),
        "org/bare": ({"weird.onnx": b"x"}, "text-classification", "", 6),
        "org/several": ({**TOKENIZER, "a.onnx": b"x", "b.onnx": b"x"}, "text-classification", "", 5),
        "org/image": ({**TOKENIZER, "model.onnx": b"x"}, "text-to-video", "transformers.js", 4),
        "org/torch": ({"model.safetensors": b"x"}, "text-classification", "transformers", 9_999),
    }  # fmt: skip
    for repo_id, (files, task, library, downloads) in models.items():
        hub.add(repo_id, files)
        repository = hub.repositories[repo_id]
        repository.task, repository.library, repository.downloads = task, library, downloads
    return hub


def test_models_with_graphs_come_the_most_downloaded_first(filled: HubServer) -> None:
    found = {match.id: match for match in search()}
    assert list(found) == [
        "Xenova/sentiment",
        "org/ours-sentiment",
        "org/embedder",
        "org/bare",
        "org/several",
        "org/image",
    ]
    xenova = found["Xenova/sentiment"]
    assert (xenova.layout, xenova.task, xenova.runs, xenova.why_not) == (
        "transformers.js",
        "text-classification",
        True,
        None,
    )
    assert xenova.sizes == {"fp32": 10_000, "q8": 500, "q4f16": 400, "bnb4": 1}
    assert found["org/ours-sentiment"].layout == "onnxpress"
    assert found["org/ours-sentiment"].sizes == {"fp32": 900, "int8": 300}
    assert found["org/embedder"].layout == "optimum"
    assert {name: match.why_not for name, match in found.items() if not match.runs} == {
        "org/bare": "no tokenizer",
        "org/several": "no graph of a known name",
        "org/image": "the task text-to-video is not served",
    }


def test_text_task_library_size_and_limit(filled: HubServer) -> None:
    assert [match.id for match in search("embed")] == ["org/embedder"]
    assert [match.id for match in search("SENTIMENT", limit=1)] == ["Xenova/sentiment"]
    assert [match.id for match in search(task="embeddings")] == ["org/embedder"]
    assert [match.id for match in search(library="onnxpress")] == ["org/ours-sentiment"]
    assert [match.id for match in search(task="sentiment-analysis", max_bytes=299)] == [
        "Xenova/sentiment",
        "org/bare",
    ]
    assert [match.id for match in search("nothing-of-this-name")] == []
    assert len(filled.requests("GET", LIST)) == 6


def test_a_gated_one_says_so_and_a_private_one_needs_its_token(
    filled: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.repositories["Xenova/sentiment"].gated = True
    filled.repositories["org/embedder"].private = True
    found = {match.id: match for match in search()}
    assert found["Xenova/sentiment"].why_not == "it is gated: ask for access on its page"
    assert "org/embedder" not in found
    filled.grant("hf_right", "org/embedder")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert next(match for match in search() if match.id == "org/embedder").private


def test_the_table_has_80_columns(filled: HubServer) -> None:
    filled.rename(
        "org/several", "an-organization-with-a-long-name/" + "a-model-whose-name-is-as-long-as-a-line-" * 2 + "x"
    )
    result = command("--limit", 20)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert all(len(line) <= 80 for line in lines if "long-name" not in line)
    at = lines.index("Xenova/sentiment")
    assert lines[at + 1].split() == [
        "text-classification", "transformers.js", "fp32,", "q8", "+2", "10.0", "KB", "2.5M", "yes",
    ]  # fmt: skip
    assert "    no tokenizer" in lines


def test_json_has_a_line_for_each_model(filled: HubServer) -> None:
    lines = [json.loads(line) for line in command("sentiment", "--json").output.splitlines()]
    assert [line["id"] for line in lines] == ["Xenova/sentiment", "org/ours-sentiment"]
    assert lines[1]["sizes"] == {"fp32": 900, "int8": 300} and lines[1]["runs"] is True


def test_nothing_that_fits_is_a_sentence(filled: HubServer) -> None:
    result = command("nothing-of-this-name")
    assert (result.exit_code, result.output[:38]) == (0, "No model with ONNX graphs fits. Search")


def test_long_lists_come_in_pages(hub: HubServer) -> None:
    hub.page_size = 4
    for number in range(10):
        hub.add(f"org/m{number}", {**TOKENIZER, "model.onnx": b"x"})
    assert len(search(limit=10)) == 10


def test_sizes() -> None:
    assert [parse_size(text) for text in ("12", "1.5 GB", "100mb", "3k", "1MiB")] == [
        12,
        1_500_000_000,
        10**8,
        3000,
        10**6,
    ]
    for text in ("", "big", "-1MB", "1XB"):
        with pytest.raises(InputError, match="is not a size"):
            parse_size(text)


def test_refusals(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownTask, match="sentment"):
        search(task="sentment-analysis")
    assert hub.requests() == []
    for status, says in (
        (429, "limits the rate of requests"),
        (503, "answered 503"),
        (404, "has no search for models"),
    ):
        hub.fault("GET", LIST, status=status)
        with pytest.raises(HubError, match=says):
            search()
        hub.heal()
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    hub.fault("GET", LIST, status=401)
    with pytest.raises(HubError, match="does not accept the token in use"):
        search()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set, so the Hub cannot be searched"):
        search()


def test_the_network_is_asked_only_when_something_is_searched(hub: HubServer, tmp_path: Path) -> None:
    assert command("--help").exit_code == 0
    assert command("--max-size", "big").exit_code == 1
    assert hub.requests() == []
