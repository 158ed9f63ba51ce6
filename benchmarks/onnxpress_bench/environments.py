"""Environments of peers: each library that onnxpress is compared with, installed apart from all others.

Their requirements clash (optimum-onnx wants transformers 4, onnxpress 5), and an import must cost a peer what it costs
its users. An environment is a venv in a folder of `home()`; the record `NAME.json` beside it, written last, names the
folder: what no record names is not installed. This module knows nothing of backends or of what the peers do.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxpress_bench.errors import BenchError, MissingPeer

HOME_VARIABLE = "ONNXPRESS_BENCH_HOME"

#: What the worker needs of ours; the peers' environments hold none of it.
_PACKAGES = ("onnxpress_bench", "onnxpress")

#: Receives what an installation does, line by line.
Show = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Peer:
    """`requirements`: as pip takes them. `pip_options` and `build` (environment variables) are given to pip as well."""

    name: str
    about: str
    requirements: tuple[str, ...]
    pip_options: tuple[str, ...] = ()
    build: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """`installed`: ready to use; an environment of other requirements than today's is not. `version`: of the peer, that
    is the first thing required. `versions`: of all that is in its environment, by distribution."""

    name: str
    about: str
    requirements: tuple[str, ...]
    installed: bool
    folder: str | None = None
    size_bytes: int = 0
    version: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


# Conversions start from the PyTorch model, so torch and transformers are in most of them; the pin of torch is that of
# constraints.txt. What only the conversion needs is not counted as the peer's install size: that is `distributions`.
_TORCH = "torch==2.13.0"

#: What `onnxpress peers` knows. Pinned is what has to be; the record of an installation has all versions.
PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(
            "ctranslate2",
            "CTranslate2, Transformer encoders and decoders in C++",
            ("ctranslate2>=4.8", "tokenizers", "transformers<5", "sentencepiece", _TORCH),
        ),
        # fastembed exports nothing; its users' ONNX files come from optimum, and so do the ones here.
        Peer(
            "fastembed",
            "fastembed, embeddings with ONNX Runtime",
            ("fastembed>=0.9", "optimum-onnx[onnxruntime]==0.1.0", _TORCH),
        ),
        Peer(
            "faster-whisper",
            "faster-whisper, Whisper in CTranslate2",
            ("faster-whisper>=1.2", "transformers<5", _TORCH),
        ),
        # Built from source by pip: needs a C++ compiler and some minutes. The converter comes with the same source.
        Peer(
            "llama-cpp-python",
            "llama.cpp, through its Python bindings",
            ("llama-cpp-python>=0.3.36", "sentencepiece", "transformers>=5", _TORCH),
        ),
        Peer(
            "onnxruntime-genai",
            "onnxruntime-genai, with its model builder",
            ("onnxruntime-genai>=0.18", "onnx-ir", "transformers>=5", _TORCH),
        ),
        Peer("openvino", "OpenVINO", ("openvino>=2026.4", "nncf>=3.3", "tokenizers", "transformers", _TORCH)),
        Peer("optimum-onnx", "optimum-onnx, with transformers 4", ("optimum-onnx[onnxruntime]==0.1.0", _TORCH)),
    )
}


def home() -> Path:
    """Where environments are kept: $ONNXPRESS_BENCH_HOME, or the user's cache."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "onnxpress" / "bench"


def interpreter(peer: str) -> Path:
    """The Python of a peer's environment.

    Raises:
        MissingPeer: it is not installed, or with other requirements than today's.
        BenchError: there is no such peer.
    """
    record = _record(_known(peer))
    if record is None:
        raise MissingPeer(f"The peer {peer} is not installed: `onnxpress peers --install {peer}`.")
    return _python(home() / record["folder"])


def install(peer: str, show: Show | None = None) -> None:
    """Make the peer's environment, if it is not there already. An earlier one stays until the new one is complete.

    Raises:
        BenchError: there is no such peer, the folder cannot be written, or pip failed; the message has its reason.
    """
    from filelock import FileLock

    wanted, say = _known(peer), show or _silent
    try:
        home().mkdir(parents=True, exist_ok=True)
        with FileLock(home() / f".{peer}.lock"):
            if _record(wanted) is None:
                _install(wanted, say)
    except OSError as error:
        raise BenchError(f"{home()}: cannot install here ({error.strerror}). Set {HOME_VARIABLE}.") from None


