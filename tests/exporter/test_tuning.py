"""Variants are tuned: what is faster and passes is kept beside the weights that are there, and everything is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest

import onnxpress
from onnxpress.engine import session as engine_session
from onnxpress.engine.session import Session
from onnxpress.format.manifest import GraphFiles, Quality, Speed, Tuning, Variant
from onnxpress.format.variants import CONTROL, DEFAULT_FORM, UsualPlace
from onnxpress_exporter import carrying_out
from onnxpress_exporter.errors import VerificationFailed
from onnxpress_exporter.flow import quantize
from onnxpress_exporter.gate.timing import Work
from onnxpress_exporter.quantize.settings import Settings
from onnxpress_exporter.quantize.thresholds import Verdict
from onnxpress_exporter.tuning import tuner as tuning_module
from onnxpress_exporter.tuning import turns
from onnxpress_exporter.tuning.formulations import Formulation
from onnxpress_exporter.tuning.tuner import Tuner
from onnxpress_exporter.tuning.turns import HEAT, Effort, Timer, time_in_turn
from onnxpress_exporter.write.save import save
from tests.exporter.test_form_passes import ATTENTION, CONSTANTS, INTEGERS, OF_INTEGER_ATTENTION, OF_INTEGERS
from tests.fixtures.graphs import graph, normal
from tests.fixtures.store import Store

SHAPE = (1, 16)
#: Two values that are quantized by a range for each row.
TWO_ROWS = INTEGERS.replace("=> (float[b, s, 8] y)", "=> (float[b, s, 8] y, float[b, s, 8] y2)").replace(
    "    y = Mul (product, largest)\n",
    """    y = Mul (product, largest)
    x2 = Exp (x)
    sizes2 = Abs (x2)
    most2 = ReduceMax (sizes2, last)
    largest2 = Max (most2, floor)
    even2 = Div (x2, largest2)
    q2 = QuantizeLinear (even2, unit, zero)
    product2 = com.microsoft.MatMulIntegerToFloat (q2, w, unit, scales, zero, none)
    y2 = Mul (product2, largest2)
""",
)
#: Attention over a value that is quantized by a range for each row.
ROWS_OF_ATTENTION = """
model (float[b, s, 32] x) => (float[b, s, 32] y)
<float[b, s, 32] sizes, float[b, s, 1] most, float[b, s, 1] largest, float[b, s, 32] even, uint8[b, s, 32] q8,
 float[b, s, 32] q, float[b, s, 32] k, float[b, s, 32] v, float[b, s, 32] pq, float[b, s, 32] pk, float[b, s, 32] pv>
{
    sizes = Abs (x)
    most = ReduceMax (sizes, last)
    largest = Max (most, floor)
    even = Div (x, largest)
    q8 = QuantizeLinear (even, unit, zero)
    pq = com.microsoft.MatMulIntegerToFloat (q8, wq, unit, sq, zero, none)
    pk = com.microsoft.MatMulIntegerToFloat (q8, wk, unit, sk, zero, none)
    pv = com.microsoft.MatMulIntegerToFloat (q8, wv, unit, sv, zero, none)
    q = Mul (pq, largest)
    k = Mul (pk, largest)
    v = Mul (pv, largest)
    y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v, biases)
}
"""
OF_ATTENTION = {name: OF_INTEGER_ATTENTION[name] for name in ("biases", "wq", "wk", "wv", "sq", "sk", "sv")}
MODELS = Path(__file__).parents[2] / "models"
ROWS = (
    Formulation("products", "attention is products", ("plain_attention",)),
    Formulation("maskless", "no mask", ("maskless_attention",)),
    Formulation("gelu", "another GELU", ("fast_gelu",)),
)
QUALITY = Quality("fp32", 1, 1, 0.0, 1.0, 0.0, 1.0, {"cosine, mean": 1.0}, {"cosine, mean": 0.999})


@dataclass
class StandIn:
    """A gate that knows what it will say: `refuses`: graphs with such a node; `cosine`: of all others."""

    refuses: str = ""
    cosine: float = 1.0
    judged: list[str] = field(default_factory=list)
    rows: str | None = None

    def verify(self, precision: str, session: Session) -> Quality:
        path = str(next(iter(session.graphs.values())))
        self.judged.append(path)
        if self.refuses and any(node.op_type == self.refuses for node in onnx_ir.load(path).graph):
            raise VerificationFailed("its answers are others")
        return replace(QUALITY, measures={}, measure_limits={})

    def judge(self, session: Session, thresholds: Mapping[str, float]) -> Verdict:
        missed = ("cosine",) if self.cosine < thresholds["cosine, mean"] else ()
        return Verdict({"cosine, mean": self.cosine}, missed)

    def work(self, sessions: Mapping[str, Session]) -> Work:
        inputs = {"x": normal(1, 3, 32), "mask": np.ones((1, 3), np.int32), "extra": normal(1, 2, 3, 3)}
        runs = {name: partial(session.run, inputs) for name, session in sessions.items()}
        return Work(lambda batch, sequence: runs, [SHAPE])

    def prepare(self) -> None: ...

    def inputs(self, graph: str) -> Sequence[Mapping[str, Any]]:
        return [{"x": normal(1, 3, 32, seed=seed)} for seed in range(4)]

    def speed(self, session: Session, plain: Session | None) -> Speed | None: ...


def timer(**shares: float) -> Timer:
    """Says that forms take these shares of the default's time; without a look at any clock."""

    def times(gate: object, sessions: Mapping[str, Session], effort: Effort) -> Any:
        return {SHAPE: {name: [shares.get(name.replace("+", "_and_"), 1.0)] * 15 for name in sessions}}

    return times


