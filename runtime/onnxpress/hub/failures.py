"""Turns failures of the Hub into errors that say what to do next. A part of `hub`, which alone uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from onnxpress.errors import HubError, OnnxpressError
from onnxpress.hub.client import asked_pause_s
from onnxpress.hub.names import no_folder

if TYPE_CHECKING:
    import httpx2

#: What the Hub is asked for.
Purpose = Literal["read", "write", "search"]

LOGIN = "set HF_TOKEN or run `hf auth login`"
_ADVICE = {
    "gated": "{repo} is gated: its authors decide who may read it. Ask for access at {endpoint}/{repo}, then {login}.",
    "missing": "{endpoint} shows no repository {repo} {to_whom}. Check the name; if it is private, {login}.",
    "revision": "{repo} has no revision {revision!r}. Use a branch, tag or commit that {endpoint}/{repo} has.",
    "token": "{endpoint} refuses to serve {repo} {to_whom} (401). If the repository exists, {login}.",
    "denied": "{endpoint} denies access to {repo} {to_whom} (403). Ask for access there, then {login}.",
    "disabled": "{repo} was disabled by the Hub. Use another repository.",
    "entry": "{endpoint} lists files of {repo} at {revision!r} that it does not serve (404). Try again later.",
    "limited": "{endpoint} limits the rate of requests (429{asked}); {repo} at {revision!r} was not fetched. Try again "
    "later. With a token the limit is higher: {login}.",
    "down": "{endpoint} answered {status} to every attempt to fetch {repo} at {revision!r}. Try again later.",
    "offline": "HF_HUB_OFFLINE is set, and the cache in {cache} does not hold all of {repo} at {revision!r} that is "
    "needed. Unset HF_HUB_OFFLINE, or fetch it once while online.",
    "slow": "{endpoint} did not answer in time when asked for {repo} at {revision!r}. Check the network and try again.",
    "unreachable": "Cannot reach {endpoint} ({reason}), and the cache in {cache} does not hold all of {repo} at "
    "{revision!r} that is needed. Check the network, the proxy settings and HF_ENDPOINT.",
    "cut": "The connection to {endpoint} broke again and again while fetching {repo} at {revision!r}. Check the "
    "network and try again; files that arrived whole are kept.",
    "disk": "{repo} at {revision!r} cannot be kept in the cache {cache} ({reason}). Make room and check the "
    "permissions there, or set HF_HOME to another folder.",
    "odd": "{endpoint} gave no usable answer when asked for {repo} at {revision!r} ({reason}). Check HF_ENDPOINT and "
    "the proxy settings, and try again.",
}
#: What differs where something was to be written.
_ADVICE_ON_WRITING = {
    "missing": "{endpoint} shows no repository {repo} {to_whom}, and lets none be made of that name. Check the name "
    "before the slash, and {login}.",
    "token": "{endpoint} does not accept the token in use (401), so {repo} was not written. Log in again: {login}.",
    "denied": "{endpoint} does not let the token in use write to {repo} (403: {says}). Use a token that may write "
    "there ({login}), or offer the change with create_pr=True.",
    "moved": "{repo} at {revision!r} has got another commit while this one was made, so nothing was written. Look at "
    "it, and push again.",
    "large": "{endpoint} has no room for {repo} ({status}: {says}). Make room, or choose another owner.",
    "card": "{endpoint} does not accept the card's front matter ({reason}). Correct README.md and push again.",
    "entry": "{endpoint} misses a file of {repo} that was to be changed (404: {says}). Push again.",
    "limited": "{endpoint} limits the rate of requests (429{asked}); {repo} was not written. Push again later: what "
    "arrived is not sent again.",
    "down": "{endpoint} answered {status} to every attempt to write {repo}. Push again later: what arrived is not sent "
    "again.",
    "offline": "HF_HUB_OFFLINE is set, so {repo} cannot be written. Unset it.",
    "slow": "{endpoint} did not answer in time when {repo} was written. Push again: what arrived is not sent again.",
    "unreachable": "Cannot reach {endpoint} ({reason}), so {repo} was not written. Check the network, the proxy "
    "settings and HF_ENDPOINT.",
    "cut": "The connection to {endpoint} broke again and again while {repo} was written. Push again: what arrived is "
    "not sent again.",
    "disk": "A file of what was to be pushed cannot be read ({reason}).",
    "odd": "{endpoint} gave no usable answer when {repo} was written ({reason}). Check HF_ENDPOINT; where it does not "
    "speak the Hub's protocol Xet, set HF_HUB_DISABLE_XET=1.",
}
#: What differs where models were searched for.
_ADVICE_ON_SEARCHING = {
    "missing": "{endpoint} has no search for models (404). Check HF_ENDPOINT: a mirror may serve files alone.",
    "token": "{endpoint} does not accept the token in use (401). Log in again: {login}.",
    "denied": "{endpoint} denies the search (403). To search with a token, {login}.",
    "limited": "{endpoint} limits the rate of requests (429{asked}). Search again later. With a token the limit is "
    "higher: {login}.",
    "down": "{endpoint} answered {status} to every attempt to search. Try again later.",
    "offline": "HF_HUB_OFFLINE is set, so the Hub cannot be searched. Unset it.",
    "slow": "{endpoint} did not answer the search in time. Check the network and try again.",
    "unreachable": "Cannot reach {endpoint} ({reason}). Check the network, the proxy settings and HF_ENDPOINT.",
    "cut": "The connection to {endpoint} broke again and again. Check the network and try again.",
    "odd": "{endpoint} gave no usable answer to the search ({reason}). Check HF_ENDPOINT and the proxy settings.",
}
_STATUSES = {401: "token", 403: "denied", 404: "missing", 408: "slow", 429: "limited"}
_STATUSES_ON_WRITING = {402: "large", 409: "moved", 412: "moved", 413: "large", 507: "large"}
_ADVICE_OF: Mapping[Purpose, Mapping[str, str]] = {
    "read": {},
    "write": _ADVICE_ON_WRITING,
    "search": _ADVICE_ON_SEARCHING,
}
#: Failures that a mistyped folder's name has, too.
_OF_A_WRONG_NAME = ("missing", "offline", "token", "unreachable")
_CACHE_MAY_SERVE = ("limited", "down", "offline", "slow", "unreachable", "cut")


@contextmanager
def explained(repo_id: str, revision: str, *, cached: bool = True, purpose: Purpose = "read") -> Iterator[None]:
    """Turn whatever the library raises in the block into a HubError.

    Args:
        purpose: what the Hub is asked for.
        cached: whether what the disk refuses was for the Hub's cache; such errors of other folders pass as they are.
    """
    try:
        yield
    except OnnxpressError:
        raise
    except Exception as error:
        if not cached and isinstance(error, OSError) and error.errno is not None:
            raise
        raise HubError(_explain(error, repo_id, revision, purpose)) from error


def cache_may_serve(error: Exception) -> bool:
    """Whether the Hub was not reached or could not answer, so that a copy in the cache is the best there is."""
    return not isinstance(error, OnnxpressError) and _diagnose(error)[0] in _CACHE_MAY_SERVE


def has_moved(error: Exception) -> bool:
    """Whether a commit was refused because there is another one by now."""
    return _diagnose(error, writing=True)[0] == "moved"


def _explain(error: Exception, repo_id: str, revision: str, purpose: Purpose) -> str:
    from huggingface_hub import constants

    kind, cause = _diagnose(error, writing=purpose == "write")
    response: httpx2.Response | None = getattr(cause, "response", None)
    with_token = response is not None and "Authorization" in response.request.headers
    reason = getattr(cause, "strerror", None) or f"{type(cause).__name__}: {cause}"
    asked_s = asked_pause_s(response)
    advice = {**_ADVICE, **_ADVICE_OF[purpose]}[kind].format(
        repo=repo_id,
        revision=revision,
        endpoint=constants.ENDPOINT,
        cache=constants.HF_HUB_CACHE,
        status=None if response is None else response.status_code,
        asked=f", wait {asked_s:.0f} s" if asked_s else "",
        to_whom="to the token in use" if with_token else "without a token",
        login=f"use a token that may read it ({LOGIN})" if with_token else LOGIN,
        reason=_plain(reason),
        says=_plain("" if response is None else response.headers.get("X-Error-Message", response.reason_phrase)),
    )
    return advice + (no_folder(repo_id) if kind in _OF_A_WRONG_NAME and purpose == "read" else "")


def _plain(text: str) -> str:
    """A stranger's words in one line of ASCII."""
    return ascii(" ".join(text.split())[:200])[1:-1]


