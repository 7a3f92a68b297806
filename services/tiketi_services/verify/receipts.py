"""Checks a buyer's receipt against a draw: is the entry there, at its number, unaltered?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest

from pydantic import ValidationError

from tiketi_runtime.contracts.draw import entry_leaf
from tiketi_runtime.contracts.draw_file import RECEIPT_TYP, DrawFacts, Loss, ReceiptClaims
from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_services.verify.draws import SLACK, instant, is_hole
from tiketi_services.verify.findings import BadInput, Finding, fault, lost, note, ok, verdict, warning
from tiketi_services.verify.signatures import Signatures


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as it was read."""

    name: str
    """Of its file."""
    word: str
    claims: ReceiptClaims
    joined_at: datetime
    is_signed: bool | None
    """None: no keys were given to check it with."""

    @property
    def leaf(self) -> bytes:
        """The leaf its entry must have."""
        claims = self.claims
        return entry_leaf(EventId(claims.event), Line(claims.line), Seq(claims.seq), BuyerId(claims.sub), claims.nonce)


def read_receipt(name: str, word: str, signatures: Signatures) -> Receipt:
    """Read a signed receipt. Raises BadInput if it is something else."""
    try:
        said = signatures.read(word, RECEIPT_TYP)
        claims = ReceiptClaims.model_validate(said.claims)
        return Receipt(name, word, claims, datetime.fromtimestamp(claims.joined_at / 1000, UTC), said.is_signed)
    except ValidationError as error:
        raise BadInput(f"{name}: not a receipt: {error.errors()[0]['msg']}") from error
    except (ValueError, OverflowError, OSError) as error:
        raise BadInput(f"{name}: not a receipt: joined at no time there is") from error
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from error


Numbers = Mapping[str, Sequence[int]]
"""Numbers that accounts have in a draw, as far as receipts show."""


def numbers_in(facts: DrawFacts, leaves: Sequence[bytes], receipts: Sequence[Receipt]) -> Numbers:
    """What the receipts prove: a leaf binds its account, whoever signed."""
    numbers: dict[str, list[int]] = {}
    for receipt in receipts:
        if _is_entry(receipt, facts, leaves):
            numbers.setdefault(receipt.claims.sub, []).append(receipt.claims.seq)
    return numbers


def check_receipt(
    receipt: Receipt, facts: DrawFacts, leaves: Sequence[bytes], numbers: Numbers | None = None
) -> Iterator[Finding]:
    """What the receipt says, and what the draw says of it. ``numbers``: what other receipts show."""
    yield from check_claims(receipt, facts)
    if (receipt.claims.event, receipt.claims.line) == (facts.event, facts.line):
        yield _find(receipt, facts, leaves, numbers or {})


def check_alone(receipt: Receipt, commitment: str | None) -> Iterator[Finding]:
    """Everything a receipt shows before the draw; ``commitment``: as somebody noted it."""
    claims = receipt.claims
    if receipt.is_signed is None:
        yield note("signature", "give --keys to check it")
    else:
        yield verdict(
            "signature",
            holds=receipt.is_signed,
            yes="signed by the ticket service",
            no="is not signed with the keys given",
        )
    yield verdict(
        "entry",
        holds=compare_digest(receipt.leaf.hex(), claims.leaf),
        yes=f"number {claims.seq:,} of buyer {claims.sub}, joined {receipt.joined_at:%Y-%m-%d %H:%M:%S}Z,"
        f" leaf {claims.leaf}",
        no="its leaf is not that of its entry",
    )
    if claims.commitment is None:
        yield note("commitment", "none: the order of this line is that of joining")
    elif commitment is None:
        yield note("commitment", f"the operator is bound to {claims.commitment}")
    else:
        yield verdict(
            "commitment",
            holds=commitment == claims.commitment,
            yes=f"is the one you noted, {commitment}",
            no=f"the receipt has {claims.commitment}, you noted {commitment}",
        )
    if claims.commitment is not None:
        yield _tell_beacon(claims)


def _tell_beacon(claims: ReceiptClaims) -> Finding:
    if claims.beacon is None:
        return warning("beacon", "none was named when it was given: you trust the operator")
    return note("beacon", f"round {claims.beacon.round:,} of chain {claims.beacon.chain} was named when it was given")


def check_claims(receipt: Receipt, facts: DrawFacts) -> Iterator[Finding]:
    """Everything about a receipt but its place among the leaves."""
    check, claims = f"receipt {receipt.name}", receipt.claims
    if receipt.is_signed is False:
        yield fault(check, "is not signed with the keys given")
    elif receipt.is_signed is None:
        yield note(check, "give --keys to check its signature")
    if (claims.event, claims.line) != (facts.event, facts.line):
        yield fault(check, f"is for {claims.event}, line {claims.line}")
        return
    if not compare_digest(receipt.leaf.hex(), claims.leaf):
        yield fault(check, "its leaf is not that of its entry")
    if claims.commitment != facts.commitment:
        yield fault(check, f"the operator was bound to {claims.commitment} when it was given, not {facts.commitment}")
    yield from _check_epoch(receipt, facts)
    used = None if facts.beacon is None else (facts.beacon.chain, facts.beacon.round)
    promised = None if claims.beacon is None else (claims.beacon.chain, claims.beacon.round)
    if used != promised:
        yield warning(check, "another beacon, or none, was named when it was given; ask the organiser why")