def attention(folder: Path, *, beside: bool = True) -> Variant:
    files = save(
        graph(ATTENTION.replace("BIASES", "biases"), **CONSTANTS),
        folder / "model.onnx",
        inside_bytes=0 if beside else 10**9,
    )
    names = [path.name for path in files]
    return Variant({"model": GraphFiles(names[0], tuple(names[1:]))}, 1, quality=QUALITY)  # fmt: skip


def tuned(folder: Path, variant: Variant, gate: StandIn | None = None, **shares: float) -> Variant:
    chosen = Tuner(folder, ["model"], gate or StandIn(), {}, ROWS, timer(**shares))
    return chosen.tune("fp32", variant, lambda what: None)


def test_a_usual_form_is_judged_and_written_with_its_variant_and_stays_when_another_wins(tmp_path: Path) -> None:
    usual = (replace(ROWS[0], usual=lambda model: UsualPlace(2, "1.31")), *ROWS[1:])
    before = attention(tmp_path)
    tuner = Tuner(tmp_path, ["model"], StandIn(), {}, usual, timer(maskless=0.8))
    variant = tuner.usual("fp32", before, lambda what: None)
    assert list(variant.forms) == [ROWS[0].name] and not variant.tunings
    form = variant.forms[ROWS[0].name]
    assert form.usual == UsualPlace(2, "1.31") and form.quality == QUALITY
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(variant.files)
    tuned = tuner.tune("fp32", variant, lambda what: None)
    assert set(tuned.forms) == {ROWS[0].name, "maskless"} and tuned.forms[ROWS[0].name].usual == form.usual
    again = replace(tuner, timer=timer(products=0.8)).tune("fp32", tuned, lambda what: None)
    assert list(again.forms) == [ROWS[0].name] and again.forms[ROWS[0].name].usual == form.usual
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(again.files)


@pytest.mark.parametrize("beside", [True, False])
def test_without_a_usual_place_or_a_file_of_weights_there_is_no_usual_form(tmp_path: Path, beside: bool) -> None:
    rows = [replace(row, usual=None if beside else lambda model: UsualPlace(2, "1.31")) for row in ROWS]
    variant = attention(tmp_path, beside=beside)
    assert Tuner(tmp_path, ["model"], StandIn(), {}, rows, timer()).usual("fp32", variant, str) == variant  # type: ignore[arg-type]


