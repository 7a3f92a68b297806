"""Proofs that one entry is in a draw: to be checked without the other entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tiketi_runtime.contracts.draw_file import DrawFile, ProofFile
from tiketi_runtime.contracts.merkle import inclusion_path, root_from_path
from tiketi_services.verify.findings import BadInput, Finding, Level, fault, note, ok, verdict
from tiketi_services.verify.receipts import Receipt, check_claims


def make_proof(file: DrawFile, receipt: Receipt) -> ProofFile:
    """The proof for the receipt's entry. Raises BadInput if the draw does not have it."""
    facts, seq = file.facts, receipt.claims.seq
    leaves = [bytes.fromhex(leaf) for leaf in file.leaves]
    if seq > len(leaves) or leaves[seq - 1] != receipt.leaf:
        raise BadInput(f"{receipt.name}: this entry is not in the draw; tiketi verify says more")
    return ProofFile(
        format="tiketi-proof",
        version=facts.version,
        facts=facts,
        seq=seq,
        leaf=receipt.leaf.hex(),
        path=tuple(node.hex() for node in inclusion_path(leaves, seq - 1)),
        place=facts.draw.place(seq),
        receipt=receipt.word,
    )


def check_proof(proof: ProofFile, receipts: Sequence[Receipt]) -> Iterator[Finding]:
    """Whether the entry is under the root, has the place the proof says, and is the one of the receipts."""
    facts = proof.facts
    path, has_place = _check_path(proof), _has_place(proof)
    yield path
    if not has_place:
        yield fault("place", f"number {proof.seq:,} does not have place {proof.place:,}")
    for receipt in receipts:
        yield from check_claims(receipt, facts)
        yield _check_entry(proof, receipt, is_proven=has_place and path.level is Level.OK)


def _has_place(proof: ProofFile) -> bool:
    return proof.seq <= proof.facts.entries and proof.facts.draw.place(proof.seq) == proof.place


def _check_entry(proof: ProofFile, receipt: Receipt, *, is_proven: bool) -> Finding:
    check = f"receipt {receipt.name}"
    if (receipt.claims.seq, receipt.leaf.hex()) != (proof.seq, proof.leaf):
        return fault(check, "is of another entry")
    if not is_proven:
        return note(check, f"is of number {proof.seq:,}, of which this proves nothing")
    return ok(check, f"number {proof.seq:,} is in the draw and has place {proof.place:,}")


def _check_path(proof: ProofFile) -> Finding:
    path = [bytes.fromhex(node) for node in proof.path]
    try:
        root = root_from_path(bytes.fromhex(proof.leaf), proof.seq - 1, proof.facts.entries, path)
    except ValueError as error:
        return fault("path", str(error))
    return verdict(
        "path",
        holds=root.hex() == proof.facts.root,
        yes=f"leads from the entry of number {proof.seq:,} to the root",
        no="does not lead to the root",
    )
