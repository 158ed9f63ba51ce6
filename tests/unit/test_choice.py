"""Which variant runs where, and that the reason tells it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.engine.choice import choose, suits, usual_time
from onnxpress.engine.machine import features, processor_name
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GenerationSettings, Manifest, Speed, Timing, Variant
from onnxpress.format.precisions import PRECISIONS, UsualTime
from tests.fixtures.manifests import manifest

AVX2 = frozenset({"avx2"})
INT8_TARGETS = ("cpu:avx2", "cpu:dotprod")
PROCESSOR = "some processor"


def variant(targets: tuple[str, ...], over_fp32: float | None = None) -> Variant:
    speed = None
    if over_fp32 is not None:
        speed = Speed(PROCESSOR, 2, (Timing(1, 16, over_fp32, None, 1.0), Timing(1, 128, over_fp32, None, 1.0)))
    return Variant({}, 1, targets=targets, speed=speed)


def with_variants(**variants: Variant) -> Manifest:
    return replace(manifest(), variants=variants)


def test_the_fastest_that_was_measured_wins() -> None:
    found = with_variants(fp32=variant(("cpu",)), int8=variant(INT8_TARGETS, 0.5), q8=variant(("cpu",), 0.4))
    choice = choose(found, has=AVX2, processor=PROCESSOR)
    assert choice.precision == "q8"
    assert "0.40" in choice.reason and "some processor" in choice.reason


def test_a_variant_that_was_slower_where_it_was_measured_is_not_taken() -> None:
    found = with_variants(fp32=variant(("cpu",)), int8=variant(INT8_TARGETS, 1.3))
    choice = choose(found, has=AVX2, processor=PROCESSOR)
    assert choice.precision == "fp32"
    assert "int8, the next, takes 1.30 of fp32's time" in choice.reason


def test_without_figures_what_is_usual_decides() -> None:
    found = with_variants(fp32=variant(("cpu",)), int8=variant(INT8_TARGETS), q4=variant(("cpu",)))
    choice = choose(found, has=AVX2)
    assert choice.precision == "int8" and "not measured" in choice.reason


def test_int8_needs_a_processor_with_integer_products() -> None:
    found = with_variants(fp32=variant(("cpu",)), int8=variant(INT8_TARGETS, 0.5))
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


def test_times_of_another_processor_are_not_trusted() -> None:
    measured = with_variants(fp32=variant(("cpu",)), int8=variant(INT8_TARGETS, 1.3))
    choice = choose(measured, has=AVX2, processor="another processor")
    assert choice.precision == "int8"
    assert choice.reason.endswith(
        "0.65 of fp32's time, as is usual; measured only on another processor, some processor"
    )


def test_a_machine_knows_itself() -> None:
    speed = Speed(processor_name(), 2, (Timing(1, 16, 0.25, None, 1.0),))
    measured = with_variants(fp32=variant(("cpu",)), q4=replace(variant(("cpu",)), speed=speed))
    assert choose(measured).reason == f"the fastest of fp32, q4: 0.25 of fp32's time, measured on {processor_name()}"


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
        ("flags : avx2 avx512f avx512_vnni\n", {"avx2", "avx512_vnni"}),
        ("flags : avx2 avx_vnni\n", {"avx2", "avx_vnni"}),
        ("Features\t: fp asimd asimddp i8mm\n", {"dotprod", "i8mm"}),
        ("flags : sse4_2\n", set()),
    ],
)
def test_features_as_linux_tells_them(tmp_path: Path, text: str, expected: set[str]) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert features(path) == expected


def test_features_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert len(features(tmp_path / "none")) <= 1
