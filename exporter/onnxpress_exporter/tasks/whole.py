"""Compares an artifact's answers with those of the whole model, as the library that saved it runs it.

The graphs are compared with the modules that they were traced from; what stands around them (which modules there are,
limits, prompts, activations) is read by us, and only the library itself says whether it was read right.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.pipelines import build_pipeline
from onnxpress_exporter.errors import UnsupportedCheckpoint, VerificationFailed
from onnxpress_exporter.judging.samples import PAIRS, SINGLES
from onnxpress_exporter.source.checkpoint import Checkpoint, first_line

_LIBRARY = "sentence-transformers"
_PACKAGE = "sentence_transformers"

#: Largest difference, as a fraction of the range of the library's answers. What is read wrong differs by far more.
_ERROR = 1e-3

#: The library's model, and the pipeline -> the model's answers.
AskTheirs = Callable[[Any, Any], NDArray[Any]]
#: The pipeline -> its answers to the same inputs.
AskOurs = Callable[[Any], NDArray[Any]]


def their_vectors(theirs: Any, pipe: Any) -> NDArray[Any]:
    """Vectors of single texts: without being asked for a prompt, and with each of the first prompts; where queries are
    read apart, as queries, too."""
    return _all_vectors(pipe, theirs, lambda encode, text, option: encode([text], show_progress_bar=False, **option)[0])


def our_vectors(pipe: Any) -> NDArray[Any]:
    """The same of a pipeline."""
    return _all_vectors(pipe, pipe, lambda encode, text, option: encode(text, **option))


def their_sparse_vectors(theirs: Any, pipe: Any) -> NDArray[Any]:
    """As `their_vectors`, of sparse ones, with all their numbers."""
    dense = {"show_progress_bar": False, "convert_to_sparse_tensor": False}
    return _all_vectors(pipe, theirs, lambda encode, text, option: encode([text], **dense, **option)[0].numpy())


def our_sparse_vectors(pipe: Any) -> NDArray[Any]:
    """The same of a pipeline."""
    return _all_vectors(pipe, pipe, lambda encode, text, option: encode(text, sparse=False, **option))


def _all_vectors(pipe: Any, asked: Any, ask: Callable[[Any, str, Mapping[str, str]], Any]) -> NDArray[Any]:
    """What is compared of `asked`, the library's model or the pipeline, that has the same methods."""
    options = [{}, *({"prompt_name": name} for name in list(pipe.embedding.prompts)[:2])]
    calls = [(asked.encode, option) for option in options]
    if pipe.embedding.query is not None:
        calls += [(asked.encode_query, {}), (asked.encode_document, {})]
    return np.stack([ask(encode, sample.text, option) for encode, option in calls for sample in SINGLES])


def their_token_vectors(theirs: Any, pipe: Any) -> NDArray[Any]:
    """The vectors of all tokens of single texts, as queries and as documents, one after the other."""
    asked = (theirs.encode_query, theirs.encode_document)
    return np.concatenate(
        [encode([sample.text], show_progress_bar=False)[0].numpy() for encode in asked for sample in SINGLES]
    )


def our_token_vectors(pipe: Any) -> NDArray[Any]:
    """The same of a pipeline."""
    return np.concatenate([encode(sample.text) for encode in (pipe.encode_query, pipe.encode_document)
                           for sample in SINGLES])  # fmt: skip


def their_scores(theirs: Any, pipe: Any) -> NDArray[Any]:
    """Scores of pairs."""
    pairs = [(sample.text, sample.pair or "") for sample in PAIRS]
    return np.array([float(theirs.predict([pair], show_progress_bar=False)[0]) for pair in pairs])


def our_scores(pipe: Any) -> NDArray[Any]:
    """The same of a pipeline."""
    return np.array([pipe(sample.text, [sample.pair or ""])[0]["score"] for sample in PAIRS])


def compare_with_library(class_name: str, ask_theirs: AskTheirs, ask_ours: AskOurs) -> Callable[..., str]:
    """A comparison with a class of sentence-transformers."""

    def compare(checkpoint: Checkpoint, artifact: Any, session: Any, tokenizer: Any) -> str:
        """Compare; returns what was compared, to be told with the artifact's quality.

        Raises:
            VerificationFailed: the answers differ.
            UnsupportedCheckpoint: the library cannot open the checkpoint.
        """
        if checkpoint.adapter is not None:
            return "; the transformer alone, with its adapter"
        if find_spec(_PACKAGE) is None:
            return f"; the transformer alone, as {_LIBRARY} is not installed"
        pipe = build_pipeline(artifact.manifest.task, artifact, session, tokenizer, "verified", {})
        expected = _answers(_opened(class_name, checkpoint), ask_theirs, pipe)
        # The library's copy of the weights goes before the graphs, which open at the first answer, have one.
        gc.collect()
        ours = ask_ours(pipe)
        spread = max(float(expected.max() - expected.min()), 1e-6)
        error = float(np.abs(ours - expected).max()) / spread if ours.shape == expected.shape else float("inf")
        if not error <= _ERROR:
            raise VerificationFailed(
                f"The answers are not those of {class_name} ({_LIBRARY} {version(_LIBRARY)}): they differ by "
                f"{error:.2g} of their range, or in shape ({ours.shape}, not {expected.shape}). No artifact was "
                "written. Please report this checkpoint."
            )
        return f"; {class_name} of {_LIBRARY} {version(_LIBRARY)}"

    return compare


def _answers(theirs: Any, ask: AskTheirs, pipe: Any) -> NDArray[Any]:
    """The library's answers. It fails at long texts where its limit is beyond the model's table of positions, as it is
    where no file names one; our limit is then its own, so that the other answers are compared all the same.

    Raises:
        UnsupportedCheckpoint: it fails with that limit, too.
    """
    try:
        return ask(theirs, pipe)
    except (IndexError, RuntimeError) as error:
        limit = pipe.processor.limit()
        try:
            if limit is None:
                raise
            theirs.max_seq_length = limit
            return ask(theirs, pipe)
        except (IndexError, RuntimeError):
            raise UnsupportedCheckpoint(
                f"{_LIBRARY} {version(_LIBRARY)} cannot answer with this checkpoint: {first_line(error)}"
            ) from error


def _opened(class_name: str, checkpoint: Checkpoint) -> Any:
    import sentence_transformers
    import torch

    try:
        return getattr(sentence_transformers, class_name)(
            str(checkpoint.folder),
            device="cpu",
            trust_remote_code=checkpoint.trust_remote_code,
            local_files_only=True,
            model_kwargs={"dtype": torch.float32},
        )
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"{_LIBRARY} {version(_LIBRARY)} cannot open {checkpoint.source} as a {class_name}: {first_line(error)}"
        ) from error
