"""What README and the pages of docs show runs as it stands there, and gives what they say.

Each fenced block has a row here; `interpreter.py` says how to try another Python.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from onnxpress import Artifact

from .interpreter import ENVIRONMENT, PYTHON, require

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))), "benchmarks/README.md")
TEXTS = "A phenomenal camera\nWhat a nightmare of an app.\n"
OPENED = "import onnxpress\npipe = onnxpress.pipeline(model='sentiment')\ntexts = iter(['Good.', None, 'Bad.'])\n"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page: `language` is empty where the page names none."""

    page: str
    language: str
    text: str

    @property
    def name(self) -> str:
        """The page and the block's first line."""
        return f"{self.page}: {self.text.splitlines()[0].strip()}"


BLOCKS = [
    Block(page, language, text)
    for page in PAGES
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
]
#: Blocks that are no code, the service that test_production.py runs, and make's targets.
NOT_RUN = (
    "docs/architecture.md: exporter/onnxpress_exporter",
    "docs/artifact.md: onnxpress.json",
    "docs/production.md: ",
    "README.md: $ make demo",
    # tests/runtime/test_cli.py runs such commands, and tests/runtime/test_texts_and_pictures.py the search.
    "docs/usage.md: onnxpress run classifier-artifact",
    "docs/usage.md: from pathlib import Path",
    # tests/runtime/test_transcribing.py runs such commands.
    "docs/usage.md: onnxpress run whisper-artifact",
    # tests/parity/test_whisper.py and test_ctc.py make such calls, tests/parity/test_speakers.py that command.
    "docs/usage.md: import onnxpress",
    'docs/usage.md: print(pipe("meeting.mp3"',
    "docs/usage.md: onnxpress run speaker-artifact",
    # tests/parity/test_kinds_of_embedders.py makes such calls, tests/runtime/test_batch.py runs such commands.
    "docs/usage.md: splade = onnxpress.pipeline",
    # tests/parity/test_several_kinds_of_vectors.py makes such calls.
    "docs/usage.md: m3 = onnxpress.pipeline",
    "docs/usage.md: onnxpress batch",
    # tests/runtime/test_serve.py starts such servers, and asks them.
    "docs/serving.md: ",
)


def _block(start: str) -> Block:
    (block,) = (block for block in BLOCKS if block.name.startswith(start))
    return block


@pytest.fixture
def folder(tmp_path: Path, exported: Callable[..., Artifact], trained: Callable[[str], Path]) -> Path:
    """A folder as a reader has it: checkpoints, artifacts of theirs, texts, records."""
    shutil.copytree(exported(trained("tiny-sentiment")).folder, tmp_path / "sentiment")
    shutil.copytree(exported(trained("tiny-lm")).folder, tmp_path / "lm")
    for name in ("tiny-sentiment", "tiny-lm"):
        shutil.copytree(ROOT / "models" / name, tmp_path / "models" / name)
    (tmp_path / "texts.txt").write_text(TEXTS)
    shutil.copy(min((ROOT / "benchmarks" / "results").rglob("int8/*.jsonl")), tmp_path / "record.jsonl")
    return tmp_path


