"""What the gate of models that write text lets pass and what not, on answers that are written down here."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from onnxpress_exporter.errors import VerificationFailed
from onnxpress_exporter.gate import comparison
from onnxpress_exporter.gate.cases import Case
from onnxpress_exporter.gate.expectations import SURE, Judge
from onnxpress_exporter.gate.graphs import Graphs
from onnxpress_exporter.gate.lengths import USUAL_EXTENT, far_tokens
from onnxpress_exporter.gate.scores import WRITTEN, Expected, verify
from onnxpress_exporter.passes.fold_bias import fold_bias
from onnxpress_exporter.passes.weight_only import weight_only
from onnxpress_exporter.precisions.row import Blocks
from onnxpress_exporter.quantize.plan import block_weights
from onnxpress_exporter.quantize.thresholds import thresholds_of
from onnxpress_exporter.reference import TorchWriter
from tests.fixtures.graphs import graph, kinds, normal, run

VOCABULARY = 50
CASES = [Case(f"text {length}", tuple(range(1, length + 1))) for length in (1, 3, 7, 12, 20)]


class Table:
    """A language model of two tokens: what follows depends on the last one and the number of tokens, by a table."""

    name = "a table"

    def __init__(self, scores: np.ndarray, limit: int | None = None) -> None:
        self.scores = scores
        self.limit = limit

    def after(self, ids: Sequence[int]) -> np.ndarray:
        return (self.scores[ids[-1]] + 0.1 * (len(ids) % 3)).astype(np.float32)

    def logits(self, case: Case, last: int | None = None) -> np.ndarray:
        places = range(0 if last is None else len(case.ids) - last, len(case.ids))
        return np.stack([self.after(case.ids[: place + 1]) for place in places])

    def write(self, case: Case, count: int, beams: int = 1) -> list[int]:
        ids = list(case.ids)
        for _ in range(count):
            ids.append(int(self.after(ids).argmax()))
        return ids[len(case.ids) :]

    def step_logits(self, case: Case) -> np.ndarray | None:
        return None

    def start(self, rows: int, expected_tokens: int) -> Rows:
        return Rows(self, rows)


class Rows:
    """Its decoder."""

    limit = None

    def __init__(self, table: Table, rows: int) -> None:
        self.table, self.ids = table, [[] for _ in range(rows)]  # type: ignore[var-annotated]

    @property
    def lengths(self) -> list[int]:
        return [len(ids) for ids in self.ids]

    def prefill(self, row: int, ids: Sequence[int], keep: int = 1) -> np.ndarray:
        found = []
        for token in ids:
            self.ids[row].append(int(token))
            found.append(self.table.after(self.ids[row]))
        return np.stack(found[-keep:])

    def step(self, ids: np.ndarray) -> np.ndarray:
        return np.concatenate([self.prefill(row, [token]) for row, token in enumerate(ids.tolist())])

    def mark_prompt(self, row: int, tokens: int, owner: object = 0) -> None:
        """What was written is read as a prompt is."""

    def truncate(self, row: int, length: int) -> None:
        del self.ids[row][length:]

    def select(self, sources: Sequence[int]) -> None:
        self.ids = [list(self.ids[source]) for source in sources]

    def close(self) -> None:
        """Nothing is open."""


class Forgetful(Rows):
    """Does not take tokens back."""

    def truncate(self, row: int, length: int) -> None:
        """Keeps them."""


def _scores(seed: int = 0) -> np.ndarray:
    return normal(VOCABULARY, VOCABULARY, seed=seed) * 3


def _graphs(table: Table) -> Graphs:
    return Graphs(table, "graphs", None, ())  # type: ignore[arg-type]


def test_the_same_answers_pass() -> None:
    quality = verify("fp32", Expected(Table(_scores()), CASES), _graphs(Table(_scores())))
    assert (quality.max_error, quality.batch_error, quality.reference) == (0, 0, "a table")


def test_another_score_is_told_with_its_place() -> None:
    scores = _scores()
    scores[3, 7] += 0.1
    with pytest.raises(VerificationFailed, match=r"'text 3' read at once.*score of token 7 after position 2: expected"):
        verify("fp32", Expected(Table(_scores()), CASES), _graphs(Table(scores)))


def test_a_cache_that_forgets_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(_scores())
    monkeypatch.setattr(table, "start", lambda rows, expected: Forgetful(table, rows))
    with pytest.raises(VerificationFailed, match="read in pieces"):
        verify("fp32", Expected(Table(_scores()), CASES), _graphs(table))


class ForgetsFew(Rows):
    """Does not take tokens back from a row of more than 10."""

    def truncate(self, row: int, length: int) -> None:
        if length <= 10:
            super().truncate(row, length)


def test_of_a_large_model_only_short_texts_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(_scores())
    monkeypatch.setattr(table, "start", lambda rows, expected: ForgetsFew(table, rows))
    short = Expected(Table(_scores()), CASES, extent=replace(USUAL_EXTENT, in_pieces=10))
    assert verify("fp32", short, _graphs(table)).inputs == len(CASES)
    with pytest.raises(VerificationFailed, match="'text 20' read in pieces"):
        verify("fp32", Expected(Table(_scores()), CASES), _graphs(table))


class Approximate(Rows):
    """Gives a token alone, and one beside others, scores that are a little off."""

    alone = beside = 0.0

    def step(self, ids: np.ndarray) -> np.ndarray:
        return super().step(ids) * (1 + self.alone + self.beside * (len(ids) - 1))


@pytest.mark.parametrize(("alone", "beside"), [(1e-3, 0.0), (0.0, 1e-3)])
def test_a_batch_error_is_that_of_other_rows(monkeypatch: pytest.MonkeyPatch, alone: float, beside: float) -> None:
    table = Table(_scores())
    monkeypatch.setattr(Approximate, "alone", alone)
    monkeypatch.setattr(Approximate, "beside", beside)
    monkeypatch.setattr(table, "start", lambda rows, expected: Approximate(table, rows))
    quality = verify("q8", Expected(Table(_scores()), CASES), _graphs(table))
    assert quality.max_error > 1e-4, "either way scores are not the reference's"
    assert (quality.batch_error > 1e-4) == (beside > 0), "what a step alone costs is no dependence on other rows"
    with pytest.raises(VerificationFailed, match="read in pieces" if alone else "beside 1 others"):
        verify("fp32", Expected(Table(_scores()), CASES), _graphs(table))


@pytest.mark.parametrize(
    ("error", "apart", "passes"), [(1.5e-4, 1e-4, True), (3e-4, 1e-4, False), (1.5e-4, 0, False), (9e-4, 6e-4, False)]
)
def test_no_graph_is_nearer_to_a_reference_than_it_is_to_itself(error: float, apart: float, passes: bool) -> None:
    """Of a text that it reads in two ways with scores that differ; where they differ by more, it is no rounding."""
    scores, table = _scores(), Table(_scores())
    expected = Expected(table, CASES)
    scores[3, 7] += error * expected.range
    stepped = Table(_scores())
    stepped.scores[3, 7] += apart * expected.range
    table.step_logits = stepped.logits  # type: ignore[method-assign]
    if not passes:
        with pytest.raises(VerificationFailed, match="at most 1e-04 is allowed"):
            verify("fp32", expected, _graphs(Table(scores)))
        return
    quality = verify("fp32", expected, _graphs(Table(scores)))
    assert 1e-4 < error * 0.99 < quality.max_error <= quality.max_error_limit == pytest.approx(2 * apart, rel=1e-3)
    assert (
        quality.reference
        == "a table, whose answers to one input, read in its two ways, differ by 1.0e-04 of their range"
    )


class Windowed(Rows):
    """Forgets what it has read above a length."""

    def prefill(self, row: int, ids: Sequence[int], keep: int = 1) -> np.ndarray:
        scores = super().prefill(row, ids, keep)
        return scores[:, ::-1] if len(self.ids[row]) > 600 else scores


def test_an_error_near_the_models_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    far = Case("700 tokens", tuple(place % VOCABULARY for place in range(700)))
    expected, table = Expected(Table(_scores()), CASES, far), Table(_scores())
    assert verify("fp32", expected, _graphs(table)).inputs == len(CASES) + 1
    monkeypatch.setattr(table, "start", lambda rows, expected: Windowed(table, rows))
    with pytest.raises(VerificationFailed, match="'700 tokens', against the reference"):
        verify("fp32", expected, _graphs(table))


def test_near_ties_pass_and_others_do_not() -> None:
    scores = _scores()
    spread = float(scores.max() - scores.min())
    scores[:, 11] = scores.max(axis=1) + 1
    scores[:, 12] = scores[:, 11] - 1e-5 * spread
    turned = scores.copy()
    turned[:, [11, 12]] = scores[:, [12, 11]]
    quality = verify("fp32", Expected(Table(scores), CASES), _graphs(Table(turned)))
    assert 0 < quality.max_error < 2e-5


def test_another_token_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Expected(Table(_scores()), CASES)
    # The reference writes what its own scores do not say, as where `generate` and the graph differ beyond scores.
    monkeypatch.setattr(expected.reference, "write", lambda case, count, beams=1: [11] * count)
    with pytest.raises(VerificationFailed, match=r"'text 1', writing on: token 1 after 1: expected 11, obtained \d+"):
        verify("fp32", expected, _graphs(Table(_scores())))


def _trained() -> Table:
    """Knows that after i comes i + 1, nearly always."""
    scores = normal(VOCABULARY, VOCABULARY)
    scores[np.arange(VOCABULARY), (np.arange(VOCABULARY) + 1) % VOCABULARY] += 6
    return Table(scores)


def test_a_variant_is_judged_by_what_it_expects() -> None:
    judge = Judge(_trained(), CASES, writes=False)
    same = judge.measure(_trained(), thresholds_of("q8"))
    assert same.passed and same.figures["next-token agreement"] == 1
    assert same.figures["perplexity ratio"] == pytest.approx(1) and abs(same.figures["divergence"]) < 1e-9
    near = Table(_trained().scores + 0.4 * normal(VOCABULARY, VOCABULARY, seed=5))
    assert not judge.measure(near, thresholds_of("q8")).passed
    assert judge.measure(near, thresholds_of("q4")).passed
    other = judge.measure(Table(_scores(seed=9)), thresholds_of("q4"))
    assert len(other.missed) == 5 and "perplexity ratio" in "".join(other.missed)


def test_without_knowledge_only_scores_are_judged() -> None:
    random = Table(normal(VOCABULARY, VOCABULARY))
    verdict = Judge(random, CASES, writes=False).measure(random, thresholds_of("q4"))
    assert list(verdict.figures) == ["scores' correlation, untrained"]
    broken = Judge(random, CASES, writes=False).measure(
        Table(normal(VOCABULARY, VOCABULARY, seed=3)), thresholds_of("q4")
    )
    assert not broken.passed


def test_words_count_where_the_reference_is_sure_of_them() -> None:
    # From token 26 on it knows little: what follows is a guess, and any rounding makes another one.
    scores = _trained().scores
    scores[26:] = 0.5 * scores[26:]
    reference = Table(scores)
    sure, guessed = Case("sure", tuple(range(1, 2 + WRITTEN))), Case("guessed", tuple(range(26, 50)))
    chances = [reference.logits(case)[:-1].astype(np.float64) for case in (sure, guessed)]
    means = [
        np.mean([row[token] - np.log(np.exp(row).sum()) for row, token in zip(rows, case.ids[1:], strict=True)])
        for rows, case in zip(chances, (sure, guessed), strict=True)
    ]
    assert means[0] > SURE > means[1]

    class Other(Table):
        """Writes what it likes after some token."""

        def __init__(self, after: int) -> None:
            super().__init__(scores)
            self.after_token = after

        def write(self, case: Case, count: int, beams: int = 1) -> list[int]:
            written = super().write(case, count, beams)
            return written[::-1] if case.ids[0] == self.after_token else written

    def words(ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    judge = Judge(reference, [sure, guessed], writes=True, read=words)
    assert judge.measure(Other(guessed.ids[0]), thresholds_of("int8")).passed
    assert "word error" in "".join(judge.measure(Other(sure.ids[0]), thresholds_of("int8")).missed)
    unsure = Judge(reference, [guessed], writes=True, read=words).measure(Other(guessed.ids[0]), thresholds_of("int8"))
    assert "word error" not in unsure.figures and "next-token agreement" in unsure.figures


@pytest.mark.parametrize(
    ("total", "left"), [("Add(bias, product)", []), ("Sum(x, product, bias)", ["Sum"]), ("Sum(product, bias)", [])]
)
def test_a_bias_moves_into_the_product(total: str, left: list[str]) -> None:
    model = graph(
        f"""agraph (float[batch, sequence, 64] x) => (float[batch, sequence, 64] y) {{
            product = MatMul(x, weights)
            y = {total}
        }}""",
        weights=normal(64, 64),
        bias=normal(64, seed=2),
    )
    x = normal(2, 3, 64, seed=3)
    weight_only(model, {"product": block_weights(normal(64, 64), None, Blocks(8, 32, True))})
    before = run(model, x=x)
    assert fold_bias(model) == 1 and kinds(model) == ["MatMulNBits", *left]
    np.testing.assert_allclose(run(model, x=x), before, atol=1e-5)


@pytest.mark.parametrize(
    ("limit", "weights", "vocabulary", "tokens"),
    [
        (512, 10**8, 1, None),
        (4096, 10**8, 1, 4096),
        (None, 10**8, 1, 1024),
        (131_072, 10**8, 1, 4096),
        (8192, 5 * 10**8, 1, 2000),
        (32_768, 5 * 10**8, 151_936, 1684),
        (8192, 7 * 10**9, 32_000, None),
    ],
)
def test_how_long_the_longest_input_is(limit: int | None, weights: int, vocabulary: int, tokens: int | None) -> None:
    assert far_tokens(limit, weights, vocabulary) == tokens


def test_the_reference_is_let_go_of_before_variants_are_judged() -> None:
    reference = Table(_scores())
    held = weakref.ref(reference)
    expected = Expected(reference, CASES)
    del reference
    expected.forget_reference()
    gc.collect()
    assert held() is None
    assert verify("q8", expected, _graphs(Table(_scores()))).reference == "a table"


@pytest.mark.parametrize("last", [None, 1, 64, 70, 150])
def test_scores_of_the_last_tokens_are_those_of_all(last: int | None) -> None:
    case, table = Case("150 tokens", tuple(place % VOCABULARY for place in range(150))), Table(_scores())
    np.testing.assert_array_equal(_graphs(table).logits(case, last), table.logits(case)[-(last or 150) :])


@pytest.mark.parametrize("at", [0, 2, 6])
def test_errors_are_found_in_every_part_that_is_compared(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr(comparison, "NUMBERS_AT_ONCE", 3)
    expected, obtained = np.zeros((7, 1), np.float32), np.zeros((7, 1), np.float32)
    obtained[at] = -2
    assert comparison.largest_error({"y": obtained}, {"y": expected}, {"y": 4.0}) == (0.5, "y")
    obtained[at] = np.nan
    assert comparison.largest_error({"y": obtained}, {"y": expected}, {"y": 4.0}) == (float("inf"), "y")
    assert comparison.largest_error({"y": expected[:0]}, {"y": expected[:0]}, {"y": 1.0}) == (0.0, "y")


@pytest.mark.parametrize(("ends", "pad"), [([], 0), ([5, 6], 5), (7, 7), (None, 0)])
def test_a_reference_pads_with_an_end_where_there_is_one(ends: object, pad: int) -> None:
    defaults = SimpleNamespace(eos_token_id=ends)
    model = SimpleNamespace(generation_config=defaults)
    with TorchWriter(model)._plainly() as tokens:
        assert tokens["pad_token_id"] == pad
        assert model.generation_config is not defaults
    assert model.generation_config is defaults
