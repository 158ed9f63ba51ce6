"""What huggingface_hub's HTTP client lacks: bounded waits, retries everywhere, resuming after resets, stopping at
once, checked headers.

The client is shared by everything in the process that uses the library; two hooks in it touch only the requests that
name AGENT as their user agent. This module does not know what is fetched; it is a part of `hub`, which alone uses it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from onnxpress.errors import HubError
from onnxpress.hub.names import COMMIT

if TYPE_CHECKING:
    import httpx2

AGENT = "onnxpress"
_ETAG = re.compile(r"[A-Za-z0-9_+=-][A-Za-z0-9_.+=-]*")
_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
_LONGEST_PAUSE_S = 60.0
_TRANSIENT = (408, 429, 500, 502, 503, 504)

#: The store of large files answers when it has written what it was sent.
_UPLOAD_TIMEOUT_S = 120.0

_STOP = threading.Event()
_uploads = 0

_Result = TypeVar("_Result")


def patiently(call: Callable[[], _Result]) -> _Result:
    """Call until it succeeds, at most five times, waiting between. For failures that the library does not retry."""
    for pause_s in _PAUSES_S:
        _watch()
        try:
            return call()
        except Exception as error:
            if not worth_another_try(error):
                raise
            time.sleep(max(pause_s, asked_pause_s(getattr(error, "response", None))))
    _watch()
    return call()


def interruptibly(call: Callable[[], _Result]) -> _Result:
    """Call in a thread, so that Ctrl-C ends the downloads of the process: the library would finish them first."""
    try:
        with ThreadPoolExecutor(1) as worker:
            future = worker.submit(call)
            try:
                return future.result()
            except BaseException:
                if not future.done():
                    _STOP.set()
                raise
    finally:
        _STOP.clear()


@contextmanager
def uploading() -> Iterator[None]:
    """Give a time limit in this block to requests to the store of large files, too, which do not name us."""
    global _uploads
    _uploads += 1
    try:
        yield
    finally:
        _uploads -= 1


def check_stop() -> None:
    if _STOP.is_set():
        raise HubError("The download was interrupted. Start it again; files that arrived whole are kept.")


def asked_pause_s(response: httpx2.Response | None) -> float:
    """Seconds that a response asks to wait before the next request; 0 if it does not say."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    if response is None:
        return 0.0
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == 429 and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    asked = response.headers.get("Retry-After", "").strip()
    return float(asked) if asked.isdecimal() else 0.0


def worth_another_try(error: Exception) -> bool:
    """Whether the connection broke or the server stumbled. What the library itself has retried arrives wrapped."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _TRANSIENT and asked_pause_s(error.response) <= _LONGEST_PAUSE_S
    broken = isinstance(error, (httpx2.NetworkError, httpx2.RemoteProtocolError))
    return broken and not isinstance(error, httpx2.ConnectError)


def _watch() -> None:
    """Install the two hooks in the library's client, if it does not have them: it renews its client at times."""
    from huggingface_hub import get_session

    hooks: dict[str, list[Callable[..., Any]]] = get_session().event_hooks
    for kind, hook in (("request", _before_request), ("response", _after_response)):
        if hook not in hooks[kind]:
            hooks[kind].append(hook)


def _is_ours(request: httpx2.Request) -> bool:
    return request.headers.get("User-Agent", "").startswith(f"{AGENT}/")


def _before_request(request: httpx2.Request) -> None:
    """Give a time limit to requests without one, such as listing files; refuse to start any after Ctrl-C."""
    from huggingface_hub import constants

    to_store = _uploads > 0 and request.method == "PUT"
    if _is_ours(request) or to_store:
        check_stop()
        longest_s = _UPLOAD_TIMEOUT_S if _uploads > 0 else constants.HF_HUB_DOWNLOAD_TIMEOUT
        limits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            kind: longest_s if limits.get(kind) is None else limits[kind]
            for kind in ("connect", "read", "write", "pool")
        }


def _after_response(response: httpx2.Response) -> None:
    """Refuse endless waits, and headers that would lead the library out of its cache; let resets be resumed."""
    from huggingface_hub.errors import HfHubHTTPError

    request = response.request
    if not _is_ours(request):
        return
    asked_s = asked_pause_s(response)
    if response.status_code in _TRANSIENT and asked_s > _LONGEST_PAUSE_S:
        raise HfHubHTTPError(f"{request.url} asks to wait {asked_s:.0f} s", response=response)
    if request.method == "HEAD" and response.status_code < 400:
        _check_metadata(response)
    response.stream = _resumable(response.stream)


def _check_metadata(response: httpx2.Response) -> None:
    """The library names files of its cache after these headers, and does not look for "../" in them."""
    commit = response.headers.get("X-Repo-Commit")
    etag = response.headers.get("X-Linked-Etag") or response.headers.get("ETag")
    good_commit = commit is None or COMMIT.fullmatch(commit)
    good_etag = etag is None or _ETAG.fullmatch(etag.removeprefix("W/").strip('"'))
    if not (good_commit and good_etag):
        raise HubError(
            f"{response.request.url}: the server gives commit {commit!r} and ETag {etag!r}, which would lead out of "
            "the cache. Check HF_ENDPOINT; do not trust this server."
        )


def _resumable(stream: Any) -> httpx2.SyncByteStream:
    """Wrap a stream so that Ctrl-C stops it, and so that a reset reads like an early end, which the library resumes."""
    import httpx2

    class Resumable(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            try:
                for piece in stream:
                    check_stop()
                    yield piece
            except httpx2.ReadError as error:
                raise httpx2.RemoteProtocolError("the connection was reset") from error

        def close(self) -> None:
            stream.close()

    return Resumable()
