"""docs/migration.md is what the tables of the runtime say."""

from __future__ import annotations

from pathlib import Path

from tests.fixtures.migration import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migration.md"


def test_the_page_is_what_its_generator_prints() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.fixtures.migration > docs/migration.md"
