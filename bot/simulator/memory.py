"""What the fake platform remembers from one start of the demo to the next: followers, windows, codes, pictures."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.simulator.crowd import Crowd


class Memory:
    """A crowd in a folder: `platform.json`, and beside it each uploaded picture in a file of its own."""

    def __init__(self, crowd: Crowd, folder: Path) -> None:
        self._crowd, self._file, self._pictures = crowd, folder / "platform.json", folder / "media"
        self._written = ""

    def recall(self) -> None:
        """Fills the crowd with what was kept, if anything was; raises OSError, and ValueError for another's file."""
        if not self._file.exists():
            return
        kept = json.loads(self._file.read_bytes(), object_hook=_thawed)
        self._crowd.load(kept, self._picture)
        known = {media_id for media_id, _ in self._crowd.dump()["media"]}
        for file in self._pictures.glob("*"):
            if file.name not in known:
                file.unlink()

    async def keep(self) -> None:
        """Writes what is new since the last time; raises OSError."""
        told = self._crowd.dump()
        words = json.dumps(told, ensure_ascii=False, default=lambda at: {"at": at.isoformat()})
        if words == self._written:
            return
        self._pictures.mkdir(parents=True, exist_ok=True)
        for media_id, _ in told["media"]:
            file, picture = self._pictures / media_id, self._crowd.media(media_id)
            if picture is not None and not file.exists():
                file.write_bytes(picture)
        new = self._file.with_suffix(".new")
        new.write_text(words, "utf-8")
        new.replace(self._file)
        self._written = words

    def _picture(self, media_id: str) -> bytes | None:
        file = self._pictures / media_id
        return file.read_bytes() if file.parent == self._pictures and file.is_file() else None


def _thawed(plain: dict[str, Any]) -> Any:
    return datetime.fromisoformat(plain["at"]) if plain.keys() == {"at"} else plain
