"""Calls of graphs are remembered, the first ones and then fewer and fewer, and asked again one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress_exporter.gate.recording import RecordedProbe, Recording
from onnxpress_exporter.judging.waves import compare_waves, wave_disagreement


class Doubling:
    device = "cpu"

    def run(self, inputs: Any, graph: str = "model") -> dict[str, Any]:
        return {"y": 2 * inputs["x"]}

    def close(self) -> None:
        pass


def test_a_recording_is_the_session_and_remembers() -> None:
    session = Recording(Doubling())
    x = np.zeros(1)
    for number in range(1, 20):
        x[0] = number
        assert session.run({"x": x}, "decoder")["y"][0] == 2 * number
    assert [int(call["x"][0]) for call in session.calls["decoder"]] == [1, 2, 3, 4, 8, 16]
    session.begin()
    assert session.calls == {}


def test_recorded_calls_meet_no_other() -> None:
    probe = RecordedProbe([("short", {"x": np.zeros((1, 2))}), ("long", {"x": np.zeros((1, 9))})])
    assert not probe.pads and all(sample.alone for sample in probe.samples)
    assert probe.shapes == [(1, 9)] and probe.arrays(1, 9)["x"].shape == (1, 9)
    assert probe.collate([probe.samples[0].row]).arrays["x"].shape == (1, 2)


def test_waves_that_sound_alike_are_near() -> None:
    time = np.arange(8_000) / 8_000
    tone, louder, other = (
        {"audio": (loud * np.sin(2 * np.pi * hertz * time)).astype(np.float32), "sampling_rate": 8_000}
        for loud, hertz in ((0.3, 440), (0.31, 440), (0.3, 1_800))
    )
    assert compare_waves([tone], [tone]) == {"spectral distance": 0.0, "length agreement": 1.0}
    near, far = (compare_waves([tone], [sound])["spectral distance"] for sound in (louder, other))
    assert 0 < near < 0.05 < 0.5 < far
    short = {**tone, "audio": tone["audio"][:4_000]}
    assert compare_waves([tone], [short]) == {"spectral distance": 0.0, "length agreement": 0.0}
    assert compare_waves([tone], [{**tone, "audio": tone["audio"] * np.nan}])["spectral distance"] == np.inf
    assert wave_disagreement([tone, tone], [tone, louder]) == {"batch disagreement": 0.5}
