"""Console script ``tiketi``: checks a draw, or a ticket, offline.

Exit status: 0 it verifies, 1 it does not (and what), 2 the input cannot be used, 3 it verifies, but an entry was lost
with Redis, as the file tells.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tiketi_runtime.beacon_chains import read_chains
from tiketi_runtime.contracts.beacon import Chain
from tiketi_runtime.contracts.draw_file import DrawFile, ProofFile
from tiketi_services.verify.comparison import compare
from tiketi_services.verify.draws import Noted, check_facts, check_leaves, check_order
from tiketi_services.verify.findings import BadInput, Finding, Level, note
from tiketi_services.verify.proofs import check_proof, make_proof
from tiketi_services.verify.receipts import Receipt, check_alone, check_receipt, numbers_in, read_receipt
from tiketi_services.verify.report import Subject, as_json, as_text, is_lost, verifies
from tiketi_services.verify.signatures import Signatures
from tiketi_services.verify.tickets import check_ticket, open_code, read_keys, read_void_list

_VERIFIED: Final = 0
_FALSE: Final = 1
_BAD_INPUT: Final = 2
_LOST: Final = 3
_KINDS: Final[Mapping[str, type[DrawFile] | type[ProofFile]]] = {"tiketi-draw": DrawFile, "tiketi-proof": ProofFile}
_HASH: Final = re.compile("[0-9a-f]{64}")
_TOKEN: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""A signed token."""
_ALONE: Final = note(
    "anchor", "it agrees with itself. What ties it to your draw: --receipt, or the --commitment and --root you noted"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Console script ``tiketi``."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except BadInput as error:
        sys.stderr.write(f"tiketi: {error}\n")
        code = _BAD_INPUT
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tiketi", description="Check a draw or a ticket, on your own machine.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('tiketi')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--keys", type=Path, metavar="FILE", help="public keys of the ticket service (a JWK Set)")

    verify = commands.add_parser("verify", parents=[common], help="check a draw, a proof for one entry, or a receipt")
    verify.add_argument("file", type=Path, metavar="FILE", help="the draw as downloaded, a proof, or a signed receipt")
    verify.add_argument("--receipt", type=Path, metavar="FILE", action="append", default=[], help="your signed receipt")
    verify.add_argument("--commitment", metavar="HEX", help="the commitment you noted before the draw")
    verify.add_argument("--root", metavar="HEX", help="the root you noted before the beacon's round")
    verify.add_argument("--compare", type=Path, metavar="FILE", help="a copy of the draw from somebody else")
    verify.add_argument(
        "--chains", type=Path, metavar="FILE", help="further beacon chains (what relays answer to /info)"
    )
    verify.add_argument("--order", type=Path, metavar="FILE", help="write the whole order: place, number, leaf")
    verify.add_argument("--json", action="store_true", help="for programs")
    verify.set_defaults(run=_verify)

    proof = commands.add_parser("proof", parents=[common], help="print a proof for one entry, to be checked alone")
    proof.add_argument("file", type=Path, metavar="FILE", help="the draw as downloaded")
    proof.add_argument("--receipt", type=Path, metavar="FILE", required=True, help="your signed receipt")
    proof.set_defaults(run=_proof)

    ticket = commands.add_parser("ticket", help="check the code of a ticket, as a gate without a network can")
    ticket.add_argument("code", metavar="CODE", help="the text of the QR code; - reads it from standard input")
    ticket.add_argument(
        "--keys", type=Path, metavar="FILE", required=True, help="public keys of the ticket service (a JWK Set)"
    )
    ticket.add_argument("--event", metavar="NAMESPACE/NAME", help="the event of this gate")
    ticket.add_argument("--void", type=Path, metavar="FILE", help="the event's void list, as downloaded")
    ticket.add_argument("--json", action="store_true", help="for programs")
    ticket.set_defaults(run=_ticket)
    return parser


def _verify(options: argparse.Namespace) -> int:
    signatures = _signatures(options.keys)
    noted = Noted(_hash("--commitment", options.commitment), _hash("--root", options.root))
    file = _read_any(options.file, signatures)
    if isinstance(file, Receipt):
        return _verify_receipt(file, options)
    receipts = [_read_receipt(path, signatures) for path in options.receipt]
    chains = _chains(options.chains)
    findings = list(check_facts(file.facts, signatures, chains, noted))
    if isinstance(file, ProofFile):
        if options.compare or options.order:
            raise BadInput("--compare and --order need a draw with all its leaves, this is a proof for one entry")
        findings += _check_proof(file, receipts, signatures)
    else:
        findings += _check_draw(file, receipts)
        if options.compare:
            findings += compare(file, _read_draw(options.compare), signatures)
    if not (receipts or options.commitment or options.root or options.compare):
        findings.append(_ALONE)
    if options.order and isinstance(file, DrawFile) and verifies(findings):
        _write_order(options.order, file)
    return _conclude(file.facts, findings, options)


def _verify_receipt(receipt: Receipt, options: argparse.Namespace) -> int:
    """Before the draw there is nothing else to check."""
    if options.receipt or options.root or options.compare or options.order:
        raise BadInput("--receipt, --root, --compare and --order need a draw, this is a receipt")
    return _conclude(receipt.claims, list(check_alone(receipt, options.commitment)), options)


def _conclude(subject: Subject, findings: Sequence[Finding], options: argparse.Namespace) -> int:
    _tell(as_json(subject, findings) if options.json else as_text(subject, findings, in_colour=_in_colour()))
    if not verifies(findings):
        return _FALSE
    return _LOST if is_lost(findings) else _VERIFIED


def _hash(option: str, text: str | None) -> str | None:
    """What somebody noted. Raises BadInput if it is no hash."""
    if text is None or _HASH.fullmatch(text):
        return text
    raise BadInput(f"{option}: not a hash, which is 64 digits 0-9 and a-f: {text!r}")


def _check_draw(file: DrawFile, receipts: Sequence[Receipt]) -> list[Finding]:
    findings = [*check_leaves(file), check_order(file.facts)]
    leaves = [bytes.fromhex(leaf) for leaf in file.leaves]
    numbers = numbers_in(file.facts, leaves, receipts)
    for receipt in receipts:
        findings += check_receipt(receipt, file.facts, leaves, numbers)
    return findings


def _check_proof(proof: ProofFile, receipts: Sequence[Receipt], signatures: Signatures) -> list[Finding]:
    enclosed = [] if proof.receipt is None else [read_receipt("enclosed", proof.receipt, signatures)]
    return list(check_proof(proof, [*enclosed, *receipts]))


def _proof(options: argparse.Namespace) -> int:
    signatures = _signatures(options.keys)
    file = _read_draw(options.file)
    faults = [finding for finding in check_leaves(file) if finding.level is Level.FAULT]
    if faults:
        _tell(as_text(file.facts, faults, in_colour=_in_colour()))
        return _FALSE
    proof = make_proof(file, _read_receipt(options.receipt, signatures))
    _tell(proof.model_dump_json(by_alias=True, indent=2))
    return _VERIFIED


def _ticket(options: argparse.Namespace) -> int:
    try:
        keys = read_keys(_json(options.keys, _read(options.keys)))
    except BadInput as error:
        raise BadInput(_naming(options.keys, error)) from error
    content = open_code((sys.stdin.read() if options.code == "-" else options.code).strip(), keys)
    return _conclude(content, list(check_ticket(content, options.event, _void_list(options.void))), options)


def _void_list(path: Path | None) -> tuple[str, frozenset[str]] | None:
    if path is None:
        return None
    try:
        return read_void_list(_json(path, _read(path)))
    except BadInput as error:
        raise BadInput(_naming(path, error)) from error


def _naming(path: Path, error: BadInput) -> str:
    """The message, with the file it is about."""
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def _write_order(path: Path, file: DrawFile) -> None:
    try:
        with path.open("w") as out:
            out.write("place\tnumber\tleaf\n")
            for place, seq in enumerate(file.facts.draw.order(), start=1):
                out.write(f"{place}\t{seq}\t{file.leaves[seq - 1]}\n")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error


def _read_any(path: Path, signatures: Signatures) -> DrawFile | ProofFile | Receipt:
    text = _read(path)
    if _TOKEN.fullmatch(text.strip()):
        return _read_receipt(path, signatures)
    document = _json(path, text)
    if isinstance(document, Mapping) and "receipt" in document and "format" not in document:
        return _read_receipt(path, signatures)
    return _as_file(path, document)


def _as_file(path: Path, document: Any) -> DrawFile | ProofFile:
    if isinstance(document, Mapping) and document.get("code") == "not-drawn":
        raise BadInput(f"{path}: {_tell_early(document)}")
    kind = _KINDS.get(str(document.get("format"))) if isinstance(document, Mapping) else None
    if kind is None:
        raise BadInput(f"{path}: neither a draw, nor a proof, nor a signed receipt")
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _tell_early(answer: Mapping[str, Any]) -> str:
    """What the service answers before the draw is the thing to hold the draw against."""
    noted = " ".join(f"--{name} {answer[name]}" for name in ("commitment", "root") if name in answer)
    if noted:
        return f"not drawn yet; keep this, download again after {answer.get('drawAt')}, and check with {noted}"
    return f"not drawn yet; it says: {answer.get('detail')}"


def _read_draw(path: Path) -> DrawFile:
    file = _as_file(path, _json(path, _read(path)))
    if not isinstance(file, DrawFile):
        raise BadInput(f"{path}: a draw with all its leaves is needed, this is a proof for one entry")
    return file


def _read_receipt(path: Path, signatures: Signatures) -> Receipt:
    """A file that holds the bare token, or the answer of the service with it."""
    text = _read(path).strip()
    if text.startswith("{"):
        answer = _json(path, text)
        text = str(answer.get("receipt", ""))
    return read_receipt(path.name, text, signatures)


def _signatures(path: Path | None) -> Signatures:
    if path is None:
        return Signatures(None)
    try:
        return Signatures(_json(path, _read(path)))
    except BadInput as error:
        raise BadInput(_naming(path, error)) from error


def _chains(path: Path | None) -> Mapping[str, Chain]:
    try:
        return read_chains(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{' '.join(str(error).split())} (--chains is what a relay answers to /<chain>/info)") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that is said twice one reader takes the first and another the last: then the file says two things."""
    said = dict(pairs)
    if len(said) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} is there twice")
    return said


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON: {error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not text") from error


def _in_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
