"""What the front matter of a model's card says, the lines of README.md between two `---`. Reads no other YAML."""

from __future__ import annotations

from onnxpress.layouts.files import Files

CARD = "README.md"
#: The card's word for the task, and what the fact is called that holds it.
TAG, CARD_FACT = "pipeline_tag", "card"
#: Its word for the checkpoint that a model was made of.
BASE_MODEL = "base_model"

#: Of a card so much is looked at, in bytes.
_MAX_BYTES = 1 << 16


def read_card(files: Files) -> dict[str, tuple[str, ...]]:
    """The entries of a folder's card; none where there is no card, or none with front matter."""
    if CARD not in files.names:
        return {}
    with files.path(CARD).open("rb") as file:
        return front_matter(file.read(_MAX_BYTES).decode("utf-8", "replace"))


def front_matter(text: str) -> dict[str, tuple[str, ...]]:
    """The entries that are a word or a list of words, by name: `name: word`, `name: [word, word]`, or `- word` below a
    name. What else YAML can say is left out, and so is everything where the second `---` is missing."""
    lines = text.removeprefix("\ufeff").splitlines()
    entries: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in lines[1:] if lines and lines[0].strip() == "---" else ():
        if line.strip() == "---":
            return {name: words for name, words in entries.items() if words}
        stripped = line.strip()
        if stripped.startswith("- ") and name:
            entries[name] += _words(stripped[2:])
        elif line[:1].strip() and not line.startswith("#"):
            name, colon, value = (part.strip() for part in line.partition(":"))
            name = name if colon and name not in entries else ""  # a name once, as in JSON
            if name:
                entries[name] = _words(value)
    return {}


def _words(text: str) -> tuple[str, ...]:
    """A word, or the words of a list in one line; no word of what is written in another way."""
    text = text.partition(" #")[0].strip()
    inside = text[1:-1].split(",") if text.startswith("[") and text.endswith("]") else [text]
    words = (word.strip().strip("\"'") for word in inside)
    return tuple(word for word in words if word and word[0] not in "|>{&*!%@`[" and ": " not in word)
