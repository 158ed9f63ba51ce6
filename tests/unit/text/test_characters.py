"""Characters as tokens: what is left out, what is put between, and back."""

from __future__ import annotations

from onnxpress.format.processors import CharacterRules
from onnxpress.text.slow.characters import Characters

NAMES = dict(enumerate(["k", "a", "b", " ", "-", "<unk>"]))


def characters(**rules: object) -> Characters:
    return Characters(CharacterRules(**{"normalizes": True, "vocabulary": 5, "blank": 0, **rules}), NAMES, 5)  # type: ignore[arg-type]


def test_capitals_become_small_and_what_is_no_token_goes() -> None:
    assert characters().prepare(" A-B! é ") == "a-b"
    assert (
        characters().prepare("<unk>A") == "ka"
    )  # "<unk>" stays as it stands; of its letters only "k" is in the vocabulary
    assert characters(normalizes=False).prepare(" A! ") == " A! "
    assert characters(replaced={"à": "a"}).prepare("À") == "a"


def test_blanks_stand_between_and_around() -> None:
    assert characters().segment("ab") == [0, 1, 0, 2, 0]
    assert characters().segment("") == [0]
    assert characters(blank=None).segment("ax") == [1, 5]


def test_every_second_token_is_the_text() -> None:
    assert characters().join(["k", "a", "k", "b", "k"], ()) == "ab"
    assert characters().join(["a"], ()) == "a"
    assert characters(blank=None).join(["a", "b"], ()) == "ab"
