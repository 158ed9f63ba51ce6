"""Which variant runs where, and that the reason tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.engine.choice import choose, suits, unmeasured, usual_time
from onnxpress.engine.machine import features
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GenerationSettings, Manifest, Quality, Speed, Timing, Variant
from onnxpress.format.precisions import PRECISIONS, UsualTime
from tests.fixtures.manifests import manifest

AVX2 = frozenset({"avx2"})
VNNI = frozenset({"avx2", "avx512", "avx512_vnni"})
INT8_TARGETS = ("cpu:avx2", "cpu:dotprod")
PROCESSOR = "some processor"

#: Figures of a classifier whose answers are the same, and of one whose answers are close.
SAME = {"label agreement": 1.0, "largest score difference": 0.01}
CLOSE = {"label agreement": 0.97, "largest score difference": 0.2}


def variant(
    targets: tuple[str, ...] = ("cpu",),
    over_fp32: float | None = None,
    figures: Mapping[str, float] = MappingProxyType(SAME),
    features: tuple[str, ...] | None = ("avx2",),
    size: int = 1,
    error: float = 0.01,
) -> Variant:
    speed = None
    if over_fp32 is not None:
        timings = (Timing(1, 16, over_fp32, None, 1.0), Timing(1, 128, over_fp32, None, 1.0))
        speed = Speed(PROCESSOR, 2, timings, features)
    quality = Quality("PyTorch", 1, 1, error, 1.0, 0.0, 1.0, figures)
    return Variant({}, size, targets=targets, speed=speed, quality=quality)


def with_variants(**variants: Variant) -> Manifest:
    return replace(manifest(), variants=variants)


def chosen(found: Manifest, precision: str | None = None, has: frozenset[str] = AVX2, **options: Any) -> str:
    return choose(found, precision, has=has, processor="another processor", **options).precision


def test_the_fastest_of_the_same_answers_that_was_measured_on_such_a_processor() -> None:
    found = with_variants(fp32=variant(), int8=variant(INT8_TARGETS, 0.5), q8=variant(over_fp32=0.4))
    choice = choose(found, has=AVX2, processor="another processor")
    assert choice.precision == "q8"
    assert choice.reason == "the same answers in 0.40 of fp32's time, measured on some processor"


def test_answers_that_are_only_close_run_where_they_are_asked_for() -> None:
    found = with_variants(fp32=variant(), q4=variant(over_fp32=0.2, figures=CLOSE))
    assert choose(found, has=AVX2).reason == "the most exact; the answers of q4 are close, not the same"
    assert [chosen(found), chosen(found, "fastest"), chosen(found, "q4")] == ["fp32", "q4", "q4"]


def test_a_variant_that_nobody_judged_is_close() -> None:
    unjudged = replace(variant(over_fp32=0.2), quality=None)
    assert chosen(with_variants(fp32=variant(), q8=unjudged)) == "fp32"


def test_a_variant_that_was_slower_where_it_was_measured_is_not_taken() -> None:
    found = with_variants(fp32=variant(), int8=variant(INT8_TARGETS, 1.3))
    assert choose(found, has=AVX2).reason == "the most exact; int8 takes 1.30 of its time, measured on some processor"
    assert "int8, the next, takes 1.30 of fp32's time" in choose(found, "fastest", has=AVX2).reason


def test_a_gain_within_what_measurements_differ_by_is_none() -> None:
    """In both: what the artifact says, and what was timed on this machine."""
    for ratio, taken in ((0.94, "q8"), (0.97, "fp32"), (0.999, "fp32")):
        found = with_variants(fp32=variant(), q8=variant(over_fp32=ratio))
        assert chosen(found) == taken
        assert chosen(with_variants(fp32=variant(), q8=variant()), measured={"q8": ratio}) == taken
    choice = choose(with_variants(fp32=variant(), q8=variant(over_fp32=0.97)), has=AVX2)
    assert choice.reason.startswith("the most exact; q8 takes 0.97 of its time, which is not surely less, measured on")


def test_what_was_measured_on_other_features_decides_nothing() -> None:
    found = with_variants(fp32=variant(), q8=variant(over_fp32=0.4))
    assert [chosen(found, has=has) for has in (AVX2, VNNI, frozenset())] == ["q8", "fp32", "fp32"]
    assert choose(found, has=VNNI).reason == "the most exact; q8 was not measured on a processor like this one"


def test_an_older_artifact_tells_processors_by_their_name() -> None:
    found = with_variants(fp32=variant(), q8=variant(over_fp32=0.4, features=None))
    assert choose(found, has=VNNI, processor=PROCESSOR).precision == "q8"
    assert choose(found, has=VNNI, processor="another processor").precision == "fp32"


def test_what_was_timed_here_counts_more_than_what_the_artifact_says() -> None:
    found = with_variants(fp32=variant(), int8=variant(INT8_TARGETS, 0.5), q8=variant())
    assert chosen(found, measured={"int8": 1.2, "q8": 0.9}) == "q8"
    assert choose(found, has=AVX2, measured={"q8": 0.1}).reason.endswith(
        "0.10 of fp32's time, measured on this machine"
    )


def test_without_figures_what_is_usual_decides_what_is_fastest() -> None:
    found = with_variants(fp32=variant(), int8=variant(INT8_TARGETS), q4=variant())
    choice = choose(found, "fastest", has=AVX2)
    assert choice.precision == "int8" and "not measured" in choice.reason
    assert chosen(found) == "fp32"


def test_who_runs_what_was_never_verified_there_is_told() -> None:
    half = replace(variant(("cuda",)), unverified_on=("cuda",))
    found = with_variants(fp32=variant(), fp16=half, q4f16=variant(("cuda",), error=0.5))
    assert choose(found, device="cuda:0", has=AVX2).reason.endswith("; unverified on a GPU")
    assert choose(found, "fp16", "cuda:1").reason == "it was asked for; unverified on a GPU"
    assert choose(found, "fp32", "cuda:1").reason == "it was asked for; unverified on a GPU"
    assert choose(found, "q4f16", "cuda:1").reason == "it was asked for"
    assert choose(found, "fp16").reason == "it was asked for"


def test_the_smallest_and_the_most_exact() -> None:
    found = with_variants(
        int8=variant(INT8_TARGETS, 0.5, size=3), q8=variant(size=5, error=0.001), q4=variant(size=2, figures=CLOSE)
    )
    assert [chosen(found, name) for name in ("smallest", "exact")] == ["q4", "q8"]
    assert chosen(replace(found, variants={**found.variants, "fp32": variant(size=9, error=0.1)}), "exact") == "fp32"
    # Without fp32 the most exact one is what runs where nothing faster was measured.
    assert chosen(found, has=frozenset()) == "q8"


def test_the_choice_is_made_among_those_that_suit() -> None:
    found = with_variants(fp32=variant(size=9), fp16=variant(("cuda",), size=1))
    assert [chosen(found, name) for name in (None, "fastest", "smallest", "exact")] == ["fp32"] * 4
    assert chosen(found, "smallest", device="cuda:0") == "fp16"


def test_int8_needs_a_processor_with_integer_products() -> None:
    found = with_variants(fp32=variant(), int8=variant(INT8_TARGETS, 0.5, features=("dotprod",)))
    assert choose(found, has=frozenset()).precision == "fp32"
    assert choose(found, has=frozenset({"dotprod"})).precision == "int8"


def test_what_is_asked_for_is_taken_whatever_the_machine() -> None:
    found = with_variants(fp32=variant(("cpu",)), fp16=variant(("cuda",)))
    assert choose(found, "fp16", has=AVX2).precision == "fp16"
    with pytest.raises(UnsupportedFormat, match="no int8 variant"):
        choose(found, "int8", has=AVX2)


def test_a_device_without_a_variant() -> None:
    found = with_variants(fp32=variant(("cpu",)))
    with pytest.raises(UnsupportedFormat, match="cuda"):
        choose(found, device="cuda:0", has=AVX2)


@given(st.sets(st.sampled_from(sorted(PRECISIONS)), min_size=1), st.sets(st.sampled_from(["avx2", "avx_vnni"])))
def test_a_choice_always_suits(names: set[str], has: set[str]) -> None:
    found = with_variants(**{name: variant(INT8_TARGETS if name == "int8" else ("cpu",)) for name in sorted(names)})
    have = frozenset(has)
    if not any(suits(one, "cpu", have) for one in found.variants.values()):
        with pytest.raises(UnsupportedFormat):
            choose(found, has=have)
        return
    assert suits(found.variants[choose(found, has=have).precision], "cpu", have)


def test_a_machine_knows_itself() -> None:
    speed = Speed("any name", 2, (Timing(1, 16, 0.25, None, 1.0),), tuple(features()))
    measured = with_variants(fp32=variant(), q4=replace(variant(), speed=speed))
    assert choose(measured).reason == "the same answers in 0.25 of fp32's time, measured on any name"


def test_what_nobody_measured_here() -> None:
    here = tuple(features())
    found = with_variants(
        fp32=variant(),
        int8=replace(variant(), targets=("cuda",)),
        q8=variant(over_fp32=0.5, features=here),
        q4=variant(figures=CLOSE),
    )
    assert unmeasured(found, "cpu") == {}
    assert list(unmeasured(with_variants(**found.variants, q4f16=variant()), "cpu")) == ["fp32", "q4f16"]


def test_what_is_usual_depends_on_what_the_graphs_do() -> None:
    times = UsualTime(1.0, 2.0, 3.0)
    reads = manifest()
    graph = reads.graphs["model"]
    rewrites = replace(reads, generation=GenerationSettings("shared", None))
    writes = replace(rewrites, graphs={"model": replace(graph, role="decoder")})
    assert [graph.role for graph in reads.graphs.values()] == ["encoder"]
    assert [usual_time(one)(times) for one in (reads, writes, rewrites)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu avx avx2 fma\n", {"avx2"}),
        ("flags : avx2 avx512f avx512_vnni amx_tile\n", {"avx2", "avx512", "avx512_vnni", "amx"}),
        ("flags : avx2 avx_vnni\n", {"avx2", "avx_vnni"}),
        ("Features\t: fp asimd asimddp i8mm\n", {"neon", "dotprod", "i8mm"}),
        ("flags : sse4_2\n", set()),
    ],
)
def test_features_as_linux_tells_them(tmp_path: Path, text: str, expected: set[str]) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert features(path) == expected


def test_features_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert features(tmp_path / "none") <= {"avx2", "neon", "dotprod"}
