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
import sysconfig
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from onnxpress.format.files import write_file
from onnxpress_bench.errors import BenchError, MissingPeer

HOME_VARIABLE = "ONNXPRESS_BENCH_HOME"

#: What the worker needs of ours; the peers' environments hold none of it.
_PACKAGES = ("onnxpress_bench", "onnxpress")

#: Receives what an installation does, line by line.
Show = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Peer:
    """`requirements`: as the installer takes them, with `pip_options`. `installer`: "pip", into a venv, or "npm".
    `for_pictures`: installed with them; an environment that lacks these serves all but pictures."""

    name: str
    about: str
    requirements: tuple[str, ...]
    pip_options: tuple[str, ...] = ()
    installer: Literal["pip", "npm"] = "pip"
    for_pictures: tuple[str, ...] = ()


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
            "llama-cpp-server",
            "llama.cpp's server, of its Python bindings",
            ("llama-cpp-python[server]>=0.3.36", "sentencepiece", "transformers>=5", _TORCH),
        ),
        Peer(
            "onnxruntime-genai",
            "onnxruntime-genai, with its model builder",
            ("onnxruntime-genai>=0.18", "onnx-ir", "transformers>=5", _TORCH),
        ),
        Peer(
            "openvino",
            "OpenVINO",
            ("openvino>=2026.4", "nncf>=3.3", "tokenizers", "transformers", _TORCH),
            for_pictures=("pillow",),
        ),
        Peer(
            "optimum-onnx",
            "optimum-onnx, with transformers 4",
            ("optimum-onnx[onnxruntime]==0.1.0", _TORCH),
            for_pictures=("pillow",),
        ),
        Peer("transformers.js", "transformers.js, in node", ("@huggingface/transformers@4.3.2",), installer="npm"),
        Peer("infinity", "infinity, a server of embeddings", ("infinity-emb[torch,server]>=0.0.77", _TORCH)),
        Peer(
            "fastapi",
            "sentence-transformers behind FastAPI, as its users write it",
            ("sentence-transformers>=5.7", "fastapi", "uvicorn[standard]", _TORCH),
        ),
        # Its ONNX backend is optimum-onnx, which wants transformers 4.
        Peer(
            "sentence-transformers",
            "sentence-transformers with its ONNX backend, with transformers 4",
            ("sentence-transformers>=5.7", "optimum-onnx[onnxruntime]==0.1.0", "sentencepiece", _TORCH),
        ),
    )
}


def home() -> Path:
    """Where environments are kept: $ONNXPRESS_BENCH_HOME, or the user's cache."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    caches = {
        "win32": os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local",
        "darwin": Path.home() / "Library" / "Caches",
    }
    cache = caches.get(sys.platform) or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "onnxpress", "bench")


def interpreter(peer: str) -> Path:
    """The Python of a peer's environment; of one of npm, node, to be run in the environment's folder.

    Raises:
        MissingPeer: it is not installed, or with other requirements than today's.
        BenchError: there is no such peer.
    """
    record = _record(_known(peer))
    if record is None:
        raise MissingPeer(f"The peer {peer} is not installed: `onnxpress peers --install {peer}`.")
    return _program(PEERS[peer], home() / record["folder"])


def install(peer: str, show: Show | None = None) -> None:
    """Make the peer's environment, if it is not there already. An earlier one stays until the new one is complete.

    Raises:
        BenchError: there is no such peer, the folder cannot be written, or the installer failed; the message says why.
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
    from packaging.utils import canonicalize_name

    states = []
    for name, peer in sorted(PEERS.items()):
        states.append(State(name, peer.about, peer.requirements, installed=False))
        if (record := _record(peer)) is not None:
            folder, by_name = home() / record["folder"], {canonicalize_name(key): key for key in record["versions"]}
            key = by_name.get(canonicalize_name(_name_of(peer)), "")
            known = {"version": record["versions"].get(key), "versions": record["versions"]}
            states[-1] = replace(
                states[-1], installed=True, folder=str(folder), size_bytes=_size_bytes(folder), **known
            )
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
    installer = {} if peer.installer == "pip" else {"installer": peer.installer}
    return {"requirements": list(peer.requirements), "pip_options": list(peer.pip_options), **installer}


def _written(peer: Peer) -> dict[str, Any]:
    """The record that the last complete installation wrote, whatever it was made for; empty where none did."""
    try:
        record: dict[str, Any] = json.loads((home() / f"{peer.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record


def _record(peer: Peer) -> dict[str, Any] | None:
    """The record of a complete environment for today's requirements."""
    record = _written(peer)
    # exists() follows the link to the Python that the venv was made with, which may be gone by now.
    if record.get("recipe") != _recipe(peer) or not _program(peer, home() / record["folder"]).exists():
        return None
    return record


def _install(peer: Peer, say: Show) -> None:
    """One writer at a time. Folders that no record names are what killed installations left."""
    place, earlier = home(), _written(peer).get("folder")
    for leftover in place.glob(f"{peer.name}@*"):
        if leftover.name != earlier:
            shutil.rmtree(leftover, ignore_errors=True)
    folder = place / f"{peer.name}@{secrets.token_hex(4)}"
    try:
        versions = (_into_venv if peer.installer == "pip" else _into_node_modules)(peer, folder, say)
        record = {"folder": folder.name, "recipe": _recipe(peer), "versions": versions}
        write_file(place / f"{peer.name}.json", json.dumps(record, indent=2).encode() + b"\n")
    except BaseException:  # Ctrl-C too
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if earlier is not None:
        shutil.rmtree(place / earlier, ignore_errors=True)


def _into_venv(peer: Peer, folder: Path, say: Show) -> dict[str, str]:
    """Make a venv and install into it; the versions of all distributions."""
    say("making an environment")
    venv.create(folder, symlinks=os.name != "nt", with_pip=True)
    # -I: neither the current folder nor PYTHONPATH may stand in for a library.
    pip = [str(_python(folder)), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    _run(peer, [*pip, *peer.pip_options, *peer.requirements, *peer.for_pictures], say)
    installed = distributions(path=[_path("purelib", folder)])
    return {distribution.metadata["Name"]: distribution.version for distribution in installed}


def _into_node_modules(peer: Peer, folder: Path, say: Show) -> dict[str, str]:
    """Install packages of npm in a folder, without the programs that they would start; their versions."""
    npm = shutil.which("npm")
    if npm is None:
        raise BenchError(f"{peer.name} could not be installed: it needs node and npm, which are not there.")
    folder.mkdir()
    quietly = ("--ignore-scripts", "--no-audit", "--no-fund")
    _run(peer, [npm, "install", "--prefix", str(folder), *quietly, *peer.requirements], say)
    packages = [folder / "node_modules" / _name_of(replace(peer, requirements=(name,))) for name in peer.requirements]
    contents = [json.loads((package / "package.json").read_text(encoding="utf-8")) for package in packages]
    return {str(content["name"]): str(content["version"]) for content in contents}


def _name_of(peer: Peer) -> str:
    """The package that a peer is: the first thing required."""
    from packaging.requirements import Requirement

    first = peer.requirements[0]
    return Requirement(first).name if peer.installer == "pip" else first.rpartition("@")[0]


def _program(peer: Peer, folder: Path) -> Path:
    """What runs a peer's scripts."""
    return _python(folder) if peer.installer == "pip" else Path(shutil.which("node") or folder / "node")


def _run(peer: Peer, command: Sequence[str], say: Show) -> None:
    """Raises BenchError if an installer failed; the message is its last line that says why."""
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
    lines = []
    with subprocess.Popen(command, **streams) as process:
        assert process.stdout is not None
        try:
            for line in filter(None, map(str.strip, process.stdout)):
                lines.append(line)
                say(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        # pip ends with the error, or with hints after it; its errors are marked.
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        reason = (errors or lines or [f"exit code {process.returncode}"])[-1]
        raise BenchError(f"{peer.name} could not be installed: {reason}")


def _path(name: str, folder: Path) -> str:
    """Where a venv has its "scripts", or its libraries, "purelib"."""
    return sysconfig.get_path(name, "venv", {"base": str(folder), "platbase": str(folder)})


def _python(folder: Path) -> Path:
    return Path(_path("scripts", folder), "python.exe" if os.name == "nt" else "python")


def _size_bytes(folder: Path) -> int:
    """Bytes of the files of a folder; links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _silent(line: str) -> None:
    """Nothing shown."""
