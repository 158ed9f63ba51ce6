"""`python -m onnxpress_bench`: the project's own suites (`make bench`)."""

from __future__ import annotations

import sys

import click

from onnxpress.errors import OnnxpressError
from onnxpress_bench.suites.cli import main

if __name__ == "__main__":  # the suites' helper processes import this module again
    try:
        main(prog_name="make bench")
    except OnnxpressError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
