"""The graphs of a variant's forms in their folder: written on trial, kept as their formulations say, and removed.

They read the files of the variant's weights. Knows no session and no times.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir

from onnxpress.engine.providers import CPU
from onnxpress.errors import OnnxpressError
from onnxpress.format.manifest import GraphFiles, Variant, VariantForm
from onnxpress_exporter.passes import apply_passes
from onnxpress_exporter.passes.constant_ranges import constant_ranges
from onnxpress_exporter.passes.integer_products import Range
from onnxpress_exporter.passes.long_attention import long_attention
from onnxpress_exporter.passes.whole_attention import whole_attention
from onnxpress_exporter.tuning.constants import Ranges
from onnxpress_exporter.tuning.formulations import Formulation
from onnxpress_exporter.write import describe
from onnxpress_exporter.write.save import save, save_beside

#: How the graphs of forms end that are on trial.
_TRIAL = ".trial.onnx"

#: Graphs of one form, by name.
Graphs = Mapping[str, GraphFiles]


@dataclass(frozen=True, slots=True)
class WrittenForms:
    """Writes the forms of the variants of one artifact.

    Attributes:
        folder: where the artifact is made.
        rewritable: the names of the graphs that may be rewritten.
        formulations: what forms are made by.
    """

    folder: Path
    rewritable: Collection[str]
    formulations: Sequence[Formulation]

    def add(
        self,
        rows: Sequence[Formulation],
        variant: Variant,
        constants: Ranges,
        written: dict[str, Graphs],
        refused: dict[str, str],
    ) -> str:
        """Write the graphs of a form, if anything in them is other than in the default form; its name, which has those
        of the rows that found something to rewrite."""
        name = "+".join(row.name for row in rows)
        try:
            models, applied = self.rewritten(rows, variant, constants)
            name = "+".join(row.name for row in applied)
            if applied and name not in written:
                written[name] = self.save(name, models, variant)
        except OnnxpressError as error:
            refused[name] = str(error)
        return name

    def rewritten(
        self, rows: Sequence[Formulation], variant: Variant, constants: Ranges
    ) -> tuple[dict[str, onnx_ir.Model], list[Formulation]]:
        """The graphs that some of the rows rewrite, and those rows, in order."""
        models: dict[str, onnx_ir.Model] = {}
        applied: list[Formulation] = []
        graphs = self.models(variant)
        reads_long = {graph for graph, model in graphs.items() if whole_attention(model)}
        for row in rows:
            changed = {graph for graph, model in graphs.items() if self._rewrite(row, model, constants.get(graph, {}))}
            models |= {graph: graphs[graph] for graph in changed}
            applied += [row] if changed else []
        if all(row.device == CPU.family for row in applied):
            for graph in reads_long & models.keys():
                long_attention(models[graph])
        return models, applied

    def models(self, variant: Variant) -> dict[str, onnx_ir.Model]:
        """The graphs of the default form that may be rewritten, as they lie there."""
        return {
            graph: onnx_ir.load(self.folder / files.file)
            for graph, files in variant.graphs.items()
            if graph in self.rewritable
        }

    def _rewrite(self, row: Formulation, model: onnx_ir.Model, constants: Mapping[str, Range]) -> bool:
        """Whether a row's constant ranges or its passes find something."""
        changed = constant_ranges(model, constants) if row.constants else 0
        return bool(changed + sum(apply_passes(model, row.passes).values()))

    def save(self, name: str, models: Mapping[str, onnx_ir.Model], variant: Variant) -> Graphs:
        """Write the graphs of a form, on trial: one of the same name may be there from another machine."""
        graphs = {}
        for graph, model in models.items():
            path = self.folder / variant.graphs[graph].file
            target = path.with_name(f"{path.stem}.{name.replace('+', '-').replace(' ', '-')}{_TRIAL}")
            graphs[graph] = describe.graph_files(model, save_beside(model, target), self.folder)
        return graphs

    def as_kept(self, name: str, form: VariantForm) -> VariantForm:
        """A form whose graphs were written on trial, with them where and as they stay."""
        rows = {row.name: row for row in self.formulations}
        passes = [rewrite for part in name.split("+") for rewrite in rows[part].finish]
        return replace(form, graphs={graph: self._kept(files, passes) for graph, files in form.graphs.items()})

    def _kept(self, files: GraphFiles, passes: Sequence[str]) -> GraphFiles:
        trial = self.folder / files.file
        name = files.file.removesuffix(_TRIAL) + ".onnx"
        if passes:
            model = onnx_ir.load(trial)
            apply_passes(model, passes)
            save_beside(model, self.folder / name)
            trial.unlink()
        else:
            trial.replace(self.folder / name)
        return replace(files, file=name)

    def sharing(self, variant: Variant, name: str, graphs: Graphs, constants: Ranges) -> tuple[Variant, Graphs]:
        """Move weights that lie inside the default form's graphs beside them, so that this form reads the same."""
        defaults, forms = dict(variant.graphs), dict(graphs)
        by_name = {row.name: row for row in self.formulations}
        for graph in graphs:
            if not defaults[graph].external:
                path = self.folder / defaults[graph].file
                model = onnx_ir.load(path)
                defaults[graph] = describe.graph_files(model, save(model, path, inside_bytes=0), self.folder)
        variant = replace(variant, graphs=defaults)
        if any(not files.external for files in graphs.values()):
            models, _ = self.rewritten([by_name[part] for part in name.split("+")], variant, constants)
            forms = dict(self.save(name, models, variant))
        return variant, forms

    def remove(self, forms: Mapping[str, Graphs], variant: Variant) -> None:
        """Delete the graphs of forms that the variant does not have."""
        for file in {files.file for graphs in forms.values() for files in graphs.values()} - variant.files:
            (self.folder / file).unlink(missing_ok=True)
