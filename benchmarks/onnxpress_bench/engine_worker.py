"""Runs one graph in one engine for `openvino_check`, in whatever Python has that engine; needs numpy and the engine.

Started as a program with a JSON object: `engine` ("onnxruntime" or "openvino"), `graph`, `provider`, `options`,
`threads`, `quantize` (a file of inputs to quantize the graph with by NNCF, or null). Then, for each line of standard
input, a JSON object: `inputs`, an .npz file of one batch, and `runs`; or `answers`, where the first output goes. It
answers with the seconds of each run, by the clock and of this process's own time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[dict[str, Any]], Any]


def _onnxruntime(spec: dict[str, Any]) -> tuple[Run, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = spec["threads"], 3
    provider = (spec["provider"], spec["options"])
    session = onnxruntime.InferenceSession(spec["graph"], options, providers=[provider])
    if session.get_providers()[0] != spec["provider"]:
        raise RuntimeError(f"{spec['provider']} is not here")
    wanted = [tensor.name for tensor in session.get_inputs()]
    return lambda arrays: session.run(None, {name: arrays[name] for name in wanted})[0], onnxruntime.__version__


def _openvino(spec: dict[str, Any]) -> tuple[Run, str]:
    import openvino

    core = openvino.Core()
    model = core.read_model(spec["graph"])
    names = [tensor.get_any_name() for tensor in model.inputs]
    if spec["quantize"]:
        import nncf

        with np.load(spec["quantize"]) as rows:
            count = len({name.partition("/")[0] for name in rows.files})
            batches = [{name: rows[f"{place}/{name}"] for name in names} for place in range(count)]
        dataset = nncf.Dataset(batches)
        model = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches))
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", **spec["options"]}
    compiled = core.compile_model(model, "CPU", {**options, "INFERENCE_NUM_THREADS": spec["threads"]})
    return lambda arrays: compiled({name: arrays[name] for name in names}, share_inputs=True)[0], openvino.__version__


def _tell(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    spec = json.loads(sys.argv[1])
    run, version = {"onnxruntime": _onnxruntime, "openvino": _openvino}[spec["engine"]](spec)
    _tell({"version": version})
    for line in sys.stdin:
        asked = json.loads(line)
        with np.load(asked["inputs"]) as file:
            arrays = dict(file)
        if asked.get("answers"):
            np.save(Path(asked["answers"]), run(arrays))
        run(arrays)
        seconds = []
        for _ in range(asked["runs"]):
            begun, used = time.perf_counter(), time.process_time()
            run(arrays)
            seconds.append((time.perf_counter() - begun, time.process_time() - used))
        _tell(seconds)


if __name__ == "__main__":
    main()
