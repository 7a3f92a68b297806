"""The two words a buyer carries: a place receipt, and an admission pass."""

from __future__ import annotations

from tiketi_runtime.security import Mac
from tiketi_services.ticket.queue.domain import Admission, Receipt

RECEIPT = "place-receipt"
PASS = "admission-pass"  # noqa: S105 - the purpose, not the secret


class Proofs:
    """Seals and opens them. Both raise InvalidToken for what was not sealed here."""

    def __init__(self, mac: Mac) -> None:
        self._mac = mac

    def receipt(self, receipt: Receipt) -> str:
        """Seal a receipt."""
        return self._mac.seal(RECEIPT, receipt.payload())

    def open_receipt(self, word: str) -> Receipt:
        """Read a receipt."""
        return Receipt.from_payload(self._mac.open(RECEIPT, word))

    def admission_pass(self, admission: Admission) -> str:
        """Seal a pass; the same admission gives the same word."""
        return self._mac.seal(PASS, admission.payload())

    def open_pass(self, word: str) -> Admission:
        """Read a pass. Whether its session is still live is another question."""
        return Admission.from_payload(self._mac.open(PASS, word))
