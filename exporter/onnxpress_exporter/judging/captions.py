"""What may be seen in pictures, or heard in sounds, in a few words: for calibration and, other things, for judging."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Captions:
    """`sentence`: what is made of each, as the pipelines of transformers do it."""

    sentence: str
    calibration: tuple[str, ...]
    judged: tuple[str, ...]


_SEEN: tuple[str, ...] = (
    "a cat", "two dogs on a beach", "a red bus", "an old wooden bridge", "a plate of noodles", "a mountain at sunset",
    "a child with a kite", "blue stripes", "a green triangle", "a black square on white", "the inside of a church",
    "a handwritten letter", "an owl", "a crowded street at night", "a bicycle leaning on a wall", "wooden texture",
    "three yellow flowers", "a satellite view of a river", "a woman reading", "a broken window", "snow",
    "a large circle", "a chessboard", "the number seven",
)  # fmt: skip

_OTHERS_SEEN: tuple[str, ...] = (
    "a dog", "a sleeping cat", "a blue car", "a stone tower", "a bowl of soup", "a lake in the mist",
    "a man on a horse", "red and white stripes", "a small yellow circle", "a grey square", "a kitchen",
    "a printed page", "an eagle in flight", "an empty street", "a bicycle", "a rough surface", "a bunch of roses",
    "a map of a city", "people dancing", "a smooth gradient", "clouds", "a dark triangle", "noise", "the letter A",
)  # fmt: skip

_HEARD: tuple[str, ...] = (
    "a dog barking", "rain on a roof", "a car engine", "two people talking", "a violin", "applause", "a door bell",
    "footsteps on gravel", "a kettle", "thunder far away", "a child laughing", "a train passing", "white noise",
    "a rising tone", "a hammer", "birds in the morning", "waves", "a telephone", "an old clock", "a choir",
    "glass breaking", "a crowd in a stadium", "silence", "a machine that hums",
)  # fmt: skip

_OTHERS_HEARD: tuple[str, ...] = (
    "a cat", "wind in trees", "a motorcycle", "one man speaking", "a piano chord", "hands clapping", "an alarm",
    "running water", "a drum beat", "a storm", "a baby crying", "an aeroplane", "hiss", "a falling tone", "a saw",
    "an owl at night", "a river", "a radio", "church bells", "a woman singing", "paper", "traffic", "a low hum",
    "a whistle",
)  # fmt: skip

OF_PICTURES = Captions("This is a photo of {}.", _SEEN, _OTHERS_SEEN)
OF_SOUNDS = Captions("This is a sound of {}.", _HEARD, _OTHERS_HEARD)
