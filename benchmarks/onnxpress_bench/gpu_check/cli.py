"""The check's command line: parses, calls, prints."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click

from onnxpress_bench.gpu_check.requirements import CANNOT, find_libraries, lacking

#: Seconds that the check may take on the GPU.
BUDGET_S = 480.0


@click.command(name="gpu-check")
@click.option(
    "--prepared", type=click.Path(path_type=Path, file_okay=False), help="What --prepare wrote (default: made)."
)
@click.option("--prepare", is_flag=True, help="Write the folder --prepared and end: that needs no GPU.")
@click.option("--rehearse", is_flag=True, help="Take every way through the check on this processor, with tiny models.")
@click.option("--device", default="cuda:0", show_default=True, help="cuda:N.")
@click.option("--budget-s", type=click.FloatRange(min=1), default=BUDGET_S, show_default=True, help="Seconds in all.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the record here.")
def main(
    prepared: Path | None, prepare: bool, rehearse: bool, device: str, budget_s: float, json_file: Path | None
) -> None:
    """Check on an NVIDIA GPU whether artifacts answer rightly, stay on the device, and how fast they are.

    The exit code is 0 where everything passed, 1 where something failed, 3 where the check cannot run here.
    """
    reason = lacking(rehearses=rehearse or prepare)
    if reason is not None:
        click.echo(reason, err=True)
        sys.exit(CANNOT)
    from onnxpress_bench.gpu_check.check import check, writer
    from onnxpress_bench.gpu_check.rows import REHEARSAL, Rows

    rows = REHEARSAL if rehearse else Rows()
    with tempfile.TemporaryDirectory(prefix="onnxpress-gpu-check-") as scratch:
        folder = prepared or Path(scratch) / "prepared"
        if prepare or not folder.exists():
            from onnxpress_bench.gpu_check.prepare import prepare as fill_folder

            fill_folder(folder, rows, lambda what: click.echo(f"{what} ...", err=True))
        if prepare:
            return
        if not rehearse:
            find_libraries()
        from onnxpress_bench.gpu_check.budget import Budget
        from onnxpress_bench.gpu_check.place import Place
        from onnxpress_bench.gpu_check.report import lines

        record = json_file or Path(scratch) / "record.jsonl"
        place = Place("cpu" if rehearse else device, rehearse)
        summary = check(
            folder, rows, place, Budget(budget_s), writer(record), lambda what: click.echo(f"{what} ...", err=True)
        )
        for line in lines([json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]):
            click.echo(line)
    if not summary["passed"]:
        sys.exit(1)
