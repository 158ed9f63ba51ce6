"""When ONNX Runtime gives back the memory that a large run took."""

from __future__ import annotations

#: Elements of the largest input, such as tokens, of runs that are all alike small; and what a far larger one has more.
SMALL_RUN = 1024
FAR = 2


class HeldMemory:
    """How large the runs of a session were whose memory ONNX Runtime holds. For several threads."""

    def __init__(self) -> None:
        #: The size of the largest run since memory was given back.
        self._size = SMALL_RUN

    def gives_back(self, elements: int) -> bool:
        """Whether memory is given back after a run that begins now: one that is far larger than those before, or far
        smaller than one whose memory is still held. Runs of one size, large as they may be, keep theirs.

        Args:
            elements: those of its largest input.
        """
        size, held = max(SMALL_RUN, elements), self._size
        is_far = FAR * size < held or size > FAR * held
        self._size = size if is_far else max(held, size)
        return is_far
