"""Opens a file from what a caller has of it, which may be an address where the caller allows that."""

from __future__ import annotations

from io import BytesIO
from typing import Any, BinaryIO

from onnxpress.errors import InputError
from onnxpress.fetching.limits import FetchLimits
from onnxpress.format.callers_files import MediaKind, is_url, open_file


def open_media(raw: Any, kind: MediaKind, urls: FetchLimits | None) -> tuple[str, BinaryIO]:
    """As `open_file`, and of what an address holds. `urls`: what fetching it may take; None: nothing is fetched.

    Raises:
        InputError: as `open_file`; it is an address that is not fetched, or does not answer within the limits.
        Cancelled, TimeoutExceeded: the call that it is for has to end.
    """
    if not is_url(raw):
        return open_file(raw, kind)
    if urls is None:
        raise InputError(
            f"{raw[:80]!r} is an address, and nothing is fetched unless you pass allow_urls=True. Or download it, "
            "and pass its bytes."
        )
    from onnxpress.fetching.addresses import fetch  # with ssl and http, which are slow to import

    return f"What {raw.partition('?')[0][:80]!r} holds", BytesIO(fetch(raw, urls))
