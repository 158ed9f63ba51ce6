"""Which form of a variant runs where, and that the reason tells it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from onnxpress.cli.inspection import describe
from onnxpress.engine.choice import choose
from onnxpress.engine.forms import choose_form
from onnxpress.engine.machine import features, usable_cores
from onnxpress.errors import InvalidManifest
from onnxpress.format.contents import narrowed, variant_files
from onnxpress.format.manifest import (
    FileInfo,
    FormTime,
    GraphFiles,
    Manifest,
    Tuning,
    Variant,
    VariantForm,
    dump,
    parse,
)
from onnxpress.format.variants import CONTROL, UsualPlace
from tests.fixtures.manifests import manifest

AVX2 = ("avx2",)
VNNI = ("avx2", "avx512", "avx512_vnni")
FORM = VariantForm("products are unpacked", {"model": GraphFiles("onnx/model.unpacked.onnx", ())})


def tuned(*tunings: Tuning, forms: tuple[str, ...] = ("unpacked",)) -> Variant:
    return replace(manifest().variants["fp32"], forms=dict.fromkeys(forms, FORM), tunings=tunings)


def tuning(form: str, features: tuple[str, ...] = AVX2, cores: int = 2, machine: str = "A processor") -> Tuning:
    times = {form: (FormTime(1, 16, 1.0, 0.9, 0.8, 0.78, 0.82), FormTime(8, 64, 9.0, 8.0, 0.9, None, None))}
    return Tuning(machine, features, cores, form, times, {"other": "cosine, mean 0.9 instead of 0.999"})


def with_graphs(**graphs: GraphFiles) -> Variant:
    return replace(tuned(), forms={"other": replace(FORM, graphs=graphs)})


def with_form(variant: Variant) -> Manifest:
    whole = manifest()
    files = {**whole.files, "onnx/model.unpacked.onnx": FileInfo(5, "1" * 64)}
    return replace(whole, variants={"fp32": variant}, files=files)


def test_what_was_tuned_on_the_same_features_runs() -> None:
    choice = choose_form(tuned(tuning("unpacked")), has=frozenset(AVX2), cores=2)
    assert choice.form == "unpacked"
    assert choice.reason == "products are unpacked; tuned on A processor (2 cores), same features"


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        (manifest().variants["fp32"], "it was never tuned"),
        (tuned(tuning("unpacked", VNNI)), "not tuned on such a processor"),
        (
            tuned(tuning("default", cores=1)),
            "tuned on A processor (1 core), same features: no other form was clearly faster",
        ),
    ],
)
def test_elsewhere_the_default_form_runs(variant: Variant, reason: str) -> None:
    choice = choose_form(variant, has=frozenset(AVX2), cores=2)
    assert (choice.form, choice.reason) == ("default", reason)


@pytest.mark.parametrize(("low", "high"), [(None, None), (0.8, 1.1)])
def test_of_a_busy_machine_it_says_so(low: float | None, high: float | None) -> None:
    """Where the default form differs from itself, nothing was found out, which is not that nothing is faster."""
    unsure = replace(tuning("default"), times={CONTROL: (FormTime(1, 16, 1.0, 0.9, 1.0, low, high),)})
    choice = choose_form(tuned(unsure), has=frozenset(AVX2), cores=2)
    assert choice.form == "default" and choice.reason.endswith(
        "too busy to tell: tune it again with nothing else running"
    )


def test_of_machines_alike_the_one_with_as_many_cores_counts_else_the_last() -> None:
    variant = tuned(tuning("a", cores=2), tuning("b", cores=8), tuning("c", cores=4), forms=("a", "b", "c"))
    assert [choose_form(variant, has=frozenset(AVX2), cores=cores).form for cores in (2, 8, 64)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("cores", "version", "form"),
    [(1, "1.23", "few"), (2, "1.23.1", "few"), (3, "1.23", "default"), (2, "9.0", "default")],
)
def test_where_nobody_tuned_a_usual_form_runs_on_few_cores(cores: int, version: str, form: str) -> None:
    few = replace(FORM, usual=UsualPlace(2, version))
    variant = replace(tuned(), forms={"other": FORM, "few": few})
    choice = choose_form(variant, has=frozenset(AVX2), cores=cores)
    assert choice.form == form and "it was never tuned" in choice.reason
    assert choose_form(variant, "cuda", frozenset(AVX2), cores).form == "default"
    # What was measured there counts more; what was measured elsewhere does not.
    measured = replace(variant, tunings=(tuning("default", cores=cores),))
    assert choose_form(measured, has=frozenset(AVX2), cores=cores).form == "default"
    assert choose_form(measured, has=frozenset(VNNI), cores=cores).form == form


def test_where_a_form_is_usual_is_written_only_of_those_that_are() -> None:
    whole = with_form(replace(tuned(), forms={"other": FORM, "few": replace(FORM, usual=UsualPlace(2, "1.31"))}))
    assert parse(dump(whole)) == whole
    assert ["usual" in form for form in json.loads(dump(whole))["variants"]["fp32"]["forms"].values()] == [False, True]


def test_processors_tell_nothing_of_other_devices() -> None:
    assert choose_form(tuned(tuning("unpacked")), "cuda", frozenset(AVX2)).form == "default"
    made_for = replace(tuned(), forms={"qdq": replace(FORM, device="cuda")})
    assert [choose_form(made_for, family, frozenset(AVX2)).form for family in ("cpu", "cuda")] == ["default", "qdq"]


def test_a_choice_has_a_form() -> None:
    whole = with_form(tuned(tuning("unpacked")))
    assert (
        choose(whole, has=frozenset(AVX2)).form.form
        == choose(whole, "fp32", has=frozenset(AVX2)).form.form
        == "unpacked"
    )
    assert choose(whole, "fp32", has=frozenset(VNNI)).form.form == "default"


def test_through_openvino_runs_what_is_made_for_processors_in_its_form() -> None:
    variant = tuned(tuning("unpacked"))
    whole = with_form(replace(variant, forms={**variant.forms, "qdq": replace(FORM, device="openvino")}))
    choice = choose(whole, device="openvino", has=frozenset(AVX2))
    assert choice.form.form == "qdq" and choice.form.reason == "it is made for openvino: products are unpacked"
    assert choice.reason.endswith("unverified on a processor through OpenVINO")
    assert choose(whole, has=frozenset(AVX2)).form.form == "unpacked"


@pytest.mark.parametrize(("shapes", "told"), [((0.5, 0.72), True), ((0.5, 0.85), False), ((), False)])
def test_a_device_that_was_faster_at_every_shape_is_told_and_not_chosen(shapes: tuple[float, ...], told: bool) -> None:
    measured = tuning("unpacked")  # which takes 0.8 and 0.9 of the default form's time
    theirs = tuple(FormTime(1, 16, 1.0, 1.0, ratio, None, None) for ratio in shapes)
    variant = tuned(replace(measured, times={**measured.times, "qdq": theirs}))
    variant = replace(variant, forms={**variant.forms, "qdq": replace(FORM, device="openvino")})
    choice = choose_form(variant, has=frozenset(AVX2), cores=2)
    assert choice.form == "unpacked"
    assert ('device="openvino" took 0.71 of its time there' in choice.reason) is told


def test_inspect_says_which_form_runs_here_and_why() -> None:
    here = tuple(sorted(features()))
    text = " ".join(describe(with_form(tuned(tuning("unpacked", here, usable_cores())))).split())
    assert f"fp32, form here: unpacked (products are unpacked; tuned on A processor ({usable_cores()} core" in text
    assert "unpacked there takes of the default form's time 0.80 (0.78 to 0.82) at 1x16" in text
    assert "0.90 (too few rounds to be sure) at 8x64" in text
    assert "other there: cosine, mean 0.9 instead of 0.999" in text
    elsewhere = describe(with_form(tuned(tuning("unpacked", ("sve",)))))
    assert "fp32, form here: default (not tuned on such a processor)" in elsewhere
    assert "form" not in describe(manifest()).replace("format", "").replace("transformers", "").replace("performed", "")


def test_a_manifest_with_forms_is_read_back_and_one_without_does_not_name_them() -> None:
    whole = with_form(tuned(tuning("unpacked")))
    assert parse(dump(whole)) == whole
    assert "forms" not in dump(manifest()) and "tunings" not in dump(manifest())


def test_the_files_of_forms_belong_to_their_variant() -> None:
    whole = with_form(tuned(tuning("unpacked")))
    assert variant_files(whole, "fp32") == {"onnx/model.onnx", "onnx/model.unpacked.onnx"}
    copy = parse(narrowed(dump(whole).encode(), whole, ["fp32"]))
    assert copy == whole


@pytest.mark.parametrize(
    ("variant", "says"),
    [
        (tuned(tuning("missing")), "no form 'missing'"),
        (replace(tuned(), forms={"default": FORM}), "not another form"),
        (with_graphs(nowhere=FORM.graphs["model"]), "not another form"),
        (with_graphs(model=GraphFiles("x.onnx")), "not listed in files"),
    ],
)
def test_forms_that_contradict_the_rest_are_refused(variant: Variant, says: str) -> None:
    with pytest.raises(InvalidManifest, match=says):
        parse(dump(with_form(variant)))


def test_a_reader_that_knows_no_forms_would_be_told() -> None:
    """The field is in the variant: readers of earlier versions refuse what they do not know, instead of ignoring it."""
    value: dict[str, Any] = json.loads(dump(with_form(tuned(tuning("unpacked")))))
    assert set(value["variants"]["fp32"]) >= {"forms", "tunings"}
