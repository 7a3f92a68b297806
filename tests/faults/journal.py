"""What clients did and were told: one JSON line for each request as it leaves, and one for its end.

``is``: ``invoke``, then ``ok`` (done, and acknowledged), ``fail`` (refused: surely not done) or ``unknown`` (the answer
was lost or says nothing: it may have happened).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any, TextIO

Entry = dict[str, Any]


class Journal:
    """The log of all clients of a run, in memory and in a file."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._numbers = count()
        self.entries: list[Entry] = []
        self.answers: Counter[str] = Counter()

    @classmethod
    def at(cls, path: Path) -> Journal:
        """A journal that is written to ``path`` line by line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(path.open("w", encoding="utf-8", buffering=1))

    def close(self) -> None:
        self._file.close()

    def invoke(self, what: str, **facts: Any) -> int:
        """A request leaves; returns its number."""
        number = next(self._numbers)
        self._write({"n": number, "what": what, "is": "invoke", **facts})
        return number

    def end(self, number: int, what: str, how: str, **facts: Any) -> None:
        """The request ``number`` has ended."""
        self.answers[f"{what}: {how} {facts.get('code') or ''}".strip()] += 1
        self._write({"n": number, "what": what, "is": how, **facts})

    def note(self, what: str, **facts: Any) -> None:
        """Something that is no request: a fault, a recovery."""
        self._write({"what": what, "is": "note", **facts})

    def told(self, what: str, how: str = "ok") -> list[Entry]:
        """Ends of one kind of request."""
        return [entry for entry in self.entries if entry["what"] == what and entry["is"] == how]

    def about(self, *words: str) -> list[Entry]:
        """Everything that names one of the words: the history of a seat, an order, a buyer."""
        return [entry for entry in self.entries if any(word in json.dumps(entry) for word in words)]

    def _write(self, entry: Entry) -> None:
        entry = {"at": round(time.time(), 3), **entry}
        self.entries.append(entry)
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
