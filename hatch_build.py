"""Metadata of the package that depends on where the repository is published: addresses, and README's links.

README's links are relative where it is read in the repository, and absolute where a package index shows it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_PICTURE = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)]+)\)")
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


class PublishedMetadata(MetadataHookInterface):
    """Reads `repository`, "organization/name" on GitHub, from pyproject.toml."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the addresses and the text of README."""
        repository = self.config["repository"]
        home = f"https://github.com/{repository}"
        metadata["urls"] = {
            "Homepage": home,
            "Documentation": f"{home}/tree/main/docs",
            "Changelog": f"{home}/blob/main/CHANGELOG.md",
            "Issues": f"{home}/issues",
        }
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = _PICTURE.sub(rf"![\1](https://raw.githubusercontent.com/{repository}/main/\2)", text)
        text = _LINK.sub(rf"[\1]({home}/blob/main/\2)", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
