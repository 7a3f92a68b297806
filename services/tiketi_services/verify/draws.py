"""Checks a draw: does the order follow from what was fixed and published beforehand, and from nothing else?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from tiketi_runtime.contracts.beacon import Chain, FalseBeacon, randomness_of, round_time, verify_round
from tiketi_runtime.contracts.draw import commitment_of, hole_leaf, order_key
from tiketi_runtime.contracts.draw_file import DRAW_TYP, BeaconValue, DrawFacts, DrawFile, Loss, SignedFacts, Trust
from tiketi_runtime.contracts.identity import EventId, Line, Seq
from tiketi_runtime.contracts.merkle import root_of
from tiketi_services.verify.findings import BadInput, Finding, Level, fault, note, ok, verdict, warning
from tiketi_services.verify.signatures import Signatures

SLACK: Final = timedelta(seconds=10)
"""Times in a file, or in a receipt, were read off several clocks."""
_MOST_TOLD: Final = 5
"""Losses told one by one; of further ones the file has all."""
_LAST_ROUND: Final = 2**64 - 1
"""A signature covers the round's number in 8 bytes."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What somebody wrote down before the draw, to hold the file against."""

    commitment: str | None = None
    root: str | None = None


def check_facts(
    facts: SignedFacts, signatures: Signatures, chains: Mapping[str, Chain], noted: Noted
) -> Iterator[Finding]:
    """Everything that can be checked without the leaves."""
    findings = [*_check_sums(facts, chains, noted), _check_times(facts), _check_losses(facts)]
    findings += _check_statement(facts, signatures)
    yield from findings
    is_false = any(finding.level is Level.FAULT for finding in findings)
    yield _weigh(facts, chains, noted, is_false=is_false)


def _check_sums(facts: SignedFacts, chains: Mapping[str, Chain], noted: Noted) -> Iterator[Finding]:
    yield from _check_commitment(facts, noted)
    if noted.root is not None:
        yield verdict(
            "root",
            holds=noted.root == facts.root,
            yes="is the one you noted",
            no=f"the file has {facts.root}, you noted {noted.root}",
        )
    yield from _check_beacon(facts, chains)
    yield from _check_named(facts)
    yield from _check_key(facts)


def check_leaves(file: DrawFile) -> Iterator[Finding]:
    """Whether the leaves are those under the root, each of them once."""
    facts = file.facts
    leaves = [bytes.fromhex(leaf) for leaf in file.leaves]
    if len(leaves) != facts.entries:
        yield fault("entries", f"the draw is of {facts.entries:,} numbers, the file holds {len(leaves):,} leaves")
    root = root_of(leaves)
    if root.hex() != facts.root:
        yield fault(
            "entries",
            f"the leaves have the root {root.hex()}, not {facts.root}: some were dropped, added, altered or reordered."
            " Give your receipt, or --compare with a copy from somebody else, to see which",
        )
        return
    twice = [leaf for leaf, count in Counter(leaves).items() if count > 1]
    for leaf in twice:
        numbers = ", ".join(str(number) for number, each in enumerate(leaves, start=1) if each == leaf)
        yield fault("entries", f"one entry stands at several numbers: {numbers}")
    yield from _check_holes(facts, leaves)


def _check_holes(facts: DrawFacts, leaves: Sequence[bytes]) -> Iterator[Finding]:
    """Numbers that belong to nobody. Nothing but a loss of Redis makes one."""
    holes = [is_hole(facts, seq, leaf) for seq, leaf in enumerate(leaves, start=1)]
    count = sum(holes)
    gaps = f", {count:,} of them nobody's" if count else ""
    yield ok("entries", f"{len(leaves):,} numbers{gaps}, under the root {facts.root}")
    if count and facts.losses == ():
        yield fault("entries", f"{count:,} numbers are nobody's, and no loss is told that could be the cause: dropped")
    if facts.losses:
        last = facts.losses[-1]
        back = len(holes[: last.numbers_to]) - sum(holes[: last.numbers_to])
        yield note(
            "losses", f"{back:,} numbers of before the last one are in the draw; {last.waiting:,} buyers waited then"
        )


