"""The Hugging Face Hub, and the only importer of huggingface_hub.

huggingface_hub does the work: tokens (HF_TOKEN, or the file that `hf auth login` writes), the cache below HF_HOME,
HF_ENDPOINT, HF_HUB_OFFLINE, parallel downloads. It reads its settings once per process, and none is changed here.
Added is:

- no request and no `Retry-After` waits for ever, and what it asks for only once is asked for again (`client`);
- a download continues after a *reset* as after a closed connection, and ends at once on Ctrl-C (`client`);
- commits, ETags and file names are checked before paths are made of them (`names` and `client`);
- its logs, warnings and progress bars stay off stderr, except one bar on a terminal (`quiet`);
- every failure is a `HubError` that says what, where, and what to do next (`failures`);
- files come into folders of their own, continued after a cut by any later call, and compared with the hashes that the
  Hub lists (`tree` and `download`): the library's cache compares sizes alone.

Only its public names are imported. Beyond what it documents, four habits of it are relied upon, each in one place and
with a test of its own in `tests/hub`: its client is an httpx2 client whose hooks may be added to, and names the
`library_name` first in User-Agent (`client`); it installs one stream handler on its logger, and tells its byte bars
by `unit` and `desc` (`quiet`); its cache is laid out as `models--*/{blobs,refs,snapshots}` (`cache`).

This package does not know what an artifact or a checkpoint is.
"""

from typing import TYPE_CHECKING

from onnxpress.later import later

if TYPE_CHECKING:
    from onnxpress.hub.cache import blob_roots
    from onnxpress.hub.catalogue import Listed, file_sizes, find_models
    from onnxpress.hub.download import Download
    from onnxpress.hub.names import looks_like_repo_id
    from onnxpress.hub.repository import USUAL_ACCESS, Access, Snapshot, fetch, list_files
    from onnxpress.hub.tree import Tree, list_tree
    from onnxpress.hub.upload import Committed, Difference, Outgoing, check_token, commit, compare, find_tree

__all__ = [
    "USUAL_ACCESS",
    "Access",
    "Committed",
    "Difference",
    "Download",
    "Listed",
    "Outgoing",
    "Snapshot",
    "Tree",
    "blob_roots",
    "check_token",
    "commit",
    "compare",
    "fetch",
    "file_sizes",
    "find_models",
    "find_tree",
    "list_files",
    "list_tree",
    "looks_like_repo_id",
]

__getattr__ = later(
    __name__,
    {
        "onnxpress.hub.cache": ("blob_roots",),
        "onnxpress.hub.catalogue": ("Listed", "file_sizes", "find_models"),
        "onnxpress.hub.download": ("Download",),
        "onnxpress.hub.names": ("looks_like_repo_id",),
        "onnxpress.hub.repository": ("USUAL_ACCESS", "Access", "Snapshot", "fetch", "list_files"),
        "onnxpress.hub.tree": ("Tree", "list_tree"),
        "onnxpress.hub.upload": (
            *("Committed", "Difference", "Outgoing"),
            *("check_token", "commit", "compare", "find_tree"),
        ),
    },
)
