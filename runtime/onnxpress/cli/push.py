"""`onnxpress push`: an artifact to the Hub. Parses, calls, prints."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onnxpress.pipelines.pushing import Pushed


@click.command()
@click.argument("artifact")
@click.argument("repo_id", metavar="ID")
@click.option("--revision", metavar="BRANCH", help="The branch (default: main).")
@click.option("--private", is_flag=True, help="Make a private repository; refused if ID is public.")
@click.option("--message", metavar="TEXT", help="Of the commit.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead.")
@click.option("--unverified", is_flag=True, help="Also what was never compared with its original.")
@click.option("--dry-run", is_flag=True, help="Only list what would be uploaded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def push(
    artifact: str,
    repo_id: str,
    revision: str | None,
    private: bool,
    message: str | None,
    create_pr: bool,
    unverified: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Push ARTIFACT, a folder, to the repository ID on the Hub, as one commit.

    Uploaded are the files that its manifest names, the manifest, and README.md with licence and origin; what is there
    already is not sent again. The token is that of HF_TOKEN or `hf auth login`.
    """
    from onnxpress.pipelines.pushing import push as push_artifact

    pushed = push_artifact(
        artifact,
        repo_id,
        revision=revision,
        private=private,
        message=message,
        create_pr=create_pr,
        unverified=unverified,
        dry_run=dry_run,
    )
    click.echo(json.dumps({**asdict(pushed), "bytes": pushed.bytes}) if as_json else _told(pushed))


def _told(pushed: Pushed) -> str:
    from onnxpress.cli.inspection import table
    from onnxpress.pipelines.figures import size

    rows = [(name, size(count), "new or changed") for name, count in pushed.uploaded.items()]
    rows += [(name, "", "as it is there") for name in pushed.unchanged]
    rows += [(name, "", "removed there") for name in pushed.removed]
    lines = [table(("file", "size", "what"), rows), ""]
    lines += [f"{name}: paths of this machine were cut down to their last part." for name in pushed.shortened]
    place = f"{pushed.repo_id} at {pushed.revision}"
    if pushed.dry_run:
        lines.append(f"{place}: {len(pushed.uploaded)} files, {size(pushed.bytes)}, would be uploaded.")
    elif pushed.url is None:
        lines.append(f"{place} is so already, commit {pushed.commit}: nothing was uploaded.")
    else:
        lines.append(
            f"{place}: {len(pushed.uploaded)} files, {size(pushed.bytes)}; {pushed.pull_request or pushed.url}"
        )
    return "\n".join(lines)
