"""`onnxpress space` of an id: the files come along, or stay on the Hub at their commit."""

from __future__ import annotations

import tomllib
from pathlib import Path

import onnxpress
from onnxpress.serve.space import write_space

from ..fixtures.artifacts import write_artifact
from .server import HubServer


def test_files_stay_on_the_hub_or_come_along(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add_folder("org/artifact", write_artifact(tmp_path / "made"))
    assert write_space("org/artifact", tmp_path / "referring", from_hub=True) == "fp32"
    assert not hub.requests(pattern="*.onnx")
    settings = tomllib.loads((tmp_path / "referring" / "serve.toml").read_text(encoding="utf-8"))
    assert settings["models"] == {"artifact": {"artifact": "org/artifact", "revision": commit}}
    assert sorted(path.name for path in (tmp_path / "referring").iterdir()) == ["Dockerfile", "README.md", "serve.toml"]
    assert "HF_HUB_OFFLINE=0" in (tmp_path / "referring" / "Dockerfile").read_text(encoding="utf-8")
    assert "models:\n- org/artifact\n" in (tmp_path / "referring" / "README.md").read_text(encoding="utf-8")
    write_space("org/artifact", tmp_path / "whole", precision="fp32")
    with onnxpress.pipeline(model=str(tmp_path / "whole" / "model")) as pipe:
        assert pipe("good")[0]["label"] == "good"
