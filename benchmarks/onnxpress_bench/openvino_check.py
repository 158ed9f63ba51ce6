"""Is our int8 faster in OpenVINO? One command, for each kind of processor:

    python -m onnxpress_bench.openvino_check ARTIFACT --provider-python VENV/bin/python [--openvino-python ...]

Takes an artifact of a sentence encoder with fp32 and int8, and compares, in turns in processes of their own:
ONNX Runtime's CPU provider on the variants as they are, and with constant ranges; its OpenVINO provider, and OpenVINO
itself, on the same int8 between QuantizeLinear and DequantizeLinear (values of most harm stay in fp32); OpenVINO on the
fp32 graph quantized by NNCF. Tells of each the least and the median milliseconds by shape, and the cosines of
mean-pooled answers to fp32's, over the texts that the gate judges.

VENV has `onnxruntime-openvino` (which replaces onnxruntime, hence a venv of its own) and numpy; the other Python has
openvino and nncf: that of `onnxpress peers --install openvino` where none is named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx_ir

from onnxpress.engine.machine import features, processor_name
from onnxpress.engine.session import Session
from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact
from onnxpress.text.opening import required_tokenizer
from onnxpress_bench import engine_worker
from onnxpress_bench.environments import interpreter
from onnxpress_bench.errors import MissingPeer
from onnxpress_exporter.gate.answers import AnswersGate
from onnxpress_exporter.passes import apply_passes
from onnxpress_exporter.passes.constant_ranges import constant_ranges
from onnxpress_exporter.reference import GraphReference
from onnxpress_exporter.tuning.constants import ranked_ranges
from onnxpress_exporter.write.save import save

#: Rows and tokens, unless said otherwise.
SHAPES = "1x16,1x128,8x128"
_GRAPH, _INT8 = "model", "int8"
_OPENVINO = "OpenVINOExecutionProvider"
_CPU = "CPUExecutionProvider"
#: What other engines do not know becomes what they do; blocks become fp32 when the graph is loaded.
_FOR_OTHERS = ("quantize_dequantize", "unpack_blocks", "plain_attention")


@dataclass
class EngineCase:
    """`name`: in the table; `spec`: of its worker; `python`: that runs it."""

    name: str
    python: str
    spec: dict[str, Any]
    seconds: dict[tuple[int, int], list[tuple[float, float]]] = field(default_factory=dict)


class EngineProcess:
    """A process that runs one candidate when it is asked to."""

    def __init__(self, candidate: EngineCase) -> None:
        command = [candidate.python, engine_worker.__file__, json.dumps(candidate.spec)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._read()["version"]

    def ask(self, **what: Any) -> Any:
        """The seconds of each run."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if line.startswith(("{", "[")):  # others print of themselves
                return json.loads(line)
        raise RuntimeError("a worker ended; what it said is above")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--provider-python", help="a Python that has onnxruntime-openvino and numpy")
    parser.add_argument("--openvino-python", help="a Python that has openvino and nncf")
    parser.add_argument("--shapes", default=SHAPES, help="ROWSxTOKENS, separated by commas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--float-sites", default="4", help="values that stay in fp32, those of most harm: numbers to try"
    )
    chosen = parser.parse_args(arguments)
    shapes = [(int(rows), int(tokens)) for rows, tokens in (shape.split("x") for shape in chosen.shapes.split(","))]
    native = chosen.openvino_python
    if native is None:
        try:
            native = str(interpreter("openvino"))
        except MissingPeer as error:
            _say(f"without OpenVINO itself: {error}")
    with tempfile.TemporaryDirectory(dir=chosen.artifact.parent) as folder, ExitStack() as opened:
        check = _Check(chosen.artifact, Path(folder))
        floats = [int(number) for number in chosen.float_sites.split(",")]
        candidates = check.candidates(chosen.provider_python, native, floats, chosen.threads)
        workers = {}
        for candidate in candidates:
            worker = EngineProcess(candidate)
            opened.callback(worker.close)
            workers[candidate.name] = worker
            _say(f"{candidate.name}: {candidate.spec['engine']} {worker.version}")
        for shape in shapes:
            inputs = check.batch(*shape)
            for number in range(chosen.rounds):
                for place in range(len(candidates)):
                    candidate = candidates[(place + number) % len(candidates)]
                    taken = workers[candidate.name].ask(inputs=inputs, runs=chosen.runs)
                    candidate.seconds.setdefault(shape, []).extend(map(tuple, taken))
        processor = f"{processor_name()}, {', '.join(sorted(features()))}; {chosen.threads} threads"
        _say(f"{processor}; {chosen.shapes}: least / median ms by the clock (least of the process's own time)")
        for candidate in candidates:
            columns = []
            for shape in shapes:
                walls, used = ([1000 * pair[place] for pair in candidate.seconds[shape]] for place in (0, 1))
                columns.append(f"{min(walls):8.2f} / {median(walls):8.2f} ({min(used):8.2f})")
            mean, worst = check.cosines(workers[candidate.name])
            _say(f"{candidate.name:48s} {'  '.join(columns)}  cosine {mean:.5f} / {worst:.5f}")


class _Check:
    """What is compared: graphs made of an artifact's, inputs, and fp32's answers."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.folder = folder
        artifact = Artifact.open(path)
        self.files = {name: artifact.graphs(name)[_GRAPH] for name in (REFERENCE, _INT8)}
        plain = Session(artifact.graphs(REFERENCE))
        tokenizer = required_tokenizer(artifact)
        self.gate = AnswersGate(artifact, tokenizer, GraphReference(plain, artifact.trust))
        self.calibration = self.gate.inputs(_GRAPH)
        rows = {f"{place}/{name}": array for place, row in enumerate(self.calibration) for name, array in row.items()}
        np.savez(folder / "calibration.npz", **rows)  # type: ignore[arg-type]
        self.names = [tensor.name for tensor in artifact.manifest.graphs[_GRAPH].inputs]
        self.judged = []
        for place, text in enumerate(_judged_texts()):
            ids = np.array([tokenizer.encode(text).ids[:256]], np.int64)
            self.judged.append((self._saved(f"judged-{place}", ids), plain.run(self._inputs(ids))))

    def _inputs(self, ids: Any) -> dict[str, Any]:
        filled = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return {name: filled[name] for name in self.names}

    def _saved(self, name: str, ids: Any) -> str:
        file = self.folder / f"{name}.npz"
        np.savez(file, **self._inputs(ids))
        return str(file)

    def batch(self, rows: int, tokens: int) -> str:
        """A file of inputs."""
        ids = np.random.default_rng(0).integers(1000, 20000, (rows, tokens))
        return self._saved(f"{rows}x{tokens}", ids)

    def cosines(self, worker: EngineProcess) -> tuple[float, float]:
        """Mean and worst of mean-pooled answers to those of fp32."""
        target, cosines = self.folder / "answer.npy", []
        for inputs, expected in self.judged:
            worker.ask(inputs=inputs, runs=0, answers=str(target))
            pair = (np.load(target), next(iter(expected.values())))
            ours, theirs = (array.reshape(-1, array.shape[-1]).mean(axis=0).astype(np.float64) for array in pair)
            cosines.append(float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)))
        return float(np.mean(cosines)), min(cosines)

    def candidates(
        self, provider: str | None, native: str | None, floats: Sequence[int], threads: int
    ) -> list[EngineCase]:
        """What runs on this machine."""
        graphs = self._graphs(floats)
        here = {"engine": "onnxruntime", "provider": _CPU, "options": {}, "threads": threads, "quantize": None}
        rows = [
            EngineCase(f"ONNX Runtime, {name}", sys.executable, {**here, "graph": str(file)})
            for name, file in {**self.files, "int8, constant ranges": graphs["constant"]}.items()
        ]
        of_openvino = {name: file for name, file in graphs.items() if name != "constant"}
        if provider is not None:
            options = {"device_type": "CPU", "num_of_threads": str(threads)}
            theirs = {**here, "provider": _OPENVINO, "options": options}
            rows += [
                EngineCase(f"OpenVINO's provider, {name}", provider, {**theirs, "graph": str(file)})
                for name, file in of_openvino.items()
            ]
        if native is not None:
            theirs = {**here, "engine": "openvino"}
            rows += [
                EngineCase(f"OpenVINO, {name}", native, {**theirs, "graph": str(file)})
                for name, file in of_openvino.items()
            ]
            by_nncf = {**theirs, "graph": str(graphs["fp32"]), "quantize": str(self.folder / "calibration.npz")}
            rows.append(EngineCase("OpenVINO, int8 of NNCF", native, by_nncf))
        return rows

    def _graphs(self, floats: Sequence[int]) -> dict[str, Path]:
        """Write the graphs that other engines read, and int8 with as many constant ranges."""
        plain = onnx_ir.load(self.files[REFERENCE])
        apply_passes(plain, _FOR_OTHERS)
        save(plain, self.folder / "fp32.onnx")
        graphs = {"fp32": self.folder / "fp32.onnx"}
        int8 = onnx_ir.load(self.files[_INT8])
        ranked = ranked_ranges(_GRAPH, int8, self.calibration, lambda what: None)
        for number in floats:
            ranges = {name: chosen for name, chosen, _ in ranked[: len(ranked) - number]}
            model = int8.clone()
            constant_ranges(model, ranges)
            save(model, self.folder / f"constant-{number}.onnx")
            graphs.setdefault("constant", self.folder / f"constant-{number}.onnx")
            apply_passes(model, _FOR_OTHERS)
            save(model, self.folder / f"int8-{number}.onnx")
            graphs[f"our int8, {number} in fp32"] = self.folder / f"int8-{number}.onnx"
        return graphs


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _judged_texts() -> Sequence[str]:
    from onnxpress_exporter.judging.texts import JUDGED

    return [text for text in JUDGED if text.strip()]


if __name__ == "__main__":
    main()
