"""How far answers are from the reference's, for every task that the benchmark measures."""

from __future__ import annotations

from collections.abc import Mapping

from onnxpress_exporter.judging.figures import Answers, Compare, Figures, compare_transcripts
from onnxpress_exporter.tasks import TASKS

#: Of tasks that peers run and nothing exports yet.
_OTHERS: Mapping[str, Compare] = {"automatic-speech-recognition": compare_transcripts}


def compare_answers(task: str, reference: Answers, answers: Answers) -> Figures:
    """Figures by name. Agreements and cosines are 1 for equal answers, differences 0."""
    compare = _OTHERS[task] if task in _OTHERS else TASKS[task].compare
    return compare(reference, answers)
