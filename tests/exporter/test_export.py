"""The whole flow: reproducible, all or nothing, and refused with a reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from signal import SIGINT, SIGKILL

import onnx_ir
import pytest

import onnxpress
from onnxpress.errors import InputError, UnknownTask
from onnxpress.format.staging import remove_leftovers
from onnxpress_exporter import export, passes
from onnxpress_exporter.errors import UnsupportedCheckpoint, VerificationFailed

SENTIMENT = Path(__file__).parents[2] / "models" / "tiny-sentiment"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> onnxpress.Artifact:
    return export(SENTIMENT, tmp_path_factory.mktemp("export") / "artifact")


def _example() -> tuple[str, str]:
    row = json.loads((SENTIMENT / "examples.jsonl").read_text().splitlines()[0])
    return row["text"], row["label"]


def test_a_trained_checkpoint_is_exported_and_answers(artifact: onnxpress.Artifact) -> None:
    text, label = _example()
    with onnxpress.pipeline(model=artifact) as pipe:
        assert pipe(text)[0]["label"] == label
    manifest = artifact.manifest
    assert manifest.task == "text-classification"
    assert manifest.variants["fp32"].bytes == (artifact.folder / "onnx/model.onnx").stat().st_size
    quality = manifest.variants["fp32"].quality
    assert quality is not None
    assert quality.max_error <= 1e-4 and quality.batch_error <= 1e-5 and quality.inputs > 15


def test_the_artifact_can_be_moved(artifact: onnxpress.Artifact, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in artifact.folder.rglob("*"):
        if path.is_file():
            copy = moved / path.relative_to(artifact.folder)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    text, label = _example()
    assert onnxpress.pipeline(model=moved)(text)[0]["label"] == label


def test_no_file_holds_a_path_of_this_machine(artifact: onnxpress.Artifact) -> None:
    paths = {str(path).encode() for path in (SENTIMENT, artifact.folder.parent, Path.home(), Path(sys.prefix))}
    for file in artifact.folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert [path for path in paths if path in content] == [], file
    assert Path(artifact.manifest.provenance.source).name == "tiny-sentiment"


def test_the_same_export_twice_gives_the_same_files(artifact: onnxpress.Artifact, tmp_path: Path) -> None:
    """In another process, from another folder, with another hash seed."""
    command = [sys.executable, "-m", "onnxpress", "export", SENTIMENT, tmp_path / "again", "--json"]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "17", "HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    files = json.loads(done.stdout)["files"]
    expected = {name: info.sha256 for name, info in artifact.manifest.files.items()}
    found = {name: info["sha256"] for name, info in files.items()}
    assert expected.pop("README.md") and found.pop("README.md")  # the card tells the speed, which is measured
    assert found == expected


KILLER = """
import json, os, signal, sys
from pathlib import Path
import torch, transformers  # once, for all children
import onnxpress_exporter.flow as flow
source, base = sys.argv[1], Path(sys.argv[2])
for moment in sys.argv[3:]:
    number, stage = int(moment.partition("-")[0]), moment.partition("-")[2]
    out = base / f"{stage}-{int(number)}" / "out"
    child = os.fork()
    if child == 0:
        try:
            flow.export(source, out, progress=lambda name: name == stage and os.kill(os.getpid(), number))
        except KeyboardInterrupt:
            os._exit(130)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    left = sorted(path.name for path in out.parent.iterdir())
    print(json.dumps([int(number), stage, os.waitstatus_to_exitcode(status), left]), flush=True)
"""


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param((f"{SIGKILL:d}-trace", f"{SIGINT:d}-trace"), id="early"),
        pytest.param(
            (f"{SIGINT:d}-verify", f"{SIGKILL:d}-verify", f"{SIGKILL:d}-write"), id="late", marks=pytest.mark.nightly
        ),
    ],
)
def test_killed_at_any_stage_it_leaves_no_artifact(moments: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(SENTIMENT), str(tmp_path), *moments],
        capture_output=True,
        text=True,
        check=False,
    )
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == len(moments), done.stderr
    for number, stage, code, left in reports:
        if number == SIGKILL:  # a hidden folder and its lock are left, which the next export to this place removes
            assert code == -9, (stage, done.stderr)
            assert [re.sub("[0-9a-f]{32}", "TOKEN", name) for name in left] == [".out.TOKEN.lock", ".out.TOKEN.partial"]
            place = tmp_path / f"{stage}-{number}"
            remove_leftovers(place / "out")
            assert not list(place.iterdir())
        else:
            assert (code, left) == (130, []), (stage, done.stderr)


def _worsen(model: onnx_ir.Model) -> int:
    """A pass that does damage: the bias of the classifier is off by a little."""
    (value,) = [one for name, one in model.graph.initializers.items() if name.endswith("classifier.bias")]
    assert value.const_value is not None
    array = value.const_value.numpy().copy()
    array[0] += 0.05
    value.const_value = onnx_ir.tensor(array, name=value.name)
    return 1


def test_a_wrong_graph_is_refused_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = passes.find_pass
    monkeypatch.setattr(passes, "find_pass", lambda name: _worsen if name == "residual_sum" else find(name))
    with pytest.raises(VerificationFailed, match=r"on the input '.*: expected .*, obtained .*No artifact was written"):
        export(SENTIMENT, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_refused_before_any_work(artifact: onnxpress.Artifact) -> None:
    stages: list[str] = []
    with pytest.raises(InputError, match="--force"):
        export(SENTIMENT, artifact.folder, progress=stages.append)
    assert stages == []


REFUSED: dict[str, tuple[dict[str, object], type[Exception], str]] = {
    "a task without a head": ({"task": "token-classification"}, UnsupportedCheckpoint, "offers: text-classification"),
    "no such task": ({"task": "text-clasification"}, UnknownTask, "Did you mean"),
    "a task of a later version": (
        {"task": "image-text-to-text"},
        UnsupportedCheckpoint,
        "not export image-text-to-text yet",
    ),
    "an unknown precision": ({"precision": ("fp31",)}, InputError, "fp31"),
    "no precision": ({"precision": ()}, InputError, "fp32"),
    "a revision of a folder": ({"revision": "main"}, UnsupportedCheckpoint, "revision"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    arguments, error, says = REFUSED[name]
    with pytest.raises(error, match=says):
        export(SENTIMENT, tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_shows_one_line_and_keeps_a_log_only_on_failure(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "onnxpress", "export", str(tmp_path / "nothing" / "here"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: There is no folder") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
