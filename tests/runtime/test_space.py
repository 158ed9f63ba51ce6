"""`onnxpress space`: the folder that it writes starts a server; what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import onnxpress
from onnxpress.cli.main import program

from ..fixtures.artifacts import write_artifact

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

yaml = pytest.importorskip("yaml")


def _space(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["space", *map(str, arguments)])


def _command(folder: Path) -> list[str]:
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    words: list[str] = json.loads(text.rpartition("\nCMD ")[2])
    assert words[0] == "onnxpress"
    return [sys.executable, "-m", *words]


def test_what_is_written_starts_the_server_that_it_describes(tmp_path: Path) -> None:
    artifact, out = write_artifact(tmp_path / "my model"), tmp_path / "space"
    done = _space(artifact, out)
    assert done.exit_code == 0, done.output
    assert onnxpress.Artifact.open(out / "model").manifest == onnxpress.Artifact.open(artifact).manifest
    front = yaml.safe_load((out / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    settings = tomllib.loads((out / "serve.toml").read_text(encoding="utf-8"))
    assert (front["sdk"], front["app_port"], front["title"]) == ("docker", settings["port"], "my-model")
    dockerfile = (out / "Dockerfile").read_text(encoding="utf-8")
    assert f"onnxpress[cpu,serve]=={onnxpress.__version__}" in dockerfile
    assert f"127.0.0.1:{settings['port']}/health" in dockerfile and "USER user" in dockerfile
    address = None
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "ONNXPRESS_THREADS": "1"}
    with subprocess.Popen(
        [*_command(out), "--port", "0"], cwd=out, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if listening := re.search(r"http://0\.0\.0\.0:(\d+)", line):
                    address = f"http://127.0.0.1:{listening[1]}"
                if "model opened" in line:
                    break
            with urllib.request.urlopen(f"{address}/", timeout=30) as page:
                assert "frame-ancestors https://huggingface.co" in page.headers["content-security-policy"]
            request = urllib.request.Request(
                f"{address}/models/my-model", b'{"inputs": "good"}', {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as reply:
                assert json.load(reply)[0][0]["label"] == "good"
        finally:
            process.terminate()
            process.wait(30)


def test_a_wheel_is_taken_along(tmp_path: Path) -> None:
    wheel = tmp_path / "onnxpress-1-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    done = _space(write_artifact(tmp_path / "artifact"), tmp_path / "space", "--wheel", wheel, "--name", "other")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "space" / wheel.name).read_bytes() == b"a wheel"
    dockerfile = (tmp_path / "space" / "Dockerfile").read_text(encoding="utf-8")
    assert f'"/tmp/{wheel.name}[cpu,serve]"' in dockerfile
    assert "other" in tomllib.loads((tmp_path / "space" / "serve.toml").read_text(encoding="utf-8"))["models"]


def test_refusals_leave_nothing(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(onnxpress.InputError, match="exists already"):
        raise _space(artifact, artifact).exception  # type: ignore[misc]
    for words, *arguments in (
        ("--from-hub", "--from-hub"),
        ("no variant 'int3'", "--precision", "int3"),
        ("is no wheel", "--wheel", tmp_path / "none.whl"),
    ):
        done = _space(artifact, tmp_path / "space", *arguments)
        assert isinstance(done.exception, onnxpress.OnnxpressError) and words in str(done.exception)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("framed_by", ["*; script-src *", "https://a.b'", "huggingface.co"])
def test_a_frame_is_an_origin(framed_by: str) -> None:
    from onnxpress.serve.settings import ModelSettings, ServerSettings

    with pytest.raises(onnxpress.InputError, match="framed_by"):
        ServerSettings({"a": ModelSettings("a")}, framed_by=framed_by).check()