def _check_epoch(receipt: Receipt, facts: DrawFacts) -> Iterator[Finding]:
    """A loss that never was, or was at another time, is found by receipts of others, which know nothing of it."""
    epoch, joined_at = receipt.claims.epoch, receipt.joined_at
    for loss in facts.losses or ():
        if epoch is None or (joined_at <= loss.at + SLACK if epoch < loss.epoch else joined_at >= loss.at - SLACK):
            continue
        yield warning(
            f"receipt {receipt.name}",
            f"given at {instant(joined_at)} {'without' if epoch < loss.epoch else 'with'} the loss of"
            f" {instant(loss.at)}: either a clock was wrong, or the loss was not then; ask the organiser which",
        )
        return


def _is_entry(receipt: Receipt, facts: DrawFacts, leaves: Sequence[bytes]) -> bool:
    claims = receipt.claims
    is_here = (claims.event, claims.line) == (facts.event, facts.line)
    return is_here and claims.seq <= len(leaves) and leaves[claims.seq - 1] == receipt.leaf


def _find(receipt: Receipt, facts: DrawFacts, leaves: Sequence[bytes], numbers: Numbers) -> Finding:
    check, seq = f"receipt {receipt.name}", receipt.claims.seq
    if seq > facts.entries:
        return _late(receipt, facts)
    if _is_entry(receipt, facts, leaves):
        return ok(check, f"number {seq:,} is in the draw and has place {facts.draw.place(seq):,}")
    if receipt.leaf in leaves:
        found = leaves.index(receipt.leaf) + 1
        cause = "added" if found > seq else "dropped"
        return fault(check, f"reordered: number {seq:,} stands at {found:,}; or entries before it were {cause}")
    if seq > len(leaves) or is_hole(facts, seq, leaves[seq - 1]):
        return _missing(receipt, facts, numbers.get(receipt.claims.sub, ()))
    return fault(check, f"altered: at number {seq:,} stands another entry")


def _missing(receipt: Receipt, facts: DrawFacts, others: Sequence[int]) -> Finding:
    """The number is nobody's. ``others``: numbers of the same account that are in the draw."""
    check, seq = f"receipt {receipt.name}", receipt.claims.seq
    loss = lost_in(receipt, facts)
    if loss is not None and others:
        return note(
            check,
            f"number {seq:,} was lost in the loss of {instant(loss.at)}; your place was given anew: {others[0]:,}",
        )
    if loss is not None:
        return lost(
            check,
            f"number {seq:,} was lost in the loss of {instant(loss.at)}: nobody came back with it before the entries"
            " were read. If you joined again, the receipt that you were given then is the one to check",
        )
    parting = parted_by(facts, seq)
    if parting is not None and (earlier := [other for other in others if other <= parting.numbers_to]):
        return note(
            check,
            f"number {seq:,} was given up: after the loss of {instant(parting.at)} your account came back to its"
            f" earlier number {earlier[0]:,}",
        )
    doubt = "" if parting is None else ". Unless your account came back to an earlier number: give that receipt as well"
    return fault(check, f"dropped: the file says that number {seq:,} belongs to nobody{doubt}")


def lost_in(receipt: Receipt, facts: DrawFacts) -> Loss | None:
    """The last loss, if the number may have been lost in it; None if the receipt proves that it was not.

    Only numbers of before a loss can be lost in it; and who was given a receipt between the last loss and the closing
    of the entries was back in time.
    """
    if not facts.losses:
        return None
    loss, epoch, joined_at = facts.losses[-1], receipt.claims.epoch, receipt.joined_at
    was_before = joined_at <= loss.at + SLACK and (epoch is None or epoch < loss.epoch)
    return loss if receipt.claims.seq <= loss.numbers_to and (was_before or joined_at >= facts.closed_at) else None


def parted_by(facts: DrawFacts, seq: int) -> Loss | None:
    """The last loss before this number was given out: its account may have an earlier one, of before it."""
    return next((loss for loss in reversed(facts.losses or ()) if loss.numbers_to < seq), None)


def _late(receipt: Receipt, facts: DrawFacts) -> Finding:
    """Joining again makes a receipt later, never earlier: an early one with a high number convicts."""
    check, seq, joined_at = f"receipt {receipt.name}", receipt.claims.seq, receipt.joined_at
    if joined_at < min(facts.draw_at, facts.closed_at):
        return fault(
            check,
            f"dropped: number {seq:,} was given out at {joined_at:%H:%M:%S}Z, before the entries closed, and the draw"
            f" ends at {facts.entries:,}",
        )
    return note(check, f"joined after the entries had closed: place {seq:,}, in order of joining")
