"""`onnxpress advise`: parses, calls, prints. Nothing is computed here."""

from __future__ import annotations

import json
import sys

import click

from onnxpress.format.schema import encode


@click.command("advise")
@click.argument("artifact")
@click.option(
    "--p99-ms", type=click.FloatRange(min=0, min_open=True), required=True, help="99% of requests answered within."
)
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), required=True, help="Requests per second, on average."
)
@click.option(
    "--lengths",
    default="mixed",
    show_default=True,
    metavar="NAME|FILE",
    help="Of the requests: mixed, queries, documents; or a file with a text, or a number of tokens, on each line.",
)
@click.option("--precision", default="", help="Variants to consider, separated by commas (default: all).")
@click.option("--cores", type=click.IntRange(min=1), help="To share among replicas (default: the usable cores).")
@click.option(
    "--trial-s",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Seconds that requests arrive in one trial; longer trials are surer.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of texts and arrivals.")
@click.option("--revision", help="Branch, tag or commit of ARTIFACT on the Hub.")
@click.option("--json", "as_json", is_flag=True, help="Print the advice with its evidence as JSON.")
def advise_command(
    artifact: str,
    p99_ms: float,
    rate: float,
    lengths: str,
    precision: str,
    cores: int | None,
    trial_s: float,
    seed: int,
    revision: str | None,
    as_json: bool,
) -> None:
    """Recommend precision, threads, batches and replicas for ARTIFACT on this machine, from measurement.

    Exit code 0: the demand can be met; 3: not on this machine.
    """
    from onnxpress_bench.advise import Demand, advise
    from onnxpress_bench.cli import display
    from onnxpress_bench.report.advice import render
    from onnxpress_bench.subject import open_artifact

    wanted = [name for name in precision.split(",") if name]
    opened = open_artifact(artifact, revision, wanted)
    with display() as show:
        demand = Demand(rate, p99_ms, lengths, seed)
        advice = advise(opened, demand, precisions=wanted, cores=cores, trial_s=trial_s, progress=show)
    click.echo(json.dumps(encode(advice), indent=1) if as_json else render(advice, opened))
    if advice.interrupted:
        sys.exit(130)
    sys.exit(0 if advice.best is not None else 3)
