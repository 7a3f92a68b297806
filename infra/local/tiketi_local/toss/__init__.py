"""The payment vendor, simulated: Toss Payments' HTTP API, its payment window, faults on demand, and a ledger.

Pure parts (errors, cards, payment, document, vendor, idempotency) know no clock and no network: ``now`` is an
argument. What the vendor's documents leave open is decided here and marked "our choice".
"""
