"""The references: PyTorch when a checkpoint is exported, the fp32 variant when an artifact is quantized.

The only module beside those that read a checkpoint that runs torch, which it imports when it is asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.session import Session
from onnxpress.engine.threads import default_threads
from onnxpress.format.model import Trust
from onnxpress_exporter.gate.base import fp32_in_words
from onnxpress_exporter.gate.cases import Case, Media, encoded
from onnxpress_exporter.gate.timing import PYTORCH

if TYPE_CHECKING:
    import torch

Arrays = Mapping[str, NDArray[Any]]
Logits = NDArray[np.float32]

_NAME = "PyTorch fp32, eager"
#: Token ids that `generate` needs, whatever else a checkpoint's defaults are.
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


def other_kernels() -> AbstractContextManager[None]:
    """PyTorch without oneDNN's kernels, as long as the context lasts: the same sums in another order."""
    import torch

    context: AbstractContextManager[None] = torch.backends.mkldnn.flags(enabled=False)
    return context


class GraphReference:
    """The fp32 variant in the place of PyTorch. `trust`: the artifact's; an adopted one was perhaps never verified."""

    timed: str | None = None
    device = "cpu"

    def __init__(self, session: Session, trust: Trust = "verified") -> None:
        self._session = session
        self.name = fp32_in_words(trust)

    def run(self, inputs: Arrays, graph: str = "model") -> dict[str, NDArray[Any]]:
        """Named outputs of a graph."""
        return self._session.run(inputs, graph)

    def run_otherwise(self, inputs: Arrays, graph: str = "model") -> dict[str, NDArray[Any]]:
        """It has one way to compute a graph."""
        return self.run(inputs, graph)

    def close(self) -> None:
        """The session belongs to who opened it."""


class TorchReference:
    """Modules run eagerly, as a session runs graphs.

    Args:
        modules: graph -> the module it was traced from, and the names of its outputs.
        compared: what else the answers were compared with, to be told with the reference's name.
    """

    timed: str | None = PYTORCH
    device = "cpu"

    def __init__(self, modules: Mapping[str, tuple[torch.nn.Module, Sequence[str]]], compared: str = "") -> None:
        self._modules = modules
        self.name = f"{_NAME}{compared}"

    def run(self, inputs: Arrays, graph: str = "model") -> dict[str, NDArray[Any]]:
        """Named outputs of a module."""
        import torch

        module, names = self._modules[graph]
        with torch.inference_mode():
            outputs: Mapping[str, Any] = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: outputs[name].float().numpy() for name in names}

    def run_otherwise(self, inputs: Arrays, graph: str = "model") -> dict[str, NDArray[Any]]:
        """As `run`, in PyTorch's other way."""
        with other_kernels():
            return self.run(inputs, graph)

    def close(self) -> None:
        """Nothing is open."""


class TorchWriter:
    """A checkpoint's model that writes text: scores of every token, and how transformers' `generate` goes on."""

    name = _NAME

    def __init__(self, model: Any) -> None:
        self._model = model
        self._parts: Any = None

    def logits(self, case: Case, last: int | None = None) -> Logits:
        """float32 (tokens, vocabulary): what may follow each of the case's tokens, or of the `last` ones."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([case.ids])
            logits: Logits
            if case.source is None:
                # Scores of every token of a long text are as large as a model.
                keeps = last is not None and "logits_to_keep" in inspect.signature(self._model.forward).parameters
                options = {"logits_to_keep": last} if keeps else {}
                outputs = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **options)
            elif isinstance(case.source, Media):
                logits = self._describer().logits(_tensors(case), ids)[0].float().numpy()
                return logits if last is None else logits[-last:].copy()
            else:
                source = torch.tensor([case.source])
                outputs = self._model(
                    input_ids=source, attention_mask=torch.ones_like(source), decoder_input_ids=ids, use_cache=False
                )
            logits = outputs.logits[0].float().numpy()
        return logits if last is None else logits[-last:].copy()

    def step_logits(self, case: Case) -> Logits | None:
        """As `logits`, but read token by token; None: it keeps nothing of what it has read, or reads a second text."""
        import torch

        from onnxpress_exporter.graphs.traced_cache.forms import cache_argument

        name = cache_argument(self._model)
        if case.source is not None or name is None:
            return None
        memory: dict[str, Any] = {}
        scores = []
        with torch.inference_mode():
            for token in case.ids:
                outputs = self._model(input_ids=torch.tensor([[token]]), use_cache=True, **memory)
                memory = {name: getattr(outputs, name, None)}
                if memory[name] is None:
                    return None
                scores.append(outputs.logits[0].float().numpy())
        logits: Logits = np.concatenate(scores)
        return logits

    def write(self, case: Case, count: int, beams: int = 1) -> list[int]:
        """At most `count` tokens that `generate` lets follow, without sampling and the checkpoint's own rules."""
        import torch
        from transformers import GenerationConfig

        with torch.inference_mode(), self._plainly() as tokens:
            settings = GenerationConfig(max_new_tokens=count, num_beams=beams, do_sample=False, **tokens)  # type: ignore[no-untyped-call]
            if isinstance(case.source, Media):
                begun = torch.tensor([case.ids])
                rest: list[int] = self._describer().generate(_tensors(case), begun, settings)[0].tolist()
                return rest[len(case.ids) :]
            ids = torch.tensor([case.ids if case.source is None else case.source])
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if case.source is not None:
                inputs["decoder_input_ids"] = torch.tensor([case.ids])
            written: list[int] = self._model.generate(**inputs, generation_config=settings)[0].tolist()
        return written[len(case.ids) :]

    def _describer(self) -> Any:
        from onnxpress_exporter.graphs.describing import writer_of

        if self._parts is None:
            self._parts = writer_of(self._model)
        return self._parts

    @contextmanager
    def _plainly(self) -> Iterator[dict[str, Any]]:
        """Remove the checkpoint's defaults, which `generate` reads even where others are passed; yields its tokens."""
        from transformers import GenerationConfig

        writer = self._describer().writer if _perceives(self._model) else self._model
        defaults = writer.generation_config
        tokens = {name: getattr(defaults, name) for name in _TOKENS if getattr(defaults, name, None) is not None}
        if "pad_token_id" not in tokens:
            ends = tokens.get("eos_token_id", 0)
            tokens["pad_token_id"] = next(iter(ends), 0) if isinstance(ends, list) else ends
        writer.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        try:
            yield tokens
        finally:
            writer.generation_config = defaults


def _tensors(case: Case) -> dict[str, torch.Tensor]:
    """What an encoder reads, (1, ...)."""
    import torch

    return {name: torch.from_numpy(array) for name, array in encoded([case])[0].items()}


def _perceives(model: Any) -> bool:
    """Whether the model reads pictures or sounds, perhaps with a question."""
    main = getattr(model, "main_input_name", None)
    return hasattr(model, "vision_model") or main in ("pixel_values", "input_features", "input_values")


@contextmanager
def torch_threads() -> Iterator[None]:
    """PyTorch computes with the cores that this process may use, and afterwards with as many threads as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(default_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)
