"""Memory that graphs read and write: on the host, or on a device.

A large buffer on the host becomes resident as it is written to, and can give back what it no longer needs. A buffer on
a device stays there: what it holds comes to the host only where it is read. Parts of a buffer share its memory, also on
a device. Knows no graph and no session.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from onnxpress.engine.host_memory import HostMemory
from onnxpress.engine.providers import CPU, parse_device, provider_of

Array = NDArray[Any]


class Memory(Protocol):
    """Bytes at an address of a device."""

    @property
    def device(self) -> str:
        """As `providers.parse_device` names it."""

    @property
    def address(self) -> int:
        """Of the first byte, as the device counts."""

    def release(self, start: int, stop: int) -> None:
        """Give bytes back to the system, where that is possible; what they hold afterwards is undefined."""


class Buffer:
    """An array of fixed shape and dtype on the host or on a device, or a part of one that shares its memory.

    The memory goes back to the system with the last buffer, and the last array, that share it.

    Attributes:
        device: as `providers.parse_device` names it.
        shape: of the array.
        dtype: numpy's, of the array.
    """

    __slots__ = ("_array", "_memory", "_start", "device", "dtype", "shape")

    def __init__(
        self, memory: Memory, shape: tuple[int, ...], dtype: np.dtype[Any], start: int = 0, array: Array | None = None
    ) -> None:
        self.device = memory.device
        self.shape = shape
        self.dtype = dtype
        self._memory = memory
        self._start = start  # of the first byte, in the memory
        self._array = array

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes where all of it is resident."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def on_host(self) -> bool:
        """Whether the buffer has an `array`."""
        return self._array is not None

    @property
    def address(self) -> int:
        """Of the first byte, as the device counts."""
        return self._memory.address + self._start

    @property
    def array(self) -> Array:
        """The memory of a buffer on the host as a numpy array, contiguous: what is written to it is in the buffer.

        Raises:
            TypeError: the buffer is on a device; `read` copies what it holds.
        """
        if self._array is None:
            raise TypeError(f"A buffer on {self.device} has no memory on the host. Use read(), write() or copy_from().")
        return self._array

    def at(self, index: int) -> Buffer:
        """The part at an index of the first axis, without that axis."""
        return self._part(index, self.shape[1:], None if self._array is None else self._array[index])

    def rows(self, start: int, stop: int) -> Buffer:
        """The part from `start` to `stop` of the first axis."""
        array = None if self._array is None else self._array[start:stop]
        return self._part(start, (stop - start, *self.shape[1:]), array)

    def read(self) -> Array:
        """What the buffer holds, copied to the host."""
        if self._array is not None:
            return self._array.copy()
        target = np.empty(self.shape, self.dtype)
        self._copy(of_array(target), self)
        return target

    def write(self, array: Array) -> None:
        """Take over what an array on the host holds, of the same shape and dtype."""
        self.copy_from(of_array(np.ascontiguousarray(array).reshape(array.shape)))  # numpy gives a number an axis

    def copy_from(self, source: Buffer) -> None:
        """Take over what another buffer holds, of the same shape and dtype, wherever it is.

        Raises:
            ValueError: another shape or dtype.
        """
        if (source.shape, source.dtype) != (self.shape, self.dtype):
            raise ValueError(f"{source.dtype} {source.shape} cannot be copied to {self.dtype} {self.shape}.")
        if self._array is not None and source._array is not None:
            np.copyto(self._array, source._array)
        else:
            self._copy(self, source)

    def release(self) -> None:
        """Give this part's memory back to the system, where that is possible; what it holds afterwards is undefined.

        Only whole pages go back, and only those of a buffer on the host that is large enough to have pages of its own.
        """
        self._memory.release(self._start, self._start + self.nbytes)

    def gather(self) -> None:
        """Tell that all of the memory is in use: it is read faster then, and none of it is saved by small pages."""
        if isinstance(self._memory, HostMemory):
            self._memory.gather()

    def _part(self, index: int, shape: tuple[int, ...], array: Array | None) -> Buffer:
        stride = math.prod(self.shape[1:]) * self.dtype.itemsize
        return Buffer(self._memory, shape, self.dtype, self._start + index * stride, array)

    @staticmethod
    def _copy(target: Buffer, source: Buffer) -> None:
        from onnxpress.engine.device_memory import copy_bytes

        if target.nbytes:
            copy_bytes(target.device, target.address, source.device, source.address, target.nbytes)


def allocate(shape: Sequence[int], dtype: DTypeLike, device: object = None) -> Buffer:
    """Memory for an array. What it holds is undefined.

    Args:
        device: as `providers.parse_device` takes it.

    Raises:
        OutOfMemory: the system or the device does not give so much.
        DeviceUnavailable: the device is not here.
    """
    numbers, kind, place = tuple(shape), np.dtype(dtype), parse_device(device)
    size_bytes = math.prod(numbers) * kind.itemsize
    if not provider_of(place).own_memory:
        memory = HostMemory(size_bytes, f"an array {numbers} of {kind.name}")
        return Buffer(memory, numbers, kind, array=memory.view(kind).reshape(numbers))
    from onnxpress.engine.device_memory import DeviceMemory

    return Buffer(DeviceMemory.allocate(place, size_bytes, f"an array {numbers} of {kind.name}"), numbers, kind)


def of_array(array: Array) -> Buffer:
    """An array's own memory as a buffer; it has to be contiguous."""
    return Buffer(_ArrayMemory(array), array.shape, array.dtype, array=array)


class _ArrayMemory:
    """The memory of an array that numpy allocated."""

    device = CPU.family

    def __init__(self, array: Array) -> None:
        self._array = array

    @property
    def address(self) -> int:
        return int(self._array.__array_interface__["data"][0])

    def release(self, start: int, stop: int) -> None:
        """numpy's memory goes back with the array."""