def _diagnose(error: BaseException, *, writing: bool = False) -> tuple[str, BaseException]:
    """The kind of failure, a key of `_ADVICE`, and the exception that shows it: `error` or one of its causes."""
    import httpx2
    from huggingface_hub import errors

    kinds: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
        ((errors.GatedRepoError,), "gated"),
        ((errors.RepositoryNotFoundError,), "missing"),
        ((errors.RevisionNotFoundError,), "revision"),
        ((errors.RemoteEntryNotFoundError,), "entry"),
        ((errors.DisabledRepoError,), "disabled"),
        ((errors.OfflineModeIsEnabled,), "offline"),
        ((httpx2.TimeoutException,), "slow"),
        ((httpx2.ConnectError, httpx2.ProxyError), "unreachable"),
        ((httpx2.NetworkError, httpx2.RemoteProtocolError), "cut"),
    )
    link: BaseException | None = error
    while link is not None:
        for classes, kind in kinds:
            if isinstance(link, classes):
                return kind, link
        if isinstance(link, errors.HfHubHTTPError):
            status = link.response.status_code
            statuses = {**_STATUSES, **_STATUSES_ON_WRITING} if writing else _STATUSES
            return statuses.get(status, "down" if status >= 500 else "odd"), link
        if writing and isinstance(link, ValueError) and "README.md" in str(link):
            return "card", link
        if isinstance(link, OSError) and link.errno is not None:
            return "disk", link
        link = link.__cause__
    return "odd", error
