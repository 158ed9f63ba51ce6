"""A loaded model -> its architecture, by the reader that its model_type names."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from importlib.metadata import version

import torch

from onnxpress_exporter.errors import NotBuildable, ReaderError
from onnxpress_exporter.graphs.build import readers
from onnxpress_exporter.graphs.build.architecture import Architecture
from onnxpress_exporter.graphs.build.attention import HEAD_SIZES
from onnxpress_exporter.graphs.build.source import Source

#: The readers there are: names of files, which are model_types with "_" for "-", as transformers names its own.
READERS = frozenset(module.name for module in pkgutil.iter_modules(readers.__path__))
#: What the names of classes end in whose models write.
_WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "MTModel")


def read(model: torch.nn.Module, *, looks: bool = False) -> Architecture:
    """The architecture of a transformers language model. Its weights are the model's, which has to stay as it is.

    Args:
        looks: whether it is the decoder of a larger model, and looks at what another part of it has read.

    Raises:
        NotBuildable: no reader knows the model_type, or the reader says what it does not know of the config or the
            weights; or it fails on a class that came with the checkpoint.
        ReaderError: it fails on a class of transformers.
    """
    kind, model_type = type(model), str(getattr(getattr(model, "config", None), "model_type", None))
    if (name := model_type.replace("-", "_")) not in READERS:
        raise NotBuildable(f"no reader knows the architecture {model_type!r}")
    if not kind.__name__.endswith(_WRITERS):
        raise NotBuildable(f"{kind.__name__} is not a language model")
    source = Source(model)
    try:
        architecture: Architecture = import_module(f"{readers.__name__}.{name}").read(source)
    except NotBuildable:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if not kind.__module__.startswith("transformers.models."):
            raise NotBuildable(f"{kind.__name__} came with the checkpoint, and its reader fails: {reason}") from error
        raise ReaderError(
            f"The reader of {model_type!r} fails on {kind.__name__}: {reason}. This is a fault of onnxpress (with "
            f"transformers {version('transformers')}), not of the checkpoint: please report it, with its config.json."
        ) from error
    source.check_all_read()
    if architecture.looks is not (looks or architecture.encoder is not None):
        raise NotBuildable(f"its layers look at {'nothing' if looks else 'what an encoder has read, which it lacks'}")
    for attention in architecture.decoder.attentions("causal"):
        if attention.size % HEAD_SIZES:
            raise NotBuildable(f"its heads are {attention.size} wide, not a multiple of {HEAD_SIZES}")
    return architecture