def _run(folder: Path, *command: object, quiet: bool = True) -> str:
    """Run a command with the interpreter. Returns what it printed."""
    done = subprocess.run(
        [PYTHON, *map(str, command)], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not quiet or done.stderr == ""
    return done.stdout


def _python(folder: Path, code: str) -> str:
    return _run(folder, "-W", "error", "-c", code)


def _words(text: str) -> list[str]:
    """The words of a text without its numbers, which differ from run to run."""
    words = re.sub(r"[\d.]+(e[-+]\d+)?x?( to (?=\d))?|not measured|at \d+x\d+,?", " ", text).split()
    return [word for word in words if word.strip("-")]


def _parsed(folder: Path, commands: str) -> None:
    """The commands of a block are there and take what they are given: read by onnxpress's own parser, and not run."""
    code = (
        "import click, shlex, sys; from onnxpress.cli.main import program\n"
        "for line in sys.stdin:\n"
        "    name, *arguments = shlex.split(line, comments=True)\n"
        "    with click.Context(program) as group:\n"
        "        program.get_command(group, name).make_context(name, arguments, parent=group)\n"
    )
    lines = re.findall(r"^onnxpress (.+)$", commands, re.MULTILINE)
    for placeholder, name in (
        ("ARTIFACT", "sentiment"),
        ("CHECKPOINT", "models/tiny-lm"),
        ("before", "record"),
        ("after", "record"),
    ):
        lines = [re.sub(rf"\b{placeholder}\b", name, line) for line in lines]
    done = subprocess.run(
        [PYTHON, "-c", code],
        input="\n".join(lines),
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_lines_of_installation_name_extras_that_are_there() -> None:
    """test_install.py installs them."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for page in PAGES:
        for names in re.findall(r"pip install '[\w.]+\[([\w,]+)\]'", (ROOT / page).read_text(encoding="utf-8")):
            assert set(names.split(",")) <= set(extras), page
    assert _block("README.md: $ pip install").text.count("pip install '.[") == 3


@pytest.mark.nightly
def test_the_export_prints_what_the_readme_shows(folder: Path) -> None:
    require("torch", "transformers")
    command, _, shown = _block("README.md: $ onnxpress export").text.partition("\n")
    shutil.rmtree(folder / "sentiment")
    printed = _words(_run(folder, "-m", *shlex.split(command)[1:]).split("On this machine")[0])
    shown = shown.split("On this machine")[0]
    assert [word for word in _words(shown) if word in set(printed)] == _words(shown)


@pytest.mark.nightly
def test_the_readme_runs(folder: Path) -> None:
    assert _python(folder, _block("README.md: import onnxpress").text).split() == ["positive", "negative"]


@pytest.mark.nightly
def test_the_pages_of_usage_run(folder: Path) -> None:
    printed = _python(folder, OPENED + _block("docs/usage.md: for result in pipe").text)
    assert printed.startswith("1 inputs[1]: ")
    _python(folder, "import onnxpress\n" + _block("docs/usage.md: model = onnxpress.load").text)


@pytest.mark.nightly
def test_the_page_of_usage_writes(folder: Path) -> None:
    code = _block("docs/usage.md: chat = onnxpress.pipeline").text
    *free, last = code.rstrip().splitlines()
    assert "json_schema" in last
    assert "Italy is Rome" in _python(folder, "import onnxpress\n" + "\n".join(free))
    require("llguidance")
    _python(folder, f"import onnxpress\n{code}")


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are a shell's")
def test_the_commands_of_usage_run(
    tmp_path: Path, exported: Callable[..., Artifact], trained: Callable[[str], Path]
) -> None:
    models = {"artifact": "sentiment", "chat-artifact": "lm"}
    models |= {f"{name}-artifact": name for name in ("ner", "qa", "reranker", "embedder")}
    for folder, name in models.items():
        (tmp_path / folder).symlink_to(exported(trained(f"tiny-{name}")).folder)
    (tmp_path / "texts.txt").write_text(TEXTS)
    (tmp_path / "history.txt").write_text("The first was Ada, in 1843.")
    (tmp_path / "reviews.csv").write_text("review,stars\nA phenomenal camera,5\n")
    commands = _block("docs/usage.md: onnxpress run ner-artifact").text
    environment = {**ENVIRONMENT, "PATH": os.pathsep.join((str(Path(PYTHON).parent), ENVIRONMENT["PATH"]))}
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail"],
        input=commands, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert len((tmp_path / "vectors.jsonl").read_text().splitlines()) == 2
    assert '"stars": "5"' in (tmp_path / "answers.jsonl").read_text()


@pytest.mark.nightly
def test_the_card_of_an_artifact_runs(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "sentiment" / "README.md").read_text("utf-8"), re.DOTALL)
    _python(folder, code.replace("THIS_FOLDER_OR_HUB_ID", "sentiment"))


@pytest.mark.nightly
def test_a_record_is_read_as_its_page_says(folder: Path) -> None:
    assert " ms " in _python(folder, _block("docs/bench-record.md: import json").text)
    if shutil.which("jq"):
        commands = _block("docs/bench-record.md: jq").text
        assert subprocess.run(commands, shell=True, cwd=folder, capture_output=True, check=True).stdout


@pytest.mark.nightly
def test_the_commands_of_the_benchmarks_are_taken(folder: Path) -> None:
    require("psutil")
    blocks = [block for block in BLOCKS if block.page == "benchmarks/README.md" and "onnxpress bench" in block.text]
    assert len(blocks) == 3
    for block in blocks:
        _parsed(folder, block.text)


@pytest.mark.nightly
def test_the_benchmarks_run_from_python(folder: Path) -> None:
    require("torch", "psutil")
    code = _block("benchmarks/README.md: from dataclasses").text
    for shown, small in (
        ('Path("checkpoint")', 'Path("models/tiny-lm")'),
        ('("pytorch", "llama.cpp")', '("pytorch",)'),
        ("quick=True)", "quick=True), blocks=1, latency_s=0.1, warm_up_s=0.1"),
        ("(128,)", "(16,)"),
        ("(32,)", "(4,)"),
    ):
        assert shown in code
        code = code.replace(shown, small)
    assert "pytorch" in _run(folder, "-c", code, quiet=False)


def test_every_block_is_run_by_a_test() -> None:
    """A block that no test names is shown untried."""
    source = Path(__file__).read_text(encoding="utf-8")
    named = (*NOT_RUN, *re.findall(r'_block\("(.+?)"\)', source))
    untried = [block.name for block in BLOCKS if not block.name.startswith(named)]
    assert [name for name in untried if not name.startswith("benchmarks/README.md: ")] == []
