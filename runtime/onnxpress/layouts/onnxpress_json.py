"""The layout that the exporter writes: `onnxpress.json` names every file and its hash."""

from __future__ import annotations

from onnxpress.errors import ArtifactError, InvalidManifest
from onnxpress.format.manifest import FILE_NAME, MAX_MANIFEST_BYTES, parse
from onnxpress.format.model import Model, trust_of
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked, Layout


def read(files: Files, asked: Asked) -> Model | None:
    """What `onnxpress.json` says; None: there is no such file.

    Raises:
        InvalidManifest: it is not a manifest.
        UnsupportedFormat: it is of a newer version.
    """
    path = files.folder / FILE_NAME
    if not path.is_file():
        if path.exists():
            raise InvalidManifest(f"{path}: not a file. Download or export the artifact again.")
        return None
    size = path.stat().st_size
    if size > MAX_MANIFEST_BYTES:
        raise InvalidManifest(f"{path}: {size} bytes are more than a manifest can have ({MAX_MANIFEST_BYTES}).")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidManifest(f"{path}: not UTF-8 ({error.reason} at byte {error.start}). Export again.") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}).") from None
    manifest = parse(text, where=str(path))
    return Model(manifest, trust_of(manifest))


LAYOUT = Layout("onnxpress", (FILE_NAME,), read)