def test_a_usual_form_that_the_gate_refuses_is_not_written(tmp_path: Path) -> None:
    rows = [replace(row, usual=lambda model: UsualPlace(2, "1.31")) for row in ROWS if row.name == "products"]
    variant = attention(tmp_path)
    refusing = Tuner(tmp_path, ["model"], StandIn(refuses="Softmax"), {}, rows, timer())
    assert refusing.usual("fp32", variant, lambda what: None) == variant
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(variant.files)


def test_a_clear_winner_is_kept_and_reads_the_weights_that_are_there(tmp_path: Path) -> None:
    variant = tuned(tmp_path, attention(tmp_path), products=0.8)
    (tuning,) = variant.tunings
    assert tuning.form == "products" and variant.forms["products"].about == "attention is products"
    files = variant.forms["products"].graphs["model"]
    assert (files.file, files.external) == ("model.products.onnx", ("model.onnx_data",))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(variant.files)
    assert (tmp_path / "model.products.onnx").stat().st_size < (tmp_path / "model.onnx_data").stat().st_size
    assert set(tuning.times) == {DEFAULT_FORM, CONTROL, "products", "maskless"}
    (time,) = tuning.times["products"]
    assert (time.batch, time.sequence, time.over_default, time.low, time.high) == (1, 16, 0.8, 0.8, 0.8)


@pytest.mark.parametrize("shares", [{}, {"products": 0.98}, {"products": 1.5}, {"products": 0.5, CONTROL: 1.2}])
def test_without_a_clear_winner_the_default_form_stays_alone(tmp_path: Path, shares: dict[str, float]) -> None:
    variant = tuned(tmp_path, before := attention(tmp_path), **shares)
    assert (variant.forms, variant.tunings[0].form) == ({}, DEFAULT_FORM)
    assert variant.graphs == before.graphs
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx_data"]


def test_weights_inside_the_graph_are_moved_beside_it(tmp_path: Path) -> None:
    variant = tuned(tmp_path, attention(tmp_path, beside=False), products=0.8)
    external = {files.external for files in (variant.graphs["model"], variant.forms["products"].graphs["model"])}
    assert external == {("model.onnx_data",)}
    inputs = {"x": normal(1, 3, 32), "mask": np.ones((1, 3), np.int32), "extra": normal(1, 2, 3, 3)}
    results = []
    for form in (DEFAULT_FORM, "products"):
        session = Session({"model": tmp_path / variant.graphs_in(form)["model"].file})
        results.append(session.run(inputs)["y"])
    assert results[0] == pytest.approx(results[1], abs=1e-5)


def test_a_form_that_the_gate_refuses_makes_room_for_the_next(tmp_path: Path) -> None:
    gate = StandIn(refuses="Softmax")
    variant = tuned(tmp_path, attention(tmp_path), gate, products=0.5, maskless=0.8)
    assert variant.tunings[0].form == "maskless"
    assert variant.tunings[0].refused == {"products": "its answers are others"}
    assert len(gate.judged) == 2


@pytest.mark.parametrize(("cosine", "says"), [(0.99, "cosine"), (0.9992, "close")])
def test_a_form_is_held_to_the_thresholds_and_the_class_of_its_variant(
    tmp_path: Path, cosine: float, says: str
) -> None:
    limits = {"cosine, mean": 0.9991} if says == "cosine" else {"cosine, mean": 0.9}
    same = {"cosine, mean": 1.0, "largest score difference": 0.0}
    before = replace(attention(tmp_path), quality=replace(QUALITY, measures=same, measure_limits=limits))

    class Close(StandIn):
        def judge(self, session: Session, thresholds: Mapping[str, float]) -> Verdict:
            figures = {"cosine, mean": cosine, "largest score difference": 0.1}
            return Verdict(figures, ("cosine",) if cosine < thresholds["cosine, mean"] else ())

    chosen = Tuner(tmp_path, ["model"], Close(), {}, ROWS, timer(products=0.5))
    variant = chosen.tune("int8", before, lambda what: None)
    assert variant.tunings[0].form == DEFAULT_FORM and says in variant.tunings[0].refused["products"]


