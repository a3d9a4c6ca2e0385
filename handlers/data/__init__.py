"""What people call things: cues of everyday questions and other names of goods, in TOML that merchants
may extend.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

from models.synonyms import Synonyms
from models.topics import Topics

FOLDER = Path(str(resources.files(__name__)))


@lru_cache(maxsize=1)
def synonyms() -> Synonyms:
    """The table that ships with the shop, read once."""
    return Synonyms.load(FOLDER / "synonyms.toml")


@lru_cache(maxsize=1)
def topics() -> Topics:
    """The everyday questions that ship with the shop, read once."""
    return Topics.load(FOLDER / "topics.toml", synonyms())
