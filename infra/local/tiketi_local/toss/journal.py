"""The simulator's memory over a restart: one JSON object a line, appended before anything is answered."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import IO, Self

from tiketi_local.toss.idempotency import StoredAnswer
from tiketi_local.toss.payment import Payment

log = logging.getLogger(__name__)


class Journal:
    """Payments and stored answers; the newest line about a thing is the truth. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self.payments: list[Payment] = []
        """What was there when the journal was opened, by first appearance."""
        self.answers: list[StoredAnswer] = []

    def __enter__(self) -> Self:
        if self._path is not None:
            self._read(self._path)
            self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def record_payment(self, payment: Payment) -> None:
        """Append a payment's new state."""
        self._append("payment", payment.model_dump(mode="json"))

    def record_answer(self, answer: StoredAnswer) -> None:
        """Append a stored answer."""
        self._append("answer", answer.model_dump(mode="json"))

    def _append(self, kind: str, value: object) -> None:
        if self._file is not None:
            self._file.write(json.dumps({kind: value}, ensure_ascii=False) + "\n")
            self._file.flush()  # in the kernel's hands: survives a killed process

    def _read(self, path: Path) -> None:
        if not path.exists():
            return
        text = path.read_text(encoding="utf-8")
        whole, newline, torn = text.rpartition("\n")
        if torn:  # killed in the middle of a line: that change was never answered
            log.warning("journal ends in half a line, which is dropped", extra={"path": str(path)})
            path.write_text(whole + newline, encoding="utf-8")
        payments: dict[str, Payment] = {}
        for line in whole.splitlines():
            entry = json.loads(line)
            if "payment" in entry:
                payment = Payment.model_validate(entry["payment"])
                payments[payment.payment_key] = payment
            else:
                self.answers.append(StoredAnswer.model_validate(entry["answer"]))
        self.payments = list(payments.values())
