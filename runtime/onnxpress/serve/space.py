"""A folder that runs as a Space of Hugging Face: a server with the page, in a container."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from onnxpress import __version__
from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.format.contents import narrowed
from onnxpress.format.files import check_target, staged_folder
from onnxpress.format.manifest import FILE_NAME, Manifest
from onnxpress.layouts.artifact import Artifact
from onnxpress.serve.settings import check_name

#: Where a Space listens unless its README says otherwise.
PORT = 7860

_README = """\
---
title: {name}
emoji: 🧮
colorFrom: blue
colorTo: green
sdk: docker
app_port: {port}
suggested_hardware: cpu-basic
pinned: false
{models}---

# {name}

{task} by onnxpress {version}: the page at `/` tries it, `/openapi.json` describes its routes, `serve.toml` says how it
is served.

To publish it: `hf upload ORGANIZATION/{name} . --repo-type space`, in this folder.
"""

# A Space's container runs as user 1000, who must be able to write in its home.
_DOCKERFILE = """\
FROM python:3.11-slim
RUN useradd --create-home --uid 1000 user
USER user
ENV HOME=/home/user \\
    PATH=/home/user/.local/bin:$PATH \\
    HF_HUB_OFFLINE={offline}
WORKDIR /home/user/app
{install}
COPY --chown=user . .
EXPOSE {port}
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \\
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/health', timeout=2)"]
CMD ["onnxpress", "serve", "--config", "serve.toml"]
"""

_SETTINGS = """\
host = "0.0.0.0"
port = {port}
no_auth = true       # the Hub's proxy is in front; a private Space asks for its reader's token there
framed_by = "https://huggingface.co"

[models.{name}]
"""


def write_space(
    source: str | Path,
    out: Path,
    *,
    name: str | None = None,
    from_hub: bool = False,
    revision: str | None = None,
    precision: str | None = None,
    wheel: Path | None = None,
) -> str:
    """Write a Space: README.md, Dockerfile, serve.toml, and the artifact's files in model/; the variant in it.

    Args:
        source: an artifact's folder, or its id on the Hub.
        out: the folder, which is not there yet.
        name: the model's; None: the folder's or the repository's.
        from_hub: leave the artifact's files on the Hub: the Space fetches them, of this commit, when it starts.
        precision: the variant; None: all of a folder's are in it, and the server chooses where it runs.
        wheel: a built onnxpress to be installed there; None: the package index's, of this version.

    Raises:
        InputError: `out` exists; or `from_hub` is said of a folder.
        UnsupportedFormat: it is another tool's folder.
        ArtifactError: there is no valid artifact.
        HubError: the Hub refused or cannot be reached.
    """
    check_new(out)
    if wheel is not None and not (wheel.is_file() and wheel.suffix == ".whl"):
        raise InputError(f"{wheel} is no wheel that is there. Build one: pip wheel --no-deps onnxpress.")
    artifact = Artifact.open(source, revision=revision)
    if artifact.adopted is not None:
        raise UnsupportedFormat(f"{source} is laid out as {artifact.adopted.layout} does. Run onnxpress adopt first.")
    if from_hub and artifact.snapshot is None:
        raise InputError(
            f"{source} is a folder here: --from-hub needs an id on the Hub. Leave it out to copy the folder."
        )
    variants = tuple(artifact.manifest.variants) if precision is None else (precision,)
    artifact.needed(variants)  # refuses a variant that is not there
    name = check_name(_plain(name or (str(source) if artifact.snapshot else Path(source).expanduser().resolve().name)))
    model = {"artifact": str(source) if from_hub else "model"}
    if from_hub and artifact.snapshot is not None:
        model["revision"] = artifact.snapshot.commit
    if precision is not None:
        model["precision"] = precision
    with staged_folder(out) as staging:
        if not from_hub:
            _copy(artifact, variants, staging / "model")
        if wheel is not None:
            shutil.copyfile(wheel, staging / wheel.name)
        (staging / "serve.toml").write_text(_settings(name, model), encoding="utf-8")
        (staging / "Dockerfile").write_text(_dockerfile(artifact.manifest, wheel, from_hub), encoding="utf-8")
        models = f"models:\n- {source}\n" if artifact.snapshot is not None else ""
        readme = _README.format(
            name=name, port=PORT, models=models, task=artifact.manifest.task or "A model", version=__version__
        )
        (staging / "README.md").write_text(readme, encoding="utf-8")
    return ", ".join(variants)


def check_new(out: Path) -> None:
    """Raises:
    InputError: it is there.
    """
    try:
        check_target(out, force=False)
    except InputError:
        raise InputError(f"{out} exists already. Choose another output folder.") from None


def _plain(name: str) -> str:
    """A name for a Space: what comes after an organization."""
    return re.sub(r"[^\w.-]", "-", name.rpartition("/")[2])


def _copy(artifact: Artifact, variants: Collection[str], target: Path) -> None:
    """Copy the files that these variants need, each checked, with a manifest that names no others."""
    names = artifact.needed(variants)
    for name in sorted(names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.file(name), target / name)
    text = (artifact.folder / FILE_NAME).read_bytes()
    (target / FILE_NAME).write_bytes(narrowed(text, artifact.manifest, variants))


def _settings(name: str, model: dict[str, str]) -> str:
    lines = (f"{field} = {json.dumps(value)}\n" for field, value in model.items())
    return _SETTINGS.format(port=PORT, name=json.dumps(name)) + "".join(lines)


def _dockerfile(manifest: Manifest, wheel: Path | None, from_hub: bool) -> str:
    extras = ["cpu", "serve"]
    extras += ["vision"] * (manifest.processors.image is not None)
    extras += ["audio"] * (manifest.processors.audio is not None)
    extras += ["structured"] * (manifest.generation is not None)
    wanted = f"[{','.join(extras)}]"
    if wheel is None:
        install = f'RUN pip install --no-cache-dir --user "onnxpress{wanted}=={__version__}"'
    else:
        install = (
            f"COPY --chown=user {wheel.name} /tmp/{wheel.name}\n"
            f'RUN pip install --no-cache-dir --user "/tmp/{wheel.name}{wanted}"'
        )
    return _DOCKERFILE.format(port=PORT, install=install, offline=int(not from_hub))