def state() -> list[State]:
    """Every peer, by name."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    states = []
    for name in sorted(PEERS):
        peer, record = PEERS[name], _record(PEERS[name])
        if record is None:
            states.append(State(name, peer.about, peer.requirements, installed=False))
        else:
            folder, versions = home() / record["folder"], record["versions"]
            by_name = {canonicalize_name(package): version for package, version in versions.items()}
            version = by_name.get(canonicalize_name(Requirement(peer.requirements[0]).name))
            rest = (str(folder), _size_bytes(folder), version, versions)
            states.append(State(name, peer.about, peer.requirements, True, *rest))
    return states


@contextmanager
def packages_folder() -> Iterator[Path]:
    """A folder for the PYTHONPATH of a peer's process: onnxpress_bench and onnxpress, and nothing else of ours."""
    with TemporaryDirectory(prefix="onnxpress-bench-") as name:
        for package in _PACKAGES:
            spec = find_spec(package)
            if spec is None or spec.origin is None:
                raise BenchError(f"The package {package} is not installed as a folder, which peers need.")
            source, link = Path(spec.origin).parent, Path(name, package)
            try:
                link.symlink_to(source, target_is_directory=True)
            except (OSError, NotImplementedError):  # Windows, without the right to make links
                shutil.copytree(source, link, ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(name)


def _known(name: str) -> Peer:
    if name not in PEERS:
        raise BenchError(f"There is no peer {name!r}. Peers are: {', '.join(sorted(PEERS))}.")
    return PEERS[name]


def _recipe(peer: Peer) -> dict[str, Any]:
    """What makes an environment that of today's peer."""
    return {
        "requirements": list(peer.requirements),
        "pip_options": list(peer.pip_options),
        "build": dict(peer.build),
    }


def _record(peer: Peer) -> dict[str, Any] | None:
    """The record of a complete environment for today's requirements."""
    try:
        record: dict[str, Any] = json.loads((home() / f"{peer.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # exists() follows the link to the Python that the venv was made with, which may be gone by now.
    if record.get("recipe") != _recipe(peer) or not _python(home() / record["folder"]).exists():
        return None
    return record


def _install(peer: Peer, say: Show) -> None:
    """One writer at a time. Folders that no record names are what killed installations left."""
    place = home()
    for leftover in place.glob(f"{peer.name}@*"):
        if leftover.name != _named(peer):
            shutil.rmtree(leftover, ignore_errors=True)
    folder = place / f"{peer.name}@{secrets.token_hex(4)}"
    try:
        say("making an environment")
        # -I: neither the current folder nor PYTHONPATH may stand in for a library.
        _run([sys.executable, "-I", "-m", "venv", str(folder)], peer, _silent)
        python = str(_python(folder))
        pip = [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "install", *peer.pip_options, *peer.requirements], peer, say)
        listed = json.loads(_run([*pip, "list", "--format", "json"], peer, _silent)[-1])
        record = {
            "folder": folder.name,
            "recipe": _recipe(peer),
            "versions": {package["name"]: package["version"] for package in listed},
        }
        earlier = _named(peer)
        partial = folder / "record.json"
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.replace(place / f"{peer.name}.json")
    except BaseException:  # Ctrl-C too
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if earlier is not None:
        shutil.rmtree(place / earlier, ignore_errors=True)


def _named(peer: Peer) -> str | None:
    """The folder that the record names, whatever it was made for."""
    try:
        return str(json.loads((home() / f"{peer.name}.json").read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError):
        return None


def _run(command: list[str], peer: Peer, say: Show) -> list[str]:
    """The lines that it printed on standard output.

    Raises:
        BenchError: it failed; the message is its last line that says why.
    """
    pipe, environment = subprocess.PIPE, {**os.environ, **peer.build}
    lines = []
    with (
        TemporaryDirectory() as scratch,
        Path(scratch, "errors").open("w+b") as errors,
        subprocess.Popen(
            command, stdout=pipe, stderr=errors, env=environment, encoding="utf-8", errors="replace"
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in filter(None, map(str.strip, process.stdout)):
                lines.append(line)
                say(line)
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace").splitlines()
    if code != 0:
        raise BenchError(f"{peer.name} could not be installed: {_reason([*lines, *said], code)}")
    return lines


def _reason(lines: list[str], code: int) -> str:
    """pip ends with the error, or with hints after it; its errors are marked."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    return (errors or said or [f"exit code {code}"])[-1]


def _python(folder: Path) -> Path:
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def _size_bytes(folder: Path) -> int:
    """Bytes of the files of a folder; links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _silent(line: str) -> None:
    """Nothing shown."""
