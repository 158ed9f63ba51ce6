"""What the name of a model's class says that its graph gives. The graph may give something else, and counts then."""

from __future__ import annotations

from onnxpress.format.adopted import Answers, Fact

#: How a name ends -> what such models give; the first that fits counts.
_GIVES: tuple[tuple[str, frozenset[Answers]], ...] = (
    ("ForSequenceClassification", frozenset({"classes"})),
    ("ForMultipleChoice", frozenset({"classes"})),
    ("ForTokenClassification", frozenset({"token classes"})),
    ("ForMaskedLM", frozenset({"words"})),
    ("ForPreTraining", frozenset({"words"})),
    ("ForQuestionAnswering", frozenset({"spans"})),
    ("ForCausalLM", frozenset({"text"})),
    ("LMHeadModel", frozenset({"text"})),
    ("ForImageClassification", frozenset({"picture classes"})),
    ("ForObjectDetection", frozenset({"boxes"})),
    ("ForSemanticSegmentation", frozenset({"segments"})),
    ("ForDepthEstimation", frozenset({"depths"})),
    ("ForConditionalGeneration", frozenset({"rewritten text", "described picture"})),
    ("MTModel", frozenset({"rewritten text"})),
    ("Model", frozenset({"states", "vector", "picture states", "vectors of both", "described picture"})),
)


def contradiction(architecture: str, answers: Answers) -> Fact | None:
    """The fact that a class's name says something else than the graph; None: it does not, or says nothing."""
    said = next((gives for ending, gives in _GIVES if architecture.endswith(ending)), None)
    if said is None or answers in said:
        return None
    value = f"{architecture}, which gives {' or '.join(sorted(said))}; the graph gives {answers}, and counts"
    return Fact("class", value, "config.json")
