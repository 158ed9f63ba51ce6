"""What an argument of another library means here: taken, translated, or refused with a sentence that says our way.

`known_arguments.py` has the rows. This module knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.errors import InputError
from onnxpress.suggestions import did_you_mean

#: What an argument's value becomes: arguments of ours.
Honour = Callable[[Any], Mapping[str, Any]]


def is_unset(value: Any) -> bool:
    """None, False, or nothing in it: what a caller passes who does not use an argument."""
    return value is None or value is False or (isinstance(value, (str, list, tuple, dict)) and not value)


def is_anything(value: Any) -> bool:
    """Any value at all."""
    return True


@dataclass(frozen=True, slots=True)
class Argument:
    """One row: an argument of another library that is none of ours.

    Args:
        name: as the library calls it.
        owner: the library that has it.
        note: for an argument without effect, why it has none; for others, our way, as one sentence.
        harmless: which values change nothing here, and are taken.
        honour: what other values become; None: they are refused with `note`.
    """

    name: str
    owner: str
    note: str
    harmless: Callable[[Any], bool] = is_unset
    honour: Honour | None = None

    def read(self, value: Any) -> Mapping[str, Any]:
        """The value as arguments of ours; of a harmless one, none.

        Raises:
            InputError: it is refused.
        """
        if self.harmless(value):
            return {}
        if self.honour is None:
            raise InputError(f"{self.name}={value!r:.60}: {self.note}")
        return self.honour(value)

    @property
    def kind(self) -> str:
        """What becomes of the argument: "has no effect", "honoured" or "refused"."""
        if self.harmless is is_anything:
            return "has no effect"
        return "honoured" if self.honour is not None else "refused"


Table = Mapping[str, Argument]


def table(*rows: Argument) -> Table:
    """Rows by name."""
    return {row.name: row for row in rows}


def plain(value: Any) -> Any:
    """One number or text of numpy's as Python's own; everything else as it is. numpy is not imported."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def translate(arguments: Mapping[str, Any], known: Table) -> dict[str, Any]:
    """Arguments with those of other libraries made ours; names that are not in the table stay as they are.

    Raises:
        InputError: one of them is refused, or says something else than one of ours.
    """
    arguments = {name: plain(value) for name, value in arguments.items()}
    ours = {name: value for name, value in arguments.items() if name not in known}
    for name, value in arguments.items():
        if name not in known:
            continue
        for target, meant in known[name].read(value).items():
            agreed = meant if ours.get(target) is None else _agreed(ours[target], meant)
            if agreed is None:
                raise InputError(
                    f"{name}={value!r:.60} means {target}={meant!r}, and {target}={ours[target]!r} says something "
                    "else: pass one of them."
                )
            ours[target] = agreed
    return ours


def _agreed(first: Any, second: Any) -> Any:
    """What two arguments say together: "cuda:1" of "cuda" and "cuda:1"; None: they contradict each other."""
    if first == second:
        return first
    names = sorted((str(first), str(second)), key=len)
    return names[1] if names[1].startswith(f"{names[0]}:") else None


def unknown_argument(where: str, name: str, known: Iterable[str], others: Mapping[str, Iterable[str]]) -> InputError:
    """The error of an argument that nobody knows, with the most similar ones.

    Args:
        where: what was called.
        known: names that it has.
        others: names that something else has, by a sentence that says what.
    """
    for sentence, names in others.items():
        if name in names:
            return InputError(f"{where} has no argument {name!r}: {sentence}")
    names = sorted(known)
    return InputError(f"{where} has no argument {name!r}.{did_you_mean(name, names)} It takes: {', '.join(names)}.")