def test_forms_that_seem_faster_are_tried_together(tmp_path: Path) -> None:
    rows = (ROWS[0], Formulation("sum", "sums are sums", ("plain_attention",)))
    # The second finds nothing where the first was: together they are no other form.
    chosen = Tuner(tmp_path, ["model"], StandIn(), {}, rows, timer(products=0.8, sum=0.9))
    assert chosen.tune("fp32", attention(tmp_path), lambda what: None).tunings[0].form == "products"
    text = ATTENTION.replace("BIASES", "biases").replace("    y =", "    z =").replace("}", "    y = Gelu (z)\n}")
    (tmp_path / "both").mkdir()
    save(graph(text, **CONSTANTS), tmp_path / "both" / "model.onnx", inside_bytes=0)
    before = Variant({"model": GraphFiles("model.onnx", ("model.onnx_data",))}, 1)
    variant = tuned(tmp_path / "both", before, products=0.8, gelu=0.9, products_and_gelu=0.7)
    assert variant.tunings[0].form == "products+gelu"
    assert variant.forms["products+gelu"].about == "attention is products; another GELU"
    assert variant.forms["products+gelu"].graphs["model"].file == "model.products-gelu.onnx"
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == sorted(variant.files)


def test_what_only_seems_faster_counts_together_with_the_next(tmp_path: Path) -> None:
    """Alone neither is clearly faster than the default form; together they are."""
    text = ATTENTION.replace("BIASES", "biases").replace("    y =", "    z =").replace("}", "    y = Gelu (z)\n}")
    save(graph(text, **CONSTANTS), tmp_path / "model.onnx", inside_bytes=0)
    before = Variant({"model": GraphFiles("model.onnx", ("model.onnx_data",))}, 1)
    shares = {"products": 0.985, "gelu": 0.98, "gelu_and_products": 0.95}
    assert tuned(tmp_path, before, **shares).tunings[0].form == "gelu+products"


def test_luck_in_the_heat_decides_nothing(tmp_path: Path) -> None:
    """A form that a short look takes for much faster has to win again, in rounds of the final alone."""

    def times(gate: object, sessions: Mapping[str, Session], effort: Effort) -> Any:
        lucky = 0.5 if effort is HEAT else 1.0
        return {SHAPE: {name: [lucky if name == "products" else 1.0] * 15 for name in sessions}}

    variant = Tuner(tmp_path, ["model"], StandIn(), {}, ROWS, times).tune("fp32", attention(tmp_path), str)
    assert (variant.tunings[0].form, variant.forms) == (DEFAULT_FORM, {})
    assert variant.tunings[0].times["products"][0].over_default == 1.0


