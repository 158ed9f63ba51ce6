"""Every export is compared with the whole model as sentence-transformers runs it: what was read wrong is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxpress import Artifact
from onnxpress.engine.session import Session
from onnxpress.text.opening import open_tokenizer
from onnxpress_exporter.errors import UnsupportedCheckpoint, VerificationFailed
from onnxpress_exporter.source.checkpoint import open_checkpoint
from onnxpress_exporter.tasks import TASKS, whole

EMBEDDER, RANKER = "tiny-embedder", "tiny-reranker"
TASK = {EMBEDDER: "sentence-similarity", RANKER: "text-ranking"}


@pytest.fixture(scope="module")
def compared(trained: Callable[[str], Path], exported: Callable[..., Artifact]) -> Callable[..., str]:
    """`compared(name, **postprocessing)`: what is said of a checkpoint's artifact with other settings than its own."""

    def compare(name: str, *, folder: Path | None = None, **changes: Any) -> str:
        artifact = exported(trained(name), TASK[name])
        manifest, settings = artifact.manifest, artifact.manifest.postprocessing
        if settings.embedding is not None:
            settings = replace(settings, embedding=replace(settings.embedding, **changes))
        else:
            settings = replace(settings, **changes)
        changed = Artifact(artifact.folder, replace(manifest, postprocessing=settings))
        session = Session(artifact.graphs("fp32"), roles={graph.role: key for key, graph in manifest.graphs.items()})
        try:
            return TASKS[TASK[name]].compare_whole(
                open_checkpoint(folder or trained(name)), changed, session, open_tokenizer(artifact)
            )
        finally:
            session.close()

    return compare


@pytest.mark.parametrize("name", TASK)
def test_right_answers_pass(compared: Callable[..., str], name: str) -> None:
    assert " of sentence-transformers " in compared(name)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (EMBEDDER, {"pooling": ("cls",)}),
        (EMBEDDER, {"normalize": False}),
        (EMBEDDER, {"truncate_dimensions": 8}),
        (EMBEDDER, {"max_length": 5}),
        (EMBEDDER, {"prompts": {"query": "find: "}, "default_prompt_name": "query"}),
        (RANKER, {"function_to_apply": "sigmoid"}),
        (RANKER, {"prompts": {"web": "find: "}, "default_prompt_name": "web"}),
    ],
)
def test_wrong_answers_do_not(compared: Callable[..., str], name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(VerificationFailed, match="The answers are not those of"):
        compared(name, **changes)


def test_without_the_library_it_is_said(compared: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "find_spec", lambda name: None)
    assert compared(EMBEDDER) == "; the transformer alone, as sentence-transformers is not installed"


@pytest.mark.parametrize("name", TASK)
def test_a_limit_beyond_the_positions_is_ours(
    compared: Callable[..., str], trained: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """The library fails at long texts then; the other settings are looked at all the same."""
    folder = shutil.copytree(trained(name), tmp_path / "longer")
    path = folder / "sentence_bert_config.json"
    fields = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**fields, "max_seq_length": 4096}))
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(json.dumps({**json.loads(tokenizer.read_text()), "model_max_length": 4096}))
    assert " of sentence-transformers " in compared(name, folder=folder)
    wrong = {"pooling": ("cls",)} if name == EMBEDDER else {"function_to_apply": "sigmoid"}
    with pytest.raises(VerificationFailed, match="The answers are not those of"):
        compared(name, folder=folder, **wrong)


def test_what_the_library_cannot_open_is_refused(
    compared: Callable[..., str], trained: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(trained(EMBEDDER), tmp_path / "damaged")
    (folder / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(UnsupportedCheckpoint, match=r"cannot open .*damaged as a SentenceTransformer"):
        compared(EMBEDDER, folder=folder)
