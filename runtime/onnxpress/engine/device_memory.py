"""Memory of a device, and copies between places on devices and on the host.

ONNX Runtime allocates it, and copies it too: a graph of one node that returns what it takes, bound to the two places.
So every execution provider can, and parts of a buffer are places like any other.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import numpy as np

from onnxpress.engine.failures import first_line, is_out_of_memory
from onnxpress.engine.providers import import_onnxruntime, index_of, provider_of, require_device
from onnxpress.errors import EngineError, OutOfMemory

#: An ONNX file: y, uint8 (n), is Identity of x, uint8 (n); opset 20. (tests/unit/test_device_buffers.py makes it anew.)
COPY_GRAPH = (
    b'\x08\n:;\n\x12\n\x01x\x12\x01y"\x08Identity:\x00\x12\x01gZ\x10\n\x01x\x12\x0b\n\t\x08\x02\x12\x05\n\x03\x12\x01n'
    b"b\x10\n\x01y\x12\x0b\n\t\x08\x02\x12\x05\n\x03\x12\x01nB\x04\n\x00\x10\x14"
)


class DeviceMemory:
    """Bytes on a device. Implements `buffers.Memory`.

    Args:
        value: ONNX Runtime's tensor that they are.
    """

    def __init__(self, device: str, value: Any) -> None:
        self.device = device
        self._value = value

    @classmethod
    def allocate(cls, device: str, size_bytes: int, what: str) -> DeviceMemory:
        """New memory.

        Raises:
            OutOfMemory: the device does not give so much.
            DeviceUnavailable: it is not here.
        """
        require_device(device)
        ort = import_onnxruntime()
        try:  # a tensor of no bytes would have no address
            value = ort.OrtValue.ortvalue_from_shape_and_type(
                [max(size_bytes, 1)], np.uint8, provider_of(device).memory, index_of(device)
            )
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            if is_out_of_memory(error):
                raise OutOfMemory(
                    f"{what} takes {size_bytes / 1e9:.1f} GB; {device} does not give so much ({first_line(error)})."
                ) from None
            raise EngineError(f"{device}: no memory could be allocated ({first_line(error)}).") from None
        return cls(device, value)

    @property
    def address(self) -> int:
        """Of the first byte, as the device counts."""
        return int(self._value.data_ptr())

    def release(self, start: int, stop: int) -> None:
        """A device gives memory back as a whole, with the last buffer."""


def copy_bytes(device: str, address: int, source_device: str, source_address: int, count: int) -> None:
    """Copy bytes from one place to another; at least one of them is on a device with memory of its own.

    Raises:
        EngineError: the device failed.
    """
    runs_on = device if provider_of(device).own_memory else source_device
    session = _copier(runs_on, os.getpid())
    io = session.io_binding()
    place, source_place = provider_of(device).memory, provider_of(source_device).memory
    try:
        io.bind_input("x", source_place, index_of(source_device), np.uint8, (count,), source_address)
        io.bind_output("y", place, index_of(device), np.uint8, (count,), address)
        session.run_with_iobinding(io)
    except Exception as error:  # onnxruntime's exceptions have no common base but Exception
        kind = OutOfMemory if is_out_of_memory(error) else EngineError
        raise kind(
            f"{count} bytes could not be copied from {source_device} to {device} ({first_line(error)})."
        ) from None


@lru_cache(maxsize=8)
def _copier(device: str, process: int) -> Any:
    """The graph that copies, opened on a device; a forked child opens its own."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    row = provider_of(device)
    return ort.InferenceSession(
        COPY_GRAPH, options, providers=[(row.name, row.options_of(index_of(device)))], enable_fallback=False
    )
