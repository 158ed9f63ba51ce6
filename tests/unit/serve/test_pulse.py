"""A loop that is behind refuses what it would come to too late."""

from __future__ import annotations

import pytest

from onnxpress.serve.errors import Overloaded
from onnxpress.serve.pulse import Pulse


def test_a_loop_that_is_behind_says_so_and_for_how_long() -> None:
    pulse = Pulse()
    pulse.check(0.001)
    pulse.behind_s = 0.5
    pulse.check(10.0)
    with pytest.raises(Overloaded) as refused:
        pulse.check(2.0)
    assert refused.value.retry_after_s == pytest.approx(4.0)
