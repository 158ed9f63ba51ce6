"""Which task another tool's model is for: its graph says, then the name of its class; the caller's word stands above.

The layouts infer everything else, and know no task.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

from onnxpress.errors import AdoptionWarning, UnknownTask
from onnxpress.format.front_matter import CARD
from onnxpress.format.model import Adopted, Fact
from onnxpress.layouts.artifact import Artifact
from onnxpress.layouts.card import CARD_FACT, TAG
from onnxpress.pipelines.table import TASKS
from onnxpress.pipelines.task import Task


def adopt(artifact: Artifact, wanted: Task | None = None, *, any_task: bool = False) -> Artifact:
    """The artifact with its task; an artifact of ours is returned as it is.

    Args:
        wanted: the task that the caller asks for; None: what the model is made for.
        any_task: where nothing says what it is made for, any task will do that its graph gives answers for.

    Raises:
        UnknownTask: the graph gives no answers for the wanted one, or nothing says which it is for.
    """
    adopted = artifact.adopted
    if adopted is None or artifact.manifest.task:
        return artifact
    fitting = [row for row in TASKS.values() if row.evidence is not None and adopted.answers in row.evidence.answers]
    if wanted is not None:
        row, source = _as_wanted(artifact, adopted, fitting, wanted), "the caller"
    else:
        row, source = _as_shown(artifact, adopted, fitting, any_task)
    facts = (Fact("task", row.name, source), *(_beside(fact, row, fitting) for fact in adopted.facts))
    return replace(artifact, manifest=replace(artifact.manifest, task=row.name), adopted=replace(adopted, facts=facts))


def _beside(fact: Fact, row: Task, fitting: list[Task]) -> Fact:
    """A fact as it is told beside the task's: no card is believed that names a task which the graph does not serve."""
    served = {name for task in (row, *fitting) for name in (task.name, *task.aliases, *task.serves)}
    if fact.what != CARD_FACT or fact.value in served:
        return fact
    return replace(fact, value=f"{fact.value}, which the graph gives no answers for; the graph counts")


def warn_of_assumptions(artifact: Artifact, task: Task) -> None:
    """Say aloud what nothing says and a task depends on."""
    adopted = artifact.adopted or artifact.manifest.provenance.adopted
    facts = () if adopted is None or artifact.trust == "verified" else adopted.facts
    needs = () if task.evidence is None else task.evidence.needs
    for fact in facts:
        if fact.assumed and fact.what in needs:
            verb = "are" if fact.what.endswith("s") else "is"
            warnings.warn(
                f"{artifact.folder}: the {fact.what} {verb} assumed to be {fact.value}: {fact.source}.",
                AdoptionWarning,
                stacklevel=4,
            )


def _as_wanted(artifact: Artifact, adopted: Adopted, fitting: list[Task], wanted: Task) -> Task:
    """The row that serves the wanted task."""
    if wanted in fitting:
        return wanted
    serving = next((row for row in fitting if wanted.name in row.serves), None)
    if serving is not None:
        return serving
    offered = sorted({name for row in fitting for name in (row.name, *row.serves)})
    raise UnknownTask(
        f"{artifact.folder}: its graph gives {adopted.answers}, which is not what {wanted.name} needs. It can serve: "
        f"{', '.join(offered)}."
    )


def _as_shown(artifact: Artifact, adopted: Adopted, fitting: list[Task], any_task: bool) -> tuple[Task, str]:
    """The row that the model is made for, and what says so."""
    evident = [(row, row.evidence) for row in fitting if row.evidence is not None]
    for row, evidence in evident:
        if evidence.shown is not None and evidence.shown(artifact.manifest, adopted):
            return row, "the graph and sentence-transformers' files"
    plain = [(row, evidence) for row, evidence in evident if evidence.shown is None]
    if len(plain) == 1:
        return plain[0][0], "the graph"
    architecture = artifact.manifest.architecture
    named = [row for row, evidence in plain if architecture.endswith(evidence.classes or ("?",))]
    if len(named) == 1:
        return named[0], f"the graph and config.json, {architecture}"
    tag = next((fact.value for fact in adopted.facts if fact.what == CARD_FACT), None)
    tagged = [row for row, _ in plain if tag in (row.name, *row.aliases, *row.serves)]
    if len(tagged) == 1:
        return tagged[0], f"the graph and {CARD}, {TAG} {tag}"
    if any_task and plain:
        return plain[-1][0], "the graph, which several tasks could have"
    offered = ", ".join(row.name for row, _ in plain)
    raise UnknownTask(
        f"{artifact.folder}: its graph gives {adopted.answers}, and nothing says for which task. Name it: {offered}."
    )
