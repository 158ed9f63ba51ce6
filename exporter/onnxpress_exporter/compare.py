"""Ties verification to torch and to the runtime: tokenizes the samples, runs the model, runs the session.

The samples go through the runtime's own tokenizer and padding, and PyTorch gets what transformers' tokenizer makes
of the same text, so that a difference anywhere on the way is caught.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from onnxpress.engine.machine import usable_cores
from onnxpress.engine.session import Session
from onnxpress.format.manifest import Quality, Speed
from onnxpress.text.tokenizer import Encoding, Tokenizer
from onnxpress_exporter import timing
from onnxpress_exporter.errors import VerificationFailed
from onnxpress_exporter.graphs.spec import GraphSpec
from onnxpress_exporter.judging.samples import Sample
from onnxpress_exporter.probe import Probe
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.verify import Arrays, Runner, reference_answers, verify


class Comparison:
    """PyTorch's answers to the samples, to hold every variant against.

    `parts` are the graphs' specs with the modules they were traced from, the encoder first.
    """

    def __init__(
        self,
        task: str,
        parts: Sequence[tuple[GraphSpec, torch.nn.Module]],
        tokenizer: PreTrainedTokenizerBase,
        runtime_tokenizer: Tokenizer,
    ) -> None:
        self._parts = parts
        self._limit = runtime_tokenizer.settings.max_length
        spec, module = parts[0]
        self._outputs = spec.outputs
        self._module = module
        self._probe = Probe(TASKS[task].probes, spec.info, runtime_tokenizer, partial(check_tokens, tokenizer))
        self._reference = reference_answers(self._pytorch, self._probe.collate, self._probe.samples, self._outputs)

    @property
    def padding(self) -> bool:
        """Whether rows of different lengths may share a batch."""
        return self._reference.padding

    def verify(self, precision: str, session: Session) -> Quality:
        """Compare a variant with PyTorch.

        Raises:
            VerificationFailed: an error is above its limit; names the input, expected and obtained.
        """
        for spec, module in self._parts[1:]:
            _verify_head(precision, spec, module, session)
        return verify(precision, self._reference, session.run, self._probe.collate, self._probe.samples, self._outputs)

    def speed(self, session: Session, fp32: Session | None = None) -> Speed | None:
        """Time a variant beside PyTorch, and the fp32 variant, on the ids of a real text; None on a busy machine."""
        runners: dict[str, Runner] = {"pytorch": self._pytorch, "variant": session.run}
        if fp32 is not None:
            runners[timing.PLAIN] = fp32.run
        return timing.measure(runners, self._probe.collate, self._probe.longest, self._limit)

    def session(self) -> ModuleSession:
        """PyTorch in the place of a session, for pipelines."""
        return ModuleSession(self._parts)

    def _pytorch(self, arrays: Arrays) -> Arrays:
        return run_module(self._module, arrays, [tensor.name for tensor in self._outputs])


class ModuleSession:
    """Modules run eagerly, as `Session` runs graphs."""

    device = "cpu"

    def __init__(self, parts: Sequence[tuple[GraphSpec, torch.nn.Module]]) -> None:
        self._parts = {spec.name: (module, [tensor.name for tensor in spec.outputs]) for spec, module in parts}

    def run(self, inputs: Arrays, graph: str = "model") -> dict[str, Any]:
        """Named outputs of a module."""
        module, names = self._parts[graph]
        return dict(run_module(module, inputs, names))

    def close(self) -> None:
        """Nothing is open."""


def check_tokens(tokenizer: PreTrainedTokenizerBase, sample: Sample, encoding: Encoding, limit: int) -> None:
    """Raise VerificationFailed unless the runtime's tokens of a sample are transformers'."""
    expected = tokenizer(sample.text, sample.pair, truncation=True, max_length=limit)["input_ids"]
    if encoding.ids != list(expected):
        raise VerificationFailed(
            f"The runtime's tokenizer differs from transformers' on the input {sample.name!r}: expected "
            f"{_head(expected)}, obtained {_head(encoding.ids)}. No artifact was written. Please report this "
            "checkpoint."
        )


def run_module(module: torch.nn.Module, arrays: Arrays, names: Sequence[str]) -> Arrays:
    """A module's named outputs as numpy arrays, computed eagerly with the cores that this process may use."""
    threads = usable_cores()
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    with torch.inference_mode():
        outputs: Mapping[str, Any] = module(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    return {name: outputs[name].float().numpy() for name in names}


def _verify_head(precision: str, spec: GraphSpec, module: torch.nn.Module, session: Session) -> None:
    """A head takes vectors, not tokens: compare it on fixed pseudo-random ones, batch 1 and 5."""
    name, width = spec.inputs[0].name, spec.inputs[0].axes[-1]
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 5):
        vectors = torch.randn((batch, int(width)), generator=generator).numpy()
        expected = run_module(module, {name: vectors}, [spec.outputs[0].name])[spec.outputs[0].name]
        obtained = session.run({name: vectors}, graph=spec.name)[spec.outputs[0].name]
        error = float(abs(obtained - expected).max() / max(float(expected.max() - expected.min()), 1e-6))
        if not error <= 1e-4:
            raise VerificationFailed(
                f"The {precision} graph {spec.name!r} differs from PyTorch on random vectors (error {error:.2g} of the "
                "output's range). No artifact was written. Please report this checkpoint."
            )


def _head(ids: Sequence[int]) -> str:
    return f"{list(ids)[:12]}{'...' if len(ids) > 12 else ''} ({len(ids)} tokens)"
