"""A graph of another tool gets what nobody gives it, and nothing in the place of what somebody does."""

from __future__ import annotations

import numpy as np

from onnxpress.engine.adapting import adapt_inputs
from onnxpress.format.adopted import Adapter


def test_the_other_half_of_a_graph_of_texts_and_pictures_gets_one_row_of_ones() -> None:
    adapter = Adapter(names={"pixel_values": "x"}, ones={"input_ids": (8,), "mask": (8,)})
    pixels, ids = np.zeros((5, 3, 4, 4), np.float32), np.zeros((2, 6), np.int64)
    feeds = adapt_inputs(adapter, {"pixel_values": pixels}, {"input_ids": "int32"})
    assert feeds["x"] is pixels and feeds["input_ids"].dtype == np.int32
    assert feeds["input_ids"].tolist() == [[1] * 8] and feeds["mask"].shape == (1, 8)
    assert adapt_inputs(adapter, {"pixel_values": pixels, "input_ids": ids}, {})["input_ids"] is ids
    assert adapter.given == {"input_ids", "mask"} and bool(adapter)
