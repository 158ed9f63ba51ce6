"""What optimum exports, in an environment of its own, answers here as the checkpoint does in transformers.

`onnxpress peers --install optimum-onnx` makes the environment; without it these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

import onnxpress
from onnxpress_bench.environments import interpreter, state
from tests.fixtures.interop import Seen, record

pytestmark = pytest.mark.nightly

PEER = "optimum-onnx"
TEXTS = ["Ada lives in Rome.", "a", "It was a great film, and Mr Smith of Acme in Oslo liked it very much indeed."]
READERS = {
    "tiny-sentiment": "text-classification",
    "tiny-ner": "token-classification",
    "tiny-nli": "text-classification",
    "tiny-mlm": "fill-mask",
    "tiny-lm": "text-generation-with-past",
}
_EXPORT = (
    "import sys, warnings, logging; warnings.simplefilter('ignore'); logging.disable(logging.WARNING)\n"
    "from optimum.exporters.onnx import main_export\n"
    "main_export(sys.argv[1], output=sys.argv[2], task=sys.argv[3], do_validation=False)\n"
)


@pytest.fixture(scope="module")
def optimum(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], Path]:
    """`optimum(checkpoint, task)` -> the folder that the tool writes."""
    if not any(peer.name == PEER and peer.installed for peer in state()):
        pytest.skip(f"The peer {PEER} is not installed: `onnxpress peers --install {PEER}`.")

    def export(checkpoint: Path, task: str) -> Path:
        folder = tmp_path_factory.mktemp("optimum") / checkpoint.name
        command = [interpreter(PEER), "-c", _EXPORT, checkpoint, folder, task]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        for name in ("tokenizer.json", "tokenizer_config.json"):  # an older transformers may not read ours
            shutil.copy(checkpoint / name, folder / name)
        return folder

    return export


@pytest.mark.parametrize("name", READERS)
def test_optimum_s_folders(name: str, optimum: Callable[[Path, str], Path], trained: Callable[[str], Path]) -> None:
    checkpoint = trained(name)
    pipe = onnxpress.pipeline(model=optimum(checkpoint, READERS[name]))
    theirs = pipeline(pipe.task, str(checkpoint))
    mask = pipe.tokenizer.mask_token
    texts = [f"Ada lives in {mask}.", f"The {mask} was good."] if pipe.task == "fill-mask" else TEXTS
    options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False} if READERS[name].endswith("past") else {}
    largest = 0.0
    for asked in (texts, *texts):
        ours, expected = _plain(pipe(asked, **options)), _plain(theirs(asked, **options))
        assert ours == pytest.approx(expected, abs=1e-5)
        largest = max([largest, *(abs(number - expected[key]) for key, number in ours.items())])
    _record(pipe.task, None if options else largest)


@pytest.mark.parametrize("merged", [True, False], ids=["merged", "two decoders"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_optimum_s_encoder_decoders(
    family: str,
    merged: bool,
    optimum: Callable[[Path, str], Path],
    trained: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    checkpoint = _writer(family, trained("tiny-lm"), tmp_path / family)
    folder = optimum(checkpoint, "text2text-generation-with-past")
    if not merged:
        (folder / "decoder_model_merged.onnx").unlink()
    pipe = onnxpress.pipeline("text2text-generation", folder)
    model, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained(checkpoint).eval(),
        AutoTokenizer.from_pretrained(checkpoint),
    )
    for options in ({"num_beams": 1, "max_new_tokens": 10}, {"num_beams": 3, "max_new_tokens": 8}):
        expected = []
        for text in TEXTS:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, **options)
            expected.append(tokenizer.decode(written[0], skip_special_tokens=True))
        assert [result["generated_text"] for result in pipe(TEXTS, do_sample=False, **options)] == expected
    _record("text2text-generation", None)


def _record(task: str, difference: float | None, note: str = "") -> None:
    version = next(str(peer.version) for peer in state() if peer.name == PEER)
    record(Seen(False, PEER, version, "optimum", task, "fp32", difference, note))


def _writer(family: str, tokenizer: Path, folder: Path) -> Path:
    """A checkpoint of random weights with the tokenizer of another."""
    from transformers import BartConfig, BartForConditionalGeneration, T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    vocabulary = len(json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"]) + 50
    if family == "t5":
        small = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "initializer_factor": 3.0}
        ids = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
        T5ForConditionalGeneration(T5Config(vocab_size=vocabulary, **small, **ids)).save_pretrained(folder)
    else:
        small = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
        more = {"decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "init_std": 0.5}
        config = BartConfig(
            vocab_size=vocabulary, max_position_embeddings=64, forced_eos_token_id=None, **small, **more
        )
        BartForConditionalGeneration(config).save_pretrained(folder)
    shutil.copy(tokenizer / "tokenizer.json", folder)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def _plain(value: Any) -> Any:
    """Numbers and texts of an answer, in order, in one flat dictionary for comparison."""
    flat: dict[str, Any] = {}

    def walk(at: str, item: Any) -> None:
        if isinstance(item, dict):
            for key, inner in item.items():
                walk(f"{at}.{key}", inner)
        elif isinstance(item, (list, tuple)):
            for number, inner in enumerate(item):
                walk(f"{at}[{number}]", inner)
        elif not isinstance(item, str) and item is not None:
            flat[at] = float(item)
        else:
            flat[f"{at}={item}"] = 0.0

    walk("", value)
    return flat
