"""The layout of transformers.exporters: export.json lists graphs; of a model that writes, one reads the prompt and
another goes on a token at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxpress.errors import CorruptFile, UnsupportedFormat
from onnxpress.format.model import Fact, Model
from onnxpress.layouts.files import Files
from onnxpress.layouts.foreign import CONFIG, describe
from onnxpress.layouts.graph_names import MODEL, PROMPT
from onnxpress.layouts.layout import Asked, Layout
from onnxpress.layouts.weights import precision_of

FILE = "export.json"
#: Component -> the graph it is. A decoder alone may read prompts, too.
_KINDS: tuple[Mapping[str, str], ...] = (
    {"model": MODEL},
    {"decode": MODEL, "prefill": PROMPT},
    {"decode": MODEL},
)


def read(files: Files, asked: Asked) -> Model | None:
    """What the files hold; None: there is no export.json, or the caller names graph files.

    Raises:
        CorruptFile: export.json does not say which graphs there are.
        UnsupportedFormat: they are of another format, or of a kind that is not run.
    """
    if FILE not in files.names or asked.files or asked.folder:
        return None
    settings = files.settings(FILE)
    components = settings.get("components")
    if "schema_version" not in settings and not isinstance(components, Mapping):
        return None  # another program's file of this name
    if not isinstance(components, Mapping) or not components:
        raise CorruptFile(f"{files.folder / FILE}: it lists no components. Export the model again.")
    if (kind := settings.get("export_format", "onnx")) != "onnx":
        raise UnsupportedFormat(f"{files.folder / FILE}: exported as {kind!r:.40}. Export it with OnnxExporter.")
    graphs = _graphs(files, components)
    if files.settings(CONFIG).get("is_encoder_decoder") is True and PROMPT in graphs:
        raise UnsupportedFormat(
            f"{files.folder / FILE}: it holds the decoder of an encoder-decoder, and no encoder: this tool does not "
            "export one. Export the checkpoint with `onnxpress export`, or with optimum."
        )
    scanned = files.graph(graphs[MODEL])
    architecture = _metadata(components, "decode" if PROMPT in graphs else "").get("architecture")
    facts = [Fact("model", str(architecture), FILE)] if architecture else []
    return describe(files, LAYOUT.name, {precision_of(scanned): graphs}, asked, facts=facts)


def _graphs(files: Files, components: Mapping[str, Any]) -> dict[str, str]:
    kind = next((kind for kind in _KINDS if set(kind) == set(components)), None)
    if kind is None:
        raise UnsupportedFormat(
            f"{files.folder / FILE}: its components are {', '.join(map(str, components))}, and this version of "
            "onnxpress runs models of one component, or of prefill and decode."
        )
    graphs = {}
    for component, graph in kind.items():
        part = components[component]
        name = part.get("file") if isinstance(part, Mapping) else None
        if not isinstance(name, str) or not name:
            raise CorruptFile(f"{files.folder / FILE}: the component {component!r} names no file.")
        graphs[graph] = files.named(name, FILE)
    return graphs


def _metadata(components: Mapping[str, Any], component: str) -> Mapping[str, Any]:
    part = components.get(component) or next(iter(components.values()))
    metadata = part.get("metadata") if isinstance(part, Mapping) else None
    return metadata if isinstance(metadata, Mapping) else {}


LAYOUT = Layout("transformers.exporters", (FILE, CONFIG), read)
