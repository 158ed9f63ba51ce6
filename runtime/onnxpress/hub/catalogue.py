"""Searches the Hub for models, and tells the sizes of their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxpress.errors import HubError
from onnxpress.hub.client import AGENT, patiently
from onnxpress.hub.failures import explained
from onnxpress.hub.names import looks_like_repo_id
from onnxpress.hub.quiet import library
from onnxpress.hub.repository import USUAL_ACCESS, Access

_EXPANDED = ("downloads", "gated", "library_name", "pipeline_tag", "private", "siblings", "tags")


@dataclass(frozen=True, slots=True)
class Listed:
    """A repository as a search tells it. `task`, `library`: as its card says, "" if it does not; `gated`: whether its
    files want a permission."""

    repo_id: str
    task: str
    library: str
    downloads: int
    gated: bool
    private: bool
    files: tuple[str, ...]


def find_models(
    text: str | None, *, task: str | None, tags: Sequence[str], most: int, access: Access = USUAL_ACCESS
) -> Iterator[Listed]:
    """The models whose names have the text, those first that are downloaded most.

    Args:
        task: the Hub's name.
        tags: those that they all have.
        most: how many to tell at most.

    Raises:
        HubError: the Hub refused or cannot be reached.
    """
    with library(), explained("models", "main", purpose="search"):
        from huggingface_hub import HfApi

        api = HfApi(library_name=AGENT, token=access.token)
        answer = patiently(
            lambda: list(
                api.list_models(
                    search=text,
                    filter=list(tags),
                    pipeline_tag=task,
                    sort="downloads",
                    limit=most,
                    expand=list(_EXPANDED),  # type: ignore[arg-type]
                )
            )
        )
    yield from (_listed(info) for info in answer if looks_like_repo_id(info.id))


def file_sizes(repo_id: str, access: Access = USUAL_ACCESS) -> Mapping[str, int]:
    """The bytes of each file of a repository, in its newest commit.

    Raises:
        HubError: the Hub refused or cannot be reached.
    """
    with library(), explained(repo_id, "main"):
        from huggingface_hub import HfApi, constants

        api = HfApi(library_name=AGENT, token=access.token)
        info = patiently(lambda: api.model_info(repo_id, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT))
        return {file.rfilename: file.size for file in info.siblings or () if isinstance(file.size, int)}


def _listed(info: Any) -> Listed:
    """What the Hub says of a repository.

    Raises:
        HubError: it says what cannot be.
    """
    names = tuple(file.rfilename for file in info.siblings or ())
    if not isinstance(info.downloads, int | None):
        raise HubError(f"The Hub says that {info.id} was downloaded {info.downloads!r} times. Check HF_ENDPOINT.")
    return Listed(
        repo_id=info.id,
        task=info.pipeline_tag or "",
        library=info.library_name or "",
        downloads=info.downloads or 0,
        gated=bool(info.gated),
        private=bool(info.private),
        files=names,
    )
