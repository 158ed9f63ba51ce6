"""One precision of a model, as the manifest has it: its files, what was measured of it, and its forms.

A form is the same variant in other nodes: which of them are fastest differs by processor. Forms share the files of
their weights, so that one costs a graph of some hundred kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: The form that every variant has, and that runs where nobody found a faster one.
DEFAULT_FORM = "default"
#: The default form once more, in a session of its own, where forms were timed: what differs between the two is chance.
CONTROL = "the default form again"

#: Stands among a variant's treatments for what its cache holds, where that is no product's affair.
CACHE = "keys and values"


@dataclass(frozen=True, slots=True)
class GraphFiles:
    """Where one variant keeps one graph: the `.onnx` file, its external data, and the operator sets it needs.

    `precision`: of this graph, where it is not the variant's; None: the variant's.
    """

    file: str
    external: tuple[str, ...] = ()
    opsets: Mapping[str, int] = field(default_factory=dict)
    precision: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Its files, the graph first."""
        return (self.file, *self.external)


@dataclass(frozen=True, slots=True)
class Quality:
    """What verification measured against PyTorch in fp32. Errors are fractions of the output's range.

    `measures`: figures of the task's answers; `measure_limits`: what each of them had to reach.
    """

    reference: str
    inputs: int
    comparisons: int
    max_error: float
    max_error_limit: float
    batch_error: float
    batch_error_limit: float
    measures: Mapping[str, float] = field(default_factory=dict)
    measure_limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timing:
    """Median time of one forward pass on the exporting machine; this variant, PyTorch and the fp32 variant in turn.

    None for those that were not there.
    """

    batch: int
    sequence: int
    milliseconds: float
    pytorch_milliseconds: float | None = None
    fp32_milliseconds: float | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """Times of one variant. `machine`: the processor's name; `features`: those of it that decide how fast products are
    (`machine.FEATURES`), None in older artifacts."""

    machine: str
    threads: int
    timings: tuple[Timing, ...]
    features: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class UsualPlace:
    """Processors of which at most `cores` may be used, with ONNX Runtime of this version or a later one, "1.31"."""

    cores: int
    onnxruntime: str


@dataclass(frozen=True, slots=True)
class VariantForm:
    """Other graphs of a variant, which compute the same with other nodes and read the files of its weights.

    `about`: what is other than in the default form, in words. `graphs`: those that differ. `quality`: what verification
    measured of it. `device`: the family of devices that it is for. `usual`: where it runs though nobody tuned
    the variant there; None: nowhere.
    """

    about: str
    graphs: Mapping[str, GraphFiles]
    quality: Quality | None = None
    device: str = "cpu"
    usual: UsualPlace | None = None


@dataclass(frozen=True, slots=True)
class FormTime:
    """Times of a form at one shape, where a variant was tuned: the median and the least, in milliseconds; and what they
    are over the default form's, which was run in turn: the median of the rounds, and an interval that holds it, null
    where there were too few rounds to tell."""

    batch: int
    sequence: int
    milliseconds: float
    least_milliseconds: float
    over_default: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was found of a variant's forms on one machine.

    `machine`, `features`, `cores`: its processor, as `Speed` has it, and how many cores could be used. `form`: the one
    that runs on such processors. `times`: of each form that was tried, the default one among them. `refused`: form ->
    why it is not taken, though it was faster, or was not tried.
    """

    machine: str
    features: tuple[str, ...]
    cores: int
    form: str
    times: Mapping[str, tuple[FormTime, ...]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Variant:
    """One precision of the artifact.

    `targets` are the machines it suits: "cpu" (any processor), "cuda", or "cpu:FEATURE" for processors with one of
    `machine.features`. `unverified_on`: families among them where its answers were never compared: "cuda" of a variant
    for GPUs that was verified on a processor alone. `treatments`: product -> how its weights are stored, where that is
    not the usual way of the precision; CACHE -> how keys and values are kept, likewise. `repair`: what was done, round
    by round, until the variant passed.
    `forms`: other graphs of it, by name; `tunings`: which of them runs on which processors, and how that was found.
    """

    graphs: Mapping[str, GraphFiles]
    bytes: int
    targets: tuple[str, ...] = ("cpu",)
    quality: Quality | None = None
    speed: Speed | None = None
    treatments: Mapping[str, str] = field(default_factory=dict)
    repair: tuple[str, ...] = ()
    unverified_on: tuple[str, ...] = ()
    forms: Mapping[str, VariantForm] = field(default_factory=dict)
    tunings: tuple[Tuning, ...] = ()

    def verified_on(self, family: str) -> bool:
        """Whether its answers were compared on a device of this family."""
        return family in families_of(self.targets) and family not in self.unverified_on

    @property
    def files(self) -> frozenset[str]:
        """The files of its graphs, in every form."""
        of_forms = (graph for form in self.forms.values() for graph in form.graphs.values())
        return frozenset(name for graph in (*self.graphs.values(), *of_forms) for name in graph.names)

    def graphs_in(self, form: str) -> Mapping[str, GraphFiles]:
        """Its graphs in a form of it, by name."""
        return self.graphs if form == DEFAULT_FORM else {**self.graphs, **self.forms[form].graphs}


def families_of(targets: Iterable[str]) -> tuple[str, ...]:
    """The families of devices that a variant's targets are of, each once: "cpu" of "cpu:avx2"."""
    return tuple(dict.fromkeys(target.partition(":")[0] for target in targets))
