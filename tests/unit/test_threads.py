"""How many threads a run has, and whether they spin: what is said, and what the machine has."""

from __future__ import annotations

import pytest

from onnxpress.engine import threads
from onnxpress.engine.threads import Spinning, default_threads, spinning_of
from onnxpress.errors import InputError


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores, all of which the process may use."""
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    monkeypatch.setattr(threads, "allowed_cores", lambda: 8)


@pytest.mark.parametrize(
    ("environ", "count"),
    [
        ({}, 8),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": " 4,2"}, 4),
        ({"OMP_NUM_THREADS": "many"}, 8),
        ({"OMP_NUM_THREADS": "0"}, 8),
        ({"OMP_NUM_THREADS": ""}, 8),
        ({"ONNXPRESS_THREADS": "2", "OMP_NUM_THREADS": "3"}, 2),
        ({"ONNXPRESS_THREADS": "", "OMP_NUM_THREADS": "3"}, 3),
        ({"ONNXPRESS_THREADS": "16"}, 16),
    ],
)
def test_what_the_environment_says(environ: dict[str, str], count: int) -> None:
    assert default_threads(environ) == count


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_ours_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match="ONNXPRESS_THREADS is"):
        default_threads({"ONNXPRESS_THREADS": wrong})


@pytest.mark.parametrize(
    ("alternates", "crowded", "quota", "said", "spinning"),
    [
        (False, False, 8, "", Spinning.ALWAYS),
        (True, False, 8, "", Spinning.WITHIN_RUNS),
        (False, True, 8, "", Spinning.NEVER),
        (True, True, 8, "", Spinning.NEVER),
        (False, False, 2, "", Spinning.NEVER),  # a quota of two cores on a machine of eight
        (False, False, 2, "1", Spinning.ALWAYS),
        (True, True, 2, "1", Spinning.WITHIN_RUNS),
        (False, False, 8, "0", Spinning.NEVER),
    ],
)
def test_threads_spin_where_it_pays(
    alternates: bool, crowded: bool, quota: int, said: str, spinning: Spinning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: quota)
    environ = {"ONNXPRESS_SPINNING": said}
    assert spinning_of(4, alternates=alternates, crowded=crowded, environ=environ) is spinning
    with pytest.raises(InputError, match="ONNXPRESS_SPINNING is 'yes'"):
        spinning_of(4, alternates=alternates, crowded=crowded, environ={"ONNXPRESS_SPINNING": "yes"})
