"""`make demo`: each part as a user would start it, in a process of its own."""

from pathlib import Path

#: Of the repository.
ROOT = Path(__file__).resolve().parents[3]
