"""The page at "/": one file, read once; what it may do is written in its policy."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("page.html")


@cache
def page() -> bytes:
    """The page as it is sent."""
    return _FILE.read_bytes()


def _hashes(tag: str) -> str:
    """The contents of the page's elements, as a policy names them."""
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", _FILE.read_text(encoding="utf-8"), re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


@cache
def policy(framed_by: str = "") -> str:
    """The page's content security policy: nothing but its own script and style; it talks to this server alone.

    Args:
        framed_by: the origins of pages that may hold it in a frame, spaces between them; empty: none.
    """
    return (
        f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; connect-src 'self'; "
        "img-src data: blob:; media-src data: blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors " + (framed_by or "'none'")
    )
