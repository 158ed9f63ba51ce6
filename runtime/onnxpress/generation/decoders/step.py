"""One token of each row: the graph bound to what a step reads and writes, on the host or captured on a device.

Knows no rows and no cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.binding import Binding
from onnxpress.engine.buffers import Buffer, allocate, of_array
from onnxpress.engine.session import Session

#: What the fused attention reads on the host: a captured step has its number for good.
ON_HOST = "total_sequence_length"


@dataclass(frozen=True, slots=True)
class Step:
    """The graph bound to the buffers of the first rows, and to the arrays that a step of them reads and writes.

    `sent`, `received`: of a captured step, arrays that are copied to the device before it, and from there after it.
    """

    binding: Binding
    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[np.float32]]
    sent: Sequence[tuple[NDArray[Any], Buffer]] = ()
    received: Sequence[tuple[NDArray[Any], Buffer]] = ()

    def run(self) -> None:
        """Run on what the arrays hold."""
        for array, buffer in self.sent:
            buffer.write(array)
        self.binding.run()
        for array, buffer in self.received:
            of_array(array).copy_from(buffer)


def bind_step(
    session: Session,
    binding: Binding,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[np.float32]],
    taken: Mapping[str, NDArray[Any]],
) -> Step:
    """Bind a step's arrays, or where steps are captured buffers on the device that stand for them.

    Args:
        taken: those of the inputs that the graph takes.
    """
    if not session.captures:
        binding.bind(taken, outputs)
        return Step(binding, inputs, outputs)

    def there(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Buffer]:
        return {name: allocate(array.shape, array.dtype, session.device) for name, array in arrays.items()}

    fixed = {name: array for name, array in taken.items() if name == ON_HOST}
    sent = there({name: array for name, array in taken.items() if name != ON_HOST})
    received = there(outputs)
    binding.bind({**sent, **fixed}, received)
    return Step(
        binding,
        inputs,
        outputs,
        [(taken[name], buffer) for name, buffer in sent.items()],
        [(outputs[name], buffer) for name, buffer in received.items()],
    )
