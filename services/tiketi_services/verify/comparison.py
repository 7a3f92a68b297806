"""Compares two copies of a draw, and names what differs: entries dropped, added, altered or reordered."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from tiketi_runtime.contracts.draw_file import DRAW_TYP, DrawFile, SignedFacts
from tiketi_services.verify.findings import Finding, fault, ok, warning
from tiketi_services.verify.signatures import Signatures

_MOST_NAMED = 20
"""Differences named one by one; further ones are counted."""


def compare(ours: DrawFile, theirs: DrawFile, signatures: Signatures) -> Iterator[Finding]:
    """What differs from ``theirs``, a copy that somebody else downloaded."""
    one, other = ours.facts.model_dump(mode="json"), theirs.facts.model_dump(mode="json")
    fields = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    differences = list(_differences(ours.leaves, theirs.leaves))
    if not fields and not differences:
        yield ok("comparison", "both copies say the same")
        return
    if fields:
        yield fault("comparison", f"the copies differ in: {', '.join(fields)}")
    yield from (fault("comparison", text) for text in differences[:_MOST_NAMED])
    if len(differences) > _MOST_NAMED:
        yield fault("comparison", f"and {len(differences) - _MOST_NAMED:,} further differences")
    if "statement" in fields and all(_is_signed(file.facts, signatures) for file in (ours, theirs)):
        yield warning("comparison", "the operator has signed both: two draws of one line. Show them to the public")


def _is_signed(facts: SignedFacts, signatures: Signatures) -> bool:
    return bool(signatures.read(facts.statement, DRAW_TYP).is_signed)


def _differences(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    """In words, by number in their copy, then in ours."""
    here = {leaf: number for number, leaf in enumerate(ours, start=1)}
    there = {leaf: number for number, leaf in enumerate(theirs, start=1)}
    replaced = {
        number
        for number, (mine, yours) in enumerate(zip(ours, theirs, strict=False), start=1)
        if mine not in there and yours not in here
    }
    for leaf, number in there.items():
        if leaf not in here:
            yield (
                f"altered: number {number:,} is another entry" if number in replaced else f"dropped: number {number:,}"
            )
    for leaf, number in here.items():
        if leaf not in there and number not in replaced:
            yield f"added: number {number:,} is in this copy only"
    common = [leaf for leaf in theirs if leaf in here]
    for leaf in _out_of_order(common, [here[leaf] for leaf in common]):
        yield f"reordered: number {there[leaf]:,} stands at {here[leaf]:,}"


def _out_of_order(leaves: Sequence[str], numbers: Sequence[int]) -> Iterator[str]:
    """The fewest leaves that must have moved: all but a longest ascending run of numbers (patience sorting)."""
    ends: list[int] = []  # ends[k]: least number that ends an ascending run of k + 1
    at: list[int] = []  # index of that number
    before: list[int] = []  # index of the number before, for each index; -1: none
    for index, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(at[length - 1] if length else -1)
        ends[length : length + 1] = [number]
        at[length : length + 1] = [index]
    run = set()
    index = at[-1] if at else -1
    while index >= 0:
        run.add(index)
        index = before[index]
    return (leaf for index, leaf in enumerate(leaves) if index not in run)