def check_order(facts: DrawFacts) -> Finding:
    """Replay the whole order: every number has one place, every place one number."""
    seen = bytearray(facts.entries)
    for seq in facts.draw.order():
        seen[seq - 1] = 1
    return verdict(
        "order",
        holds=all(seen),
        yes="replayed: every number has one place",
        no="some numbers have no place",
    )


def is_hole(facts: DrawFacts, seq: int, leaf: bytes) -> bool:
    """Whether this leaf says that the number belongs to nobody."""
    return leaf == hole_leaf(EventId(facts.event), Line(facts.line), Seq(seq))


def _check_commitment(facts: DrawFacts, noted: Noted) -> Iterator[Finding]:
    yield verdict(
        "commitment",
        holds=commitment_of(bytes.fromhex(facts.secret)).hex() == facts.commitment,
        yes=f"the secret is the one committed to, {facts.commitment}",
        no="the secret is not the one that was committed to",
    )
    if noted.commitment is not None:
        yield verdict(
            "commitment",
            holds=noted.commitment == facts.commitment,
            yes="is the one you noted",
            no=f"the file has {facts.commitment}, you noted {noted.commitment}",
        )


def _check_beacon(facts: DrawFacts, chains: Mapping[str, Chain]) -> Iterator[Finding]:
    if facts.beacon is None:
        return
    chain = chains.get(facts.beacon.chain)
    if chain is None:
        yield fault(
            "beacon",
            f"chain {facts.beacon.chain} is not known: give its description, which a relay answers to /<chain>/info,"
            " with --chains",
        )
        return
    yield _check_round(facts.beacon, chain)
    if facts.drawn_at < round_time(chain, facts.beacon.round):
        yield fault("beacon", "the order is said to be drawn before the round was published")


def _check_round(beacon: BeaconValue, chain: Chain) -> Finding:
    signature = bytes.fromhex(beacon.signature)
    previous = None if beacon.previous_signature is None else bytes.fromhex(beacon.previous_signature)
    if previous is not None and not chain.is_chained:
        return fault("beacon", "this chain has no previous signatures, and the file names one")
    if beacon.round > _LAST_ROUND:
        return fault("beacon", "no chain has so many rounds")
    if randomness_of(signature).hex() != beacon.randomness:
        return fault("beacon", "the random value is not that of the signature")
    try:
        verify_round(chain, beacon.round, signature, previous)
    except FalseBeacon as error:
        return fault("beacon", str(error))
    return ok("beacon", f"round {beacon.round:,} of {chain.beacon_id} is genuine")


def _check_named(facts: DrawFacts) -> Iterator[Finding]:
    """What sale sheets said of the beacon: the last word counts, and after the entries were fixed only a withdrawal."""
    named = facts.beacons_named
    last = (None, None) if not named else (named[-1].chain, named[-1].round)
    used = (None, None) if facts.beacon is None else (facts.beacon.chain, facts.beacon.round)
    if last != used:
        yield fault("beacon", "the round that went into the order is not the one named last")
    if any(one.version >= two.version or one.named_at > two.named_at for one, two in pairwise(named)):
        yield fault("beacon", "the list of beacons named is out of order")
    if any(each.chain is not None and each.named_at > facts.fixed_at for each in named):
        yield fault("beacon", "a beacon was named after the entries were fixed")
    if len(named) > 1:
        yield warning("beacon", _tell_changes(facts))


def _tell_changes(facts: DrawFacts) -> str:
    """The file does not say since when buyers could join; but after the entries closed they had."""
    count, last = len(facts.beacons_named) - 1, facts.beacons_named[-1]
    times = "once" if count == 1 else f"{count:,} times"
    what = f"withdrawn at {instant(last.named_at)}" if last.chain is None else f"last at {instant(last.named_at)}"
    if last.named_at > facts.closed_at:
        return f"changed {times} since it was first named, {what}, after the entries had closed: ask the organiser why"
    return (
        f"changed {times} since it was first named, {what}. That is harmless before anybody could join, which the file"
        " does not say; if it was later, ask the organiser why"
    )


