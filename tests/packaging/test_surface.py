"""What production gets: the public names, a quiet and light import, and commands that say what is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import onnxpress
from onnxpress import errors

from ..fixtures.artifacts import write_artifact

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "optimum", "onnx", "onnx_ir", "onnxscript", "sentence_transformers")


def test_the_public_names_do_not_drift() -> None:
    raised = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert raised - {"AdoptionWarning", "BatchDependenceWarning"} == {
        name for name in onnxpress.__all__ if hasattr(errors, name)
    }
    assert dir(onnxpress) == sorted(onnxpress.__all__)
    for name in onnxpress.__all__:
        assert getattr(onnxpress, name) is getattr(onnxpress, name)
    with pytest.raises(AttributeError, match="no attribute 'pipelin'"):
        onnxpress.pipelin  # type: ignore[attr-defined]  # noqa: B018


def test_version_is_that_of_the_package() -> None:
    assert f'version = "{onnxpress.__version__}"' in (ROOT / "pyproject.toml").read_text()


def _python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_a_pipeline_brings_no_heavy_module_and_prints_nothing(tmp_path: Path) -> None:
    code = f"""
import sys, onnxpress
pipe = onnxpress.pipeline(model=sys.argv[1])
assert pipe("good")[0]["label"] == "good"
assert pipe(["bad", "very good film"])[1]["label"] == "good"
loaded = [name for name in {HEAVY!r} if name in sys.modules]
assert not loaded, loaded
assert "huggingface_hub" not in sys.modules
"""
    done = _python(code, write_artifact(tmp_path / "artifact"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


#: What a text model of ours has no use for; where one does, it is imported then (decision 0126).
UNUSED = (
    *("onnxpress.audio", "onnxpress.image", "onnxpress.speech", "onnxpress.format.pictures", "onnxpress.format.sounds"),
    *("onnxpress.hub.upload", "onnxpress.layouts.foreign", "onnxpress.layouts.tokenizer_sources"),
    *("onnxpress.text.slow", "importlib.metadata"),
)


def test_a_text_model_brings_nothing_of_pictures_sounds_or_other_tools(tmp_path: Path) -> None:
    code = f"""
import sys, onnxpress
onnxpress.pipeline(model=sys.argv[1])("good")
print(sorted(set({UNUSED!r}) & set(sys.modules)))
"""
    done = _python(code, write_artifact(tmp_path / "artifact"))
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_help_needs_little() -> None:
    done = _python(
        "import sys; from onnxpress.cli import main; from click.testing import CliRunner; "
        "print(CliRunner().invoke(main.program, ['run', '--help']).exit_code); "
        "print([name for name in ('numpy', 'onnxruntime', 'tqdm', 'onnxpress.engine') if name in sys.modules])"
    )
    assert (done.stdout, done.stderr) == ("0\n[]\n", "")


def test_importing_brings_neither_the_session_nor_the_tokenizer_library() -> None:
    done = _python(
        "import sys, onnxpress; late = ('onnxruntime', 'tokenizers', 'huggingface_hub', 'click', 'tqdm'); "
        "print([name for name in late if name in sys.modules])"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_command_is_registered_and_has_help() -> None:
    names = {entry.name for entry in entry_points(group="onnxpress.commands")}
    assert names == {"adopt", "export", "quantize", "bench", "advise", "compare", "peers"}
    for command in ("chat", "check", "inspect", "pull", "push", "run", "search", "space", *sorted(names)):
        done = subprocess.run(
            [sys.executable, "-m", "onnxpress", command, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Usage:" in done.stdout
        assert done.stderr == ""


def test_quantize_needs_no_pytorch(
    exported: Callable[..., onnxpress.Artifact], trained: Callable[[str], Path], tmp_path: Path
) -> None:
    """As on a machine that has `onnxpress[quantize]` alone: whatever else the exporter needs cannot be found."""
    code = """
import sys
from importlib.machinery import PathFinder
hidden = {"torch", "transformers", "optimum", "onnxscript", "peft", "safetensors", "sentencepiece", "requests"}
original = PathFinder.find_spec.__func__
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.partition(".")[0] in hidden else original(cls, name, *rest))
from onnxpress.cli.main import main
sys.argv = ["onnxpress", *sys.argv[1:]]
main()
"""
    artifact = exported(trained("tiny-sentiment"))
    done = _python(code, "quantize", artifact.folder, "--precision", "int8", "--out", tmp_path / "out", "--keep-slow")
    assert (done.returncode, done.stderr) == (0, "")
    assert "int8" in onnxpress.Artifact.open(tmp_path / "out").manifest.variants


@pytest.mark.parametrize("command", ["export", "bench", "advise"])
def test_a_missing_extra_is_named(command: str, tmp_path: Path) -> None:
    """As on a machine that has the runtime alone: the packages of the extra cannot be found."""
    code = """
import sys
from importlib.machinery import PathFinder
hidden = {"torch", "transformers", "optimum", "psutil", "matplotlib"}
original = PathFinder.find_spec.__func__
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.partition(".")[0] in hidden else original(cls, name, *rest))
from onnxpress.cli.main import main
sys.argv = ["onnxpress", *sys.argv[1:]]
main()
"""
    arguments = ("--p99-ms", "10", "--rate", "10") if command == "advise" else ()
    done = _python(code, command, write_artifact(tmp_path / "artifact"), *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr
