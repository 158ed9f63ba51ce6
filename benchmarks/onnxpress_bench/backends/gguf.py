"""A checkpoint as a GGUF file: llama.cpp's converter, which its Python bindings carry in their source; its quantizer.

Runs in the peer's environment, in a process that nobody measures.
"""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxpress_bench import environments
from onnxpress_bench.backends import BackendSpec, NotMeasured
from onnxpress_bench.process import run_python
from onnxpress_bench.texts import SENTENCES

_PACKAGE = "llama-cpp-python"
_CONVERTER = "convert_hf_to_gguf.py"

#: Of the package's source, what converting needs.
_PARTS = (_CONVERTER, "conversion", "gguf-py")

#: quantization -> llama.cpp's name for the file's type; "f32" is what the converter writes.
FILE_TYPES: Mapping[str, str] = {"q4_0": "LLAMA_FTYPE_MOSTLY_Q4_0", "q8_0": "LLAMA_FTYPE_MOSTLY_Q8_0"}

#: Runs the converter. It knows how published tokenizers split text by a hash of what they make of a sample, and refuses
#: all others; those are taken for Qwen2's here, and `check_tokenizer` compares.
_RUN = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
from conversion.base import TextModel
known = TextModel.get_vocab_base_pre
def splitting(model, tokenizer):
    try:
        return known(model, tokenizer)
    except NotImplementedError:
        return "qwen2"
TextModel.get_vocab_base_pre = splitting
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def write_gguf(spec: BackendSpec, file: Path, quantization: str) -> None:
    """Convert to float32, then quantize, as llama.cpp advises.

    Raises:
        RuntimeError: a tool failed; the message is what it said last.
    """
    tools = _tools(environments.home() / "sources")
    full = file.with_name("f32.gguf")
    script = str(tools / _CONVERTER)
    run_python("-c", _RUN, str(tools), script, spec.folder, "--outfile", str(full), "--outtype", "f32")
    if quantization == "f32":
        full.rename(file)
        return
    _quantize(full, file, FILE_TYPES[quantization], spec.threads)
    full.unlink()


def check_tokenizer(spec: BackendSpec, file: Path) -> None:
    """Raises NotMeasured where llama.cpp would split a text otherwise than the checkpoint's tokenizer."""
    from llama_cpp import Llama
    from tokenizers import Tokenizer

    theirs: Any = Llama(str(file), vocab_only=True, verbose=False)
    ours: Any = Tokenizer.from_file(str(Path(spec.folder, "tokenizer.json")))
    for text in SENTENCES:
        if theirs.tokenize(text.encode(), add_bos=False) != ours.encode(text, add_special_tokens=False).ids:
            raise NotMeasured(f"llama.cpp does not know this checkpoint's tokenizer: it reads {text!r} otherwise")


def _tools(store: Path) -> Path:
    """The converter of the installed version, from the source that PyPI has of it."""
    from onnxpress.format.files import staged_folder

    name, wanted = f"{_PACKAGE}-{version(_PACKAGE)}", f"{_PACKAGE}=={version(_PACKAGE)}"
    if not (store / name).is_dir():
        with TemporaryDirectory() as scratch, staged_folder(store / name) as staging:
            source = ("--no-deps", "--no-binary", _PACKAGE, "--dest", scratch, wanted)
            run_python("-I", "-m", "pip", "download", "-q", *source)
            shutil.unpack_archive(next(Path(scratch).glob("*.tar.gz")), scratch, filter="data")
            (folder,) = Path(scratch).glob("*/vendor/llama.cpp")
            for part in _PARTS:
                shutil.move(folder / part, staging / part)
    return store / name


def _quantize(source: Path, target: Path, file_type: str, threads: int) -> None:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = getattr(llama_cpp, file_type), threads
    failed = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
    if failed:
        raise RuntimeError(f"llama.cpp could not quantize {source.name} to {file_type} (code {failed})")
