"""Where the benchmark finds the checkpoint that an artifact was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from onnxpress import Artifact
from onnxpress.errors import InputError
from onnxpress_bench.errors import BenchError
from onnxpress_bench.origin import Origin, origin_of

from ..fixtures.artifacts import write_artifact


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def made_from(folder: Path, source: str, adapter: str | None = None, commit: str | None = None) -> Artifact:
    artifact = Artifact.open(write_artifact(folder))
    provenance = replace(artifact.manifest.provenance, source=source, adapter=adapter, commit=commit, revision=None)
    return replace(artifact, manifest=replace(artifact.manifest, provenance=provenance))


def checkpoint(folder: Path, mark: str = "config.json") -> Path:
    folder.mkdir(parents=True)
    (folder / mark).write_text("{}")
    return folder


def test_a_checkpoint_is_found_from_here_first_then_beside_the_artifact(tmp_path: Path, elsewhere: Path) -> None:
    artifact = made_from(tmp_path / "project" / "out" / "artifact", "models/film")
    above = checkpoint(tmp_path / "project" / "models" / "film")
    assert origin_of(artifact, None) == Origin(str(above), None, None)
    beside = checkpoint(tmp_path / "project" / "out" / "models" / "film")
    assert origin_of(artifact, None).checkpoint == str(beside)
    checkpoint(elsewhere / "models" / "film")
    assert origin_of(artifact, None).checkpoint == "models/film"


def test_an_adapter_is_found_in_the_same_way_and_one_of_the_hub_is_left_alone(tmp_path: Path, elsewhere: Path) -> None:
    adapted = made_from(tmp_path / "artifact", "film", "contrary")
    checkpoint(tmp_path / "film")
    adapter = checkpoint(tmp_path / "contrary", "adapter_config.json")
    assert origin_of(adapted, None).adapter == str(adapter)
    on_hub = made_from(tmp_path / "other", "film", "people/contrary")
    assert origin_of(on_hub, None).adapter == "people/contrary"


def test_a_folder_of_the_same_name_that_is_no_checkpoint_is_passed_over(tmp_path: Path, elsewhere: Path) -> None:
    artifact = made_from(tmp_path / "out" / "film", "film")
    (elsewhere / "film").mkdir()
    write_artifact(tmp_path / "out" / "other" / "film")
    good = checkpoint(tmp_path / "film")
    assert origin_of(artifact, None).checkpoint == str(good)


def test_what_is_nowhere_is_said_with_the_places_and_the_option(tmp_path: Path, elsewhere: Path) -> None:
    artifact = made_from(tmp_path / "artifact", "film")
    with pytest.raises(BenchError) as raised:
        origin_of(artifact, None)
    for part in ("made from the checkpoint film", str(elsewhere), str(tmp_path), "--checkpoint FOLDER_OR_HUB_ID"):
        assert part in str(raised.value)
    with pytest.raises(InputError, match="there is no such folder"):
        origin_of(artifact, "./gone")


def test_a_source_on_the_hub_stays_there_at_its_commit(tmp_path: Path, elsewhere: Path) -> None:
    artifact = made_from(tmp_path / "artifact", "film", commit="a" * 40)
    checkpoint(elsewhere / "film")
    assert origin_of(artifact, None) == Origin("film", "a" * 40, None)
    assert origin_of(artifact, str(elsewhere)) == Origin(str(elsewhere), None, None)