def _check_key(facts: DrawFacts) -> Iterator[Finding]:
    randomness = None if facts.beacon is None else bytes.fromhex(facts.beacon.randomness)
    key = order_key(bytes.fromhex(facts.secret), facts.entries, bytes.fromhex(facts.root), randomness)
    yield verdict(
        "key",
        holds=key.hex() == facts.key,
        yes="follows from secret, entries and beacon" if facts.beacon else "follows from secret and entries",
        no="does not follow from secret, number of entries, root and beacon",
    )


def _check_times(facts: DrawFacts) -> Finding:
    times = [facts.committed_at, facts.closed_at, facts.fixed_at, facts.drawn_at]
    holds = facts.draw_at <= facts.closed_at + SLACK and all(one <= two + SLACK for one, two in pairwise(times))
    return verdict(
        "times",
        holds=holds,
        yes=f"committed {instant(facts.committed_at)}, closed {instant(facts.closed_at)}, fixed"
        f" {instant(facts.fixed_at)}, drawn {instant(facts.drawn_at)}",
        no="committed, closed, fixed, drawn: not in this order",
    )


def _check_losses(facts: DrawFacts) -> Finding:
    """Losses excuse missing entries. So they are told, in order, and none is later than the entries."""
    losses = facts.losses
    if losses is None:
        return note("losses", "a file of version 1 tells none: a number lost with Redis looks as if it was dropped")
    if not losses:
        return ok("losses", "none: Redis lost nobody who waited")
    if any(one.epoch >= two.epoch or one.numbers_to > two.numbers_to for one, two in pairwise(losses)):
        return fault("losses", "the losses of Redis are out of order")
    times = [*(loss.at for loss in losses), facts.fixed_at]
    if any(one > two + SLACK for one, two in pairwise(times)):
        return fault("losses", "the losses of Redis are not in the order of time, or one is later than the entries")
    return warning("losses", _tell_losses(losses))


def _tell_losses(losses: Sequence[Loss]) -> str:
    count = len(losses)
    times = "once" if count == 1 else f"{count:,} times"
    told = "; ".join(f"{instant(loss.at)}, {loss.waiting:,} waited" for loss in losses[-_MOST_TOLD:])
    last = ", last" if count > _MOST_TOLD else ""
    return f"Redis lost who waited {times}{last}: {told}. Who did not come back in time is not in the draw"


def _check_statement(facts: SignedFacts, signatures: Signatures) -> Iterator[Finding]:
    try:
        said = signatures.read(facts.statement, DRAW_TYP)
    except BadInput as error:
        yield fault("statement", str(error))
        return
    here = facts.facts().model_dump(mode="json", by_alias=True)
    others = sorted(name for name in here.keys() | said.claims.keys() if here.get(name) != said.claims.get(name))
    if others:
        yield fault("statement", f"the operator's statement says something else of: {', '.join(others)}")
    elif said.is_signed is None:
        yield note("statement", "agrees with the file; give --keys to check who signed it")
    else:
        yield verdict(
            "statement",
            holds=said.is_signed,
            yes="all of this is signed by the ticket service",
            no="is not signed with the keys given",
        )


def _weigh(facts: DrawFacts, chains: Mapping[str, Chain], noted: Noted, *, is_false: bool) -> Finding:
    """What the fairness of the order rests on; ``is_false``: something it would rest on is not as it says."""
    if facts.beacon is None:
        return warning("trust", "no beacon: who had the draw key could foresee the order. You trust the operator")
    if facts.beacon.chain not in chains:
        return warning("trust", "cannot be judged: chain unknown, give --chains")
    if is_false:
        return warning("trust", "cannot be judged: see the faults")
    if facts.trust(chains) is Trust.OPERATOR:
        return warning("trust", "the beacon's round was known when the entries were fixed: you trust the operator")
    if noted.root is None:
        return ok("trust", "nobody could foresee the order, if the entries were fixed when the file says")
    return ok("trust", "nobody could foresee the order, if you noted the root before the beacon's round")


def instant(at: datetime) -> str:
    """For people."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
