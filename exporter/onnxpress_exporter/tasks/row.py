"""What a task is to the exporter: the type of the table's rows. Knows no task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from onnxpress.format.manifest import Manifest, Postprocessing, TensorInfo
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import Layout
from onnxpress_exporter.judging.figures import Compare
from onnxpress_exporter.judging.items import SOUNDS, MakeItems, Material
from onnxpress_exporter.judging.metrics import Evaluation
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.load_arguments import LoadArguments

#: Labelled rows as the task's layouts name their cells, what they are called, and the artifact they are for.
Evaluate = Callable[[str, Sequence[Mapping[str, Cell]], Manifest], Evaluation]


@dataclass(frozen=True, slots=True)
class Head:
    """What sits on a model's body: what loads it, and how its classes are named. Tasks may share one.

    `auto_class`: of transformers. `suffixes`: of the classes' names; where there are none, the table of the auto class
    tells. `classes`: model_type -> the class that loads it, where the auto class would load more than the task needs.
    """

    auto_class: str
    suffixes: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probes:
    """The samples of verification: with `pairs` of texts, or with one word `masked`."""

    pairs: bool = False
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """How labelled rows are laid out (the first layout that a table has is taken), and what is made of them."""

    layouts: Sequence[Layout]
    evaluate: Evaluate


#: What a model takes, as transformers names modalities; "document": text, and where its words stand.
Takes = Literal["text", "image", "text and image", "audio", "text and audio", "document"]


#: How transformers names the first input of models of sounds.
SOUND_INPUTS = frozenset({"input_features", "input_values"})


@dataclass(frozen=True, slots=True)
class Tower:
    """A part of a model that is a graph of its own and reads one kind of input.

    `name`, `role`: of the graph. `module`: what is traced; its `config` and the parameters of its `forward` say what it
    takes. `outputs`: axes after the batch that are not named are found by running it. `tokens`: the only length of its
    rows of tokens, which it reads with their padding; None: any.
    """

    name: str
    role: str
    takes: Literal["text", "image", "audio"]
    module: Any
    outputs: tuple[TensorInfo, ...]
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ExportTask:
    """One task. The runtime's row of the same name runs what this one describes.

    Args:
        name: the Hub's.
        head: what the checkpoint must have.
        outputs: the graph's, of a loaded model; None: the model has towers or parts, or it writes text, and its graphs
            are those of generation.
        takes: what its inputs are, as transformers names modalities.
        towers: the parts of a model that are graphs of their own, where there is more than one.
        parts: the graphs of a model that its task runs one after the other, each on what the one before gave.
        check_towers: compares what the towers' answers come to with the whole model's; takes the model and, as they are
            traced, its towers.
        postprocessing: what the manifest says of labels, functions and embeddings.
        probes: what verification asks.
        items: texts to what the pipeline takes, for calibration and for judging.
        sounds: what items are made of, where the model takes sounds.
        compare: a variant's answers with the reference's.
        beside_others: answers alone with those in a batch.
        metric: of labelled rows; None: answers are not right or wrong.
        options: arguments of every judged call, so that answers tell as much as they can.
        options_of: the same, where they depend on the artifact.
        vectors: what is compared beside the answers: vectors by name, float32 (n, dimensions), that a pipeline makes
            of the judged items.
        aliases: what people type, beside the runtime's names and optimum's synonyms.
        model_types: those whose checkpoints were made for this task, where their head serves several.
        claims: whether a checkpoint was made for this task, whatever its head.
        load_arguments: how the checkpoint's files ask transformers to load it for this task.
        by_rows: a loaded model as a module that answers row by row.
        compare_whole: the artifact's answers with those of the library that saved the checkpoint, where that is not
            transformers; takes the checkpoint, the artifact, its session and tokenizer, and says what it compared.
        graphs_after: what the answers of "model" go through.
        suited: the row for a checkpoint, where files of the library that saved it say that its answers are made in
            another way than the task's usual one; None: this one.
        load: a checkpoint's model, in the form of one of transformers; None: transformers loads it.
        answers_tokens: whether its answers are tokens of the checkpoint's tokenizer, whatever its inputs are.
        kinds: rows of the same task for models with other heads, or that take sounds.
        files_of_library: writes what the library that saved the checkpoint looks for beside the graphs, where that is
            not transformers; takes the checkpoint, the model, the artifact's folder with its config.json, and whether
            pickled weights may be read.
    """

    name: str
    head: Head
    outputs: Callable[[Any], tuple[TensorInfo, ...]] | None
    postprocessing: Callable[[Checkpoint, Any], Postprocessing]
    probes: Probes
    items: MakeItems
    compare: Compare
    beside_others: Compare
    metric: Metric | None
    takes: Takes = "text"
    sounds: Material = SOUNDS
    towers: Callable[[Any], tuple[Tower, ...]] | None = None
    parts: Callable[[Any], Sequence[Traceable]] | None = None
    check_towers: Callable[[Any, Sequence[Traceable]], None] = lambda model, towers: None
    options: Mapping[str, Any] = field(default_factory=dict)
    options_of: Callable[[Manifest], Mapping[str, Any]] = lambda manifest: {}
    vectors: Callable[[Any, Sequence[Any]], Mapping[str, NDArray[Any]]] = lambda pipe, items: {}
    aliases: tuple[str, ...] = ()
    model_types: frozenset[str] = frozenset()
    claims: Callable[[Checkpoint], bool] = lambda checkpoint: False
    load_arguments: Callable[[Checkpoint], LoadArguments] = lambda checkpoint: LoadArguments()
    by_rows: Callable[[Any], Any] = lambda model: model
    compare_whole: Callable[[Checkpoint, Any, Any, Any], str] = lambda checkpoint, artifact, session, tokenizer: ""
    graphs_after: Callable[[Checkpoint, Any, bool], Sequence[Traceable]] = lambda checkpoint, model, pickled: ()
    suited: Callable[[Checkpoint], ExportTask | None] = lambda checkpoint: None
    files_of_library: Callable[[Checkpoint, Any, Path, bool], None] = lambda checkpoint, model, folder, pickled: None
    load: Callable[[Checkpoint], Any] | None = None
    answers_tokens: bool = False
    kinds: tuple[ExportTask, ...] = ()

    def of(self, model: Any) -> ExportTask:
        """The row for a loaded model with this head: another kind where it takes sounds, and this one none."""
        hears = getattr(model, "main_input_name", None) in SOUND_INPUTS
        rows = (row for row in (self, *self.kinds) if row.head is self.head and ("audio" in row.takes) is hears)
        return next(rows, self)

    @property
    def writes(self) -> bool:
        """Whether its answers are text that the model writes."""
        return self.outputs is None and self.towers is None and self.parts is None
