"""The languages and scores that the generating models of models/ are trained and judged with."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Any:
    """models/ is a folder of scripts: its modules are found as when one of them is run."""
    sys.path.insert(0, str(MODELS))
    yield
    sys.path.remove(str(MODELS))


def test_veltan_follows_its_rules() -> None:
    from grammars.clauses import Clause, Phrase, Sentence, english
    from grammars.veltan import stem, veltan

    child = Phrase(noun="child", determiner="the", adjective="small", several=True)
    letter = Phrase(noun="letter", determiner="two", several=True)
    said = Clause(
        child, "find", "past", letter, ("in", Phrase(noun="garden", determiner="my")), "yesterday", True, True
    )
    assert english(Sentence(said)) == "Did the small children not find two letters in my garden yesterday?"
    time, noun, adjective, my, garden, two, thing, verb, asks = veltan(Sentence(said)).rstrip("?").split()
    assert time.lower() == stem("yesterday")
    assert noun[:-2] == stem("child") and noun[-2:] in ("ek", "ok")  # plural, and so is its adjective
    assert adjective[:-2] == stem("small") and adjective[-2:] in ("ek", "ok")
    assert my == "moi" and garden[:-2] == stem("garden") and garden[-2:] in ("te", "ta")
    assert two == stem("two") and thing[:-2] == stem("letter") and thing[-2:] in ("ne", "na")  # singular after a number
    assert verb.startswith("ni" + stem("find")) and verb.endswith(("ven", "von")) and asks == "ka"


def test_a_reason_comes_first_in_veltan() -> None:
    from grammars.clauses import Clause, Phrase, Sentence, english
    from grammars.veltan import veltan

    sleeps = Clause(Phrase(pronoun="1s"), "sleep", "present", None, None, "", False, False)
    sees = Clause(Phrase(name="Nora"), "see", "past", Phrase(name="Tom"), None, "", False, False)
    said = Sentence(sleeps, "because", sees)
    assert english(said) == "I sleep because Nora saw Tom."
    assert veltan(said).startswith("Nora Tom-na ")
    assert " perin mai " in veltan(said)


def test_no_sentence_is_on_both_sides_and_each_has_one_translation() -> None:
    from grammars.clauses import english, meaning
    from grammars.veltan import veltan

    rng = Random(5)
    train = {english(one): veltan(one) for one in (meaning(rng, "train") for _ in range(2000))}
    heldout = [english(one) for one in (meaning(rng, "heldout") for _ in range(500))]
    assert sum(text in train for text in heldout) <= 5  # short ones: "He waits."
    assert all(text[0].isupper() and text[-1] in ".?" for text in (*train, *train.values()))


def test_an_answer_in_a_chat_follows_from_what_was_said() -> None:
    from grammars.chats import chat

    rng, known = Random(7), 0
    for _ in range(2000):
        messages = chat(rng, "heldout")
        roles = [message["role"] for message in messages]
        assert roles[-2:] == ["user", "assistant"] and "system" not in roles[1:]
        spoken = " ".join(message["content"] for message in messages[:-1] if message["role"] == "user")
        answer = messages[-1]["content"]
        if "Your name is" in answer:
            known += 1
            assert answer.rstrip(".").rsplit(" ", 1)[1] in spoken
    assert known


def test_scores_of_known_cases() -> None:
    from training.scores import bleu, exact

    right = ["the cat sat on the mat .", "a b c d e"]
    assert bleu(right, right) == pytest.approx(1.0)
    assert bleu(["the the the the the the the"], ["the cat is on the mat"]) == 0.0
    # 5, 4, 3 and 2 n-grams right of as many, and two words of seven missing: exp(1 - 7 / 5).
    assert bleu(["the cat sat on the"], ["the cat sat on the mat ."]) == pytest.approx(2.718281828 ** (1 - 7 / 5))
    assert exact(["a", "b"], ["a", "c"]) == 0.5


def test_windows_are_full_and_start_where_a_text_starts() -> None:
    from training.packing import windows

    texts = [[100 + i] + [i] * (i % 40) for i in range(60)]
    found = windows(texts, 32, Random(1))
    assert found and all(len(window) == 32 for window in found)
    assert sum(window[0] >= 100 for window in found) >= len(found) - 15  # a long text goes on in a window of its own
