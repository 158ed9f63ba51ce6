"""onnxpress for text-generation and translation: the checkpoint exported once, and a variant run through its pipeline.

As with peers, the conversion is made by `prepare`, kept, and made anew when the exporter's sources change.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress_bench import environments
from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.generation import Generation
from onnxpress_bench.backends.translation import Translation

#: What is measured here says itself how far its answers are from PyTorch's; random weights would never pass.
_NO_LIMITS = {
    **dict.fromkeys(("next-token agreement", "among the reference's first 5", "token agreement"), 0.0),
    **dict.fromkeys(("scores' correlation", "scores' correlation, untrained"), -1.0),
    **dict.fromkeys(("perplexity ratio", "divergence"), 1e30),
}


class _Pipeline:
    """`settings`: precision, and converted, the artifact's folder, which `prepare` sets."""

    distributions: Sequence[str] = ("onnxpress[cpu]",)
    spec: BackendSpec
    _pipe: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        return replace(spec, settings={**spec.settings, "converted": str(_artifact(spec))})

    def load_libraries(self) -> None:
        import onnxruntime  # noqa: F401 - the session imports it lazily; here it belongs to the import

        import onnxpress  # noqa: F401

    def load(self) -> None:
        from onnxpress import pipeline

        spec, own = self.spec, self.spec.settings
        self._pipe = pipeline(
            spec.task, own["converted"], precision=own["precision"], device=spec.device, threads=spec.threads
        )

    def model_files(self) -> Sequence[Path]:
        own = self.spec.settings
        from onnxpress import Artifact

        artifact = Artifact.open(own["converted"])
        graphs = artifact.manifest.variants[own["precision"]].graphs.values()
        return [artifact.folder / name for files in graphs for name in (files.file, *files.external)]


class OnnxpressGeneration(_Pipeline, Generation):
    """Token by token, as `stream` gets them."""

    _model: Any = None

    def load(self) -> None:
        from onnxpress.generation.decoders.models import decoder_model

        super().load()
        # What earlier calls have read would spare it the prompt: nothing is kept.
        self._model = decoder_model(self._pipe.manifest, self._pipe.session, prefix_bytes=0)

    def encode(self, text: str) -> list[int]:
        return list(self._pipe.processor.tokenizer.encode(text, special_tokens=False).ids)

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        from onnxpress.generation.generate import generate
        from onnxpress.generation.settings import GenerationConfig

        config = GenerationConfig(max_new_tokens=new_tokens)  # no token ends it
        decoder = self._model.start(1, len(prompt) + new_tokens)
        try:
            for event in generate(decoder, [list(prompt)], config):
                yield int(event.token or 0)
        finally:
            decoder.close()


class OnnxpressTranslation(_Pipeline, Translation):
    """The pipeline as users call it, asked for ids."""

    def translate(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        found = self._pipe(
            list(texts),
            num_beams=beams,
            do_sample=False,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            forced_eos_token_id=None,
            batch_size=len(texts),
            return_tensors=True,
        )
        return [list(one["translation_token_ids"])[-new_tokens:] for one in found]


def _artifact(spec: BackendSpec) -> Path:
    """The checkpoint's artifact with the variant that is measured, made if there is none by this exporter."""
    import onnxpress_exporter
    from onnxpress import Artifact
    from onnxpress_exporter.flow import quantize
    from onnxpress_exporter.quantize.settings import Settings

    sources = Path(onnxpress_exporter.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(sources.rglob("*.py")):
        digest.update(file.read_bytes())
    source, precision = Path(spec.folder), spec.settings["precision"]
    for file in sorted(source.glob("*.safetensors")):
        digest.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    store = environments.home() / "models" / "artifacts"
    folder = store / f"{source.name}-{digest.hexdigest()[:12]}"
    if not (folder / "onnxpress.json").is_file():
        for old in store.glob(f"{source.name}-*"):
            shutil.rmtree(old)
        store.mkdir(parents=True, exist_ok=True)
        onnxpress_exporter.export(source, folder, spec.task, ("fp32",), force=True)
    if precision not in Artifact.open(folder).manifest.variants:
        quantize(folder, [precision], settings=Settings(thresholds=_NO_LIMITS, keep_slow=True))
    return folder
