"""What may be seen in pictures, in a few words: for CALIBRATION and, other things, for judging (JUDGED)."""

from __future__ import annotations

#: What is made of each, as the pipelines of transformers do it.
CAPTION = "This is a photo of {}."

CALIBRATION: tuple[str, ...] = (
    "a cat", "two dogs on a beach", "a red bus", "an old wooden bridge", "a plate of noodles", "a mountain at sunset",
    "a child with a kite", "blue stripes", "a green triangle", "a black square on white", "the inside of a church",
    "a handwritten letter", "an owl", "a crowded street at night", "a bicycle leaning on a wall", "wooden texture",
    "three yellow flowers", "a satellite view of a river", "a woman reading", "a broken window", "snow",
    "a large circle", "a chessboard", "the number seven",
)  # fmt: skip

JUDGED: tuple[str, ...] = (
    "a dog", "a sleeping cat", "a blue car", "a stone tower", "a bowl of soup", "a lake in the mist",
    "a man on a horse", "red and white stripes", "a small yellow circle", "a grey square", "a kitchen",
    "a printed page", "an eagle in flight", "an empty street", "a bicycle", "a rough surface", "a bunch of roses",
    "a map of a city", "people dancing", "a smooth gradient", "clouds", "a dark triangle", "noise", "the letter A",
)  # fmt: skip
