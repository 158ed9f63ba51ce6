"""How a text is read in its role, where queries have a graph of their own (a Router of sentence-transformers)."""

from __future__ import annotations

from dataclasses import dataclass

from onnxpress.format.manifest import EmbeddingSettings, GraphInfo, Manifest
from onnxpress.pipelines.token_roles import QUERY

#: The role of the graph that reads queries alone.
QUERY_ROLE = "query"


@dataclass(frozen=True, slots=True)
class TextRoute:
    """One way from a text to its vector.

    Args:
        name: of the graph; `graph`: what that takes and gives.
        headed: whether the layers after pooling follow.
    """

    name: str
    graph: GraphInfo
    pooling: tuple[str, ...]
    normalize: bool
    special_tokens: bool
    max_length: int | None
    empty_is_zero: bool
    headed: bool


def routes_of(manifest: Manifest, settings: EmbeddingSettings) -> tuple[TextRoute, TextRoute]:
    """The way of documents, and of everything where queries have none of their own; and the way of queries."""
    usual, query = manifest.graph_name("encoder"), settings.query
    documents = TextRoute(
        usual,
        manifest.graphs[usual],
        settings.pooling,
        settings.normalize,
        True,
        settings.max_length,
        settings.empty_is_zero,
        headed=True,
    )
    if query is None:
        return documents, documents
    name = manifest.graph_name(QUERY_ROLE)
    queries = TextRoute(
        name,
        manifest.graphs[name],
        (),
        query.normalize,
        query.special_tokens,
        query.max_length,
        query.empty_is_zero,
        headed=False,
    )
    return documents, queries


def route_for(routes: tuple[TextRoute, TextRoute], settings: EmbeddingSettings, role: str | None) -> TextRoute:
    """The way of a text in its role."""
    usual = settings.query is not None and settings.query.usual
    return routes[role == QUERY or (role is None and usual)]
