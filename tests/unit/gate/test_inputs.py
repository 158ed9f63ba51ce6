"""The arrays of single runs of a graph."""

from __future__ import annotations

import numpy as np

from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress_exporter.gate.cases import Case
from onnxpress_exporter.gate.inputs import Arrays, step_inputs


def test_tokens_of_a_text_are_read_one_at_a_time_as_a_prompts() -> None:
    past, present = "past_key_values.0.recurrent0", "present.0.recurrent0"
    inputs = [TensorInfo(name, "int64", ("rows", 1)) for name in ("input_ids", "position_ids", "of_prompt")]
    info = GraphInfo((*inputs, TensorInfo(past, "float32", ("rows", 2))), (), "decoder")

    def run(arrays: Arrays) -> Arrays:
        return {present: arrays[past] + arrays["input_ids"]}

    runs = list(step_inputs(info, Case("text", (7, 8, 9)), run))
    assert [arrays["input_ids"].tolist() for arrays in runs] == [[[7]], [[8]], [[9]]]
    assert [arrays["position_ids"].item() for arrays in runs] == [0, 1, 2]
    assert [arrays["of_prompt"].tolist() for arrays in runs] == [[[1]]] * 3
    np.testing.assert_array_equal([arrays[past][0] for arrays in runs], [[0, 0], [7, 7], [15, 15]])
    assert all(arrays[name].dtype == np.int64 for arrays in runs for name in ("input_ids", "position_ids", "of_prompt"))
