"""What the Hub answers to a search for models: filters, order, pages. `protocol` calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import HubServer, Repository


def found(hub: HubServer, query: dict[str, list[str]], token: str | None) -> list[dict[str, Any]]:
    """The repositories that a query asks for, as the Hub describes them, in its order."""
    described = []
    for repo_id, repository in hub.repositories.items():
        if repository.private and repo_id not in hub.grants.get(token or "", set()):
            continue
        facts = describe(repo_id, repository)
        tags = {*facts["tags"], facts["pipeline_tag"], facts["library_name"]}
        if all(word.lower() in repo_id.lower() for word in query.get("search", [])) and tags.issuperset(
            query.get("filter", []) + query.get("pipeline_tag", [])
        ):
            described.append(facts)
    if "sort" in query:
        described.sort(key=lambda facts: -facts[query["sort"][0]])
    return described


def describe(repo_id: str, repository: Repository) -> dict[str, Any]:
    """What the Hub says of a repository in a list."""
    names = sorted(repository.commits[repository.refs["main"]])
    return {
        "_id": "0" * 24,
        "id": repo_id,
        "modelId": repo_id,
        "private": repository.private,
        "gated": "auto" if repository.gated else False,
        "downloads": repository.downloads,
        "likes": 0,
        "library_name": repository.library,
        "pipeline_tag": repository.task,
        "tags": [*repository.tags, *(["onnx"] if any(name.endswith(".onnx") for name in names) else [])],
        "siblings": [{"rfilename": name} for name in names],
    }