def test_every_form_is_timed_in_a_session_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default form too, both times, though it is open elsewhere; and threads do not spin in another's time."""
    files: list[tuple[str, bool]] = []

    def open_graph(path: Path, *arguments: Any, alternates: bool, **options: Any) -> Any:
        files.append((path.name, alternates))
        return opening(path, *arguments, alternates=alternates, **options)

    opening = engine_session.open_graph
    monkeypatch.setattr(engine_session, "open_graph", open_graph)

    def times(gate: StandIn, sessions: Mapping[str, Session], effort: Effort) -> Any:
        for run in gate.work(sessions).calls(*SHAPE).values():
            run()
        return {SHAPE: {name: [1.0] * 15 for name in sessions}}

    before = attention(tmp_path)
    Tuner(tmp_path, ["model"], StandIn(), {}, ROWS[:1], times).tune("fp32", before, str)  # type: ignore[arg-type]
    assert sorted(files) == [
        ("model.default.trial.onnx", True),
        ("model.products.trial.onnx", True),
        ("model.the-default-form-again.trial.onnx", True),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(before.files)


def test_what_takes_long_runs_fewer_times_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(turns.time, "perf_counter", lambda: next(clock))
    runs: list[int] = []
    work = Work(lambda batch, sequence: {DEFAULT_FORM: lambda: runs.append(1)}, [SHAPE])

    class Timed(StandIn):
        def work(self, sessions: Mapping[str, Session]) -> Work:
            return work

    rounds = time_in_turn(Timed(), {}, Effort((4, 4), 1000.0))[SHAPE]
    assert len(rounds[DEFAULT_FORM]) == 4
    assert len(runs) == 2 + 4  # one to see how long it takes, one to be warm, and one for each round


def test_each_machine_has_its_own_and_an_earlier_one_of_its_kind_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(feature: str) -> None:
        monkeypatch.setattr(tuning_module, "features", lambda: frozenset({feature}))

    on("avx2")
    variant = tuned(tmp_path, attention(tmp_path), products=0.8)
    on("avx512_vnni")
    variant = tuned(tmp_path, variant, maskless=0.7)
    assert {known.features: known.form for known in variant.tunings} == {
        ("avx2",): "products",
        ("avx512_vnni",): "maskless",
    }
    assert set(variant.forms) == {"products", "maskless"}
    on("avx2")
    variant = tuned(tmp_path, variant)
    assert [known.form for known in variant.tunings] == ["maskless", DEFAULT_FORM]
    assert set(variant.forms) == {"maskless"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(variant.files)


def test_a_form_for_a_device_that_is_here_is_judged_and_timed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Formulation("openvino", "plain products", ("plain_attention", "unpack_blocks"), device="openvino")
    devices: list[str] = []

    def session(*arguments: Any, device: str = "cpu", **options: Any) -> Session:
        devices.append(device)
        return Session(*arguments, **options)

    monkeypatch.setattr(tuning_module, "Session", session)
    monkeypatch.setattr(tuning_module, "is_here", lambda device: True)
    tuner = Tuner(tmp_path, ["model"], StandIn(), {}, (*ROWS, row), timer(openvino=0.1))
    variant = tuner.tune("fp32", attention(tmp_path), str)
    assert devices.count("openvino") == 2 and "openvino" in variant.tunings[0].times
    # A device is asked for: the form that runs on a processor is the fastest one there.
    assert variant.tunings[0].form == DEFAULT_FORM and variant.forms["openvino"].device == "openvino"


def test_a_form_for_another_device_is_judged_here_and_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_module, "is_here", lambda device: device == "cpu")
    row = Formulation("openvino", "plain products", ("plain_attention", "unpack_blocks"), device="openvino")
    tuner = Tuner(tmp_path, ["model"], gate := StandIn(), {}, (*ROWS, row), timer(openvino=0.1))
    variant = tuner.tune("fp32", attention(tmp_path), str)
    assert (variant.tunings[0].form, set(variant.forms)) == (DEFAULT_FORM, {"openvino"})
    assert variant.forms["openvino"].device == "openvino" and len(gate.judged) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(variant.files)
    refused = Tuner(tmp_path, ["model"], StandIn(refuses="Softmax"), {}, (row,), timer()).tune("fp32", variant, str)
    assert refused.tunings[0].refused == {"openvino": "its answers are others"} and not refused.forms


def test_an_error_leaves_no_graph_of_a_form_behind(tmp_path: Path) -> None:
    def broken(gate: object, sessions: object, effort: object) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tuner(tmp_path, ["model"], StandIn(), {}, ROWS, broken).tune("fp32", attention(tmp_path), lambda what: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx_data"]


def test_as_many_values_get_a_constant_range_as_the_gate_passes(tmp_path: Path) -> None:
    """Of two values with a range for each row one bears a constant one: where both have one, the gate refuses."""
    (path,) = save(graph(TWO_ROWS, **OF_INTEGERS), tmp_path / "model.onnx")
    before = Variant({"model": GraphFiles(path.name)}, 1)

    class Strict(StandIn):
        def verify(self, precision: str, session: Session) -> Quality:
            (file,) = session.graphs.values()
            if not any(node.op_type == "Div" for node in onnx_ir.load(str(file)).graph):
                raise VerificationFailed("too coarse")
            return QUALITY

        def work(self, sessions: Mapping[str, Session]) -> Work:
            runs = {name: partial(session.run, {"x": normal(1, 3, 32)}) for name, session in sessions.items()}
            return Work(lambda batch, sequence: runs, [SHAPE])

    row = Formulation("constants", "constant ranges", constants=True)
    variant = Tuner(tmp_path, ["model"], Strict(), {}, (row,), timer(constants=0.8)).tune("int8", before, str)
    assert variant.tunings[0].form == "constants"
    model = onnx_ir.load(tmp_path / variant.forms["constants"].graphs["model"].file)
    assert [node.op_type for node in model.graph].count("Div") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(variant.files)


def test_what_finds_something_only_between_constant_ranges_is_tried_with_them(tmp_path: Path) -> None:
    (path,) = save(graph(ROWS_OF_ATTENTION, **OF_INTEGERS, **OF_ATTENTION), tmp_path / "model.onnx")
    before = Variant({"model": GraphFiles(path.name)}, 1)

    class Plain(StandIn):
        def work(self, sessions: Mapping[str, Session]) -> Work:
            runs = {name: partial(session.run, {"x": normal(1, 3, 32)}) for name, session in sessions.items()}
            return Work(lambda batch, sequence: runs, [SHAPE])

    rows = (
        Formulation("constants", "constant ranges", constants=True),
        Formulation("joined", "one product", ("joined_attention",)),
    )
    variant = Tuner(tmp_path, ["model"], Plain(), {}, rows, timer(constants_and_joined=0.8)).tune("int8", before, str)
    assert set(variant.tunings[0].times) == {DEFAULT_FORM, CONTROL, "constants", "constants+joined"}
    assert variant.tunings[0].form == "constants+joined"
    model = onnx_ir.load(tmp_path / variant.forms["constants+joined"].graphs["model"].file)
    assert [node.op_type for node in model.graph] == ["QuantizeLinear", "Concat", "Concat", "QAttention"]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`told(products=0.5)`: what the tuner's clock will have said."""

    def say(**shares: float) -> None:
        monkeypatch.setattr(
            carrying_out, "Tuner", partial(Tuner, timer=timer(**{k.replace("_", "-"): v for k, v in shares.items()}))
        )

    return say


def test_a_variant_that_is_there_is_tuned_and_not_made_anew(
    store: Store, tmp_path: Path, told: Callable[..., None]
) -> None:
    plain = store.artifact(MODELS / "tiny-sentiment")
    told(attention_in_products=0.5)
    made = quantize(plain.folder, "fp32", tmp_path / "out", settings=Settings(tune=True))
    variant = made.manifest.variants["fp32"]
    (tuning,) = variant.tunings
    assert isinstance(tuning, Tuning) and tuning.form == "attention-in-products"
    assert variant.quality == plain.manifest.variants["fp32"].quality
    with onnxpress.pipeline(model=made) as pipe, onnxpress.pipeline(model=plain) as before:
        assert pipe.choice.form.form == "attention-in-products" and "same features" in pipe.choice.form.reason
        assert next(iter(pipe.session.graphs.values())).name == "model.attention-in-products.onnx"
        texts = ["It was wonderful.", "I would not watch it again, not even for money."]
        for ours, theirs in zip(pipe(texts), before(texts), strict=True):
            assert ours["label"] == theirs["label"] and ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
    told()
    again = quantize(made.folder, "fp32", settings=Settings(tune=True))
    assert again.manifest.variants["fp32"].tunings[0].form == DEFAULT_FORM
    assert not list(again.folder.rglob("*attention-in-products*"))
