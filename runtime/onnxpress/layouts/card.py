"""The card of another tool's folder, README.md: what its front matter says of the model."""

from __future__ import annotations

from onnxpress.format import front_matter
from onnxpress.format.front_matter import CARD, Card
from onnxpress.layouts.files import Files

#: The card's word for the task, and what the fact is called that holds it.
TAG, CARD_FACT = "pipeline_tag", "card"
#: Its word for the checkpoint that a model was made of.
BASE_MODEL = "base_model"

#: Of a card so much is looked at, in bytes.
_MAX_BYTES = 1 << 16


def read_card(files: Files) -> Card:
    """A folder's card, its beginning at least; one without fields where there is none."""
    if CARD not in files.names:
        return Card({}, "")
    with files.path(CARD).open("rb") as file:
        return front_matter.read_card(file.read(_MAX_BYTES).decode("utf-8", "replace"))
