"""The draw over HTTP: the file anybody can check, and receipts that prove an entry to others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from tiketi_runtime.contracts.draw_file import DrawFile, SignedFacts
from tiketi_runtime.contracts.identity import BuyerId, EventId, Line
from tiketi_runtime.errors import InvalidToken, Unauthenticated
from tiketi_runtime.refusals import refuses
from tiketi_runtime.security import Identity, TokenSigner
from tiketi_runtime.web import bearer_identity
from tiketi_services.ticket.queue import usecases
from tiketi_services.ticket.queue.domain import ForeignReceipt, UnknownLine, find_line
from tiketi_services.ticket.queue.lottery.draws import DrawArchive, Lottery, NotDrawn, file_head
from tiketi_services.ticket.queue.usecases import Queue
from tiketi_services.ticket.sales.domain import UnknownEvent
from tiketi_services.ticket.sales.routes import OpenSale

router = APIRouter(prefix="/events/{namespace}/{name}/queue/{line}", tags=["queue"])

_LEAVES_AT_ONCE: Final = 4096
"""128 KiB of the database, 270 KiB of the answer."""
_LEAF_BYTES: Final = 2 + 64
"""A leaf in the file: hexadecimal, quoted."""
_TAIL: Final = b"]}\n"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_AN_HOUR: Final = "public, max-age=3600"


class ReceiptBody(BaseModel):
    """The receipt that joining answered."""

    receipt: Annotated[str, Field(min_length=1, max_length=2048)]


class SignedReceipt(BaseModel):
    """A receipt that anybody can check with the public keys at `keys` beside it."""

    receipt: str = Field(description="JWS, typ place-receipt+jwt: the entry's number, leaf, and the commitment.")


async def _lottery(request: Request) -> Lottery:
    lottery: Lottery = request.app.state.lottery
    return lottery


async def _queue(request: Request) -> Queue:
    queue: Queue = request.app.state.queue
    return queue


TheLottery = Annotated[Lottery, Depends(_lottery)]


_UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "If-None-Match named this very file."}}


@router.get("/draw", response_model=DrawFile, responses={**_UNCHANGED, **refuses(UnknownEvent, UnknownLine, NotDrawn)})
async def download_draw(request: Request, sale: OpenSale, line: str, lottery: TheLottery) -> Response:
    """The draw as a file that `tiketi verify` checks, signed with a key of `keys`: it never changes. 404 until the
    order is drawn, with what is public already; anybody may keep that, and compare.
    """
    sheet = find_line(sale, line)
    record = lottery.draws.record(sale.event, sheet.name)
    if record is None or record.facts is None:
        known: dict[str, Any] = (
            {}
            if record is None
            else record.notice(sheet, lottery.chains).model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        detail = "The order is not drawn yet." if sheet.draw_at is not None else "The order is that of joining."
        raise NotDrawn(detail, **known)
    facts = record.facts
    tag = f'"{sha256(facts.statement.encode()).hexdigest()[:32]}"'
    headers = {"cache-control": _FOR_EVER, "etag": tag}
    if tag in (each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    headers["content-disposition"] = f'attachment; filename="draw-{facts.event.replace("/", "-")}-{facts.line}.json"'
    headers["content-length"] = str(_length(facts))
    return StreamingResponse(_file(lottery.archive, facts), headers=headers, media_type="application/json")


@router.get("/keys", responses=refuses(UnknownEvent, UnknownLine))
async def public_keys(request: Request, response: Response, sale: OpenSale, line: str) -> dict[str, Any]:
    """The public keys that draws and receipts are signed with (a JWK Set, RFC 7517): keep them with your receipt."""
    find_line(sale, line)
    signer: TokenSigner = request.app.state.signer
    response.headers["cache-control"] = _AN_HOUR
    return signer.jwks()


@router.post(
    "/receipt",
    response_model=SignedReceipt,
    responses=refuses(Unauthenticated, InvalidToken, UnknownEvent, UnknownLine, ForeignReceipt),
)
async def sign_receipt(
    request: Request,
    response: Response,
    sale: OpenSale,
    line: str,
    body: ReceiptBody,
    identity: Annotated[Identity, Depends(bearer_identity)],
    lottery: TheLottery,
    queue: Annotated[Queue, Depends(_queue)],
) -> SignedReceipt:
    """Your receipt, signed: keep it. If your entry is missing from the draw, or altered, it proves so to anybody."""
    receipt = usecases.open_receipt(queue, sale, line, BuyerId(identity.subject), body.receipt)
    response.headers["cache-control"] = "no-store"
    return SignedReceipt(receipt=await lottery.receipts.sign(receipt, find_line(sale, line).beacon))


async def _file(archive: DrawArchive, facts: SignedFacts) -> AsyncIterator[bytes]:
    """The draw file in pieces of some hundred KiB."""
    yield file_head(facts)
    event, line = EventId(facts.event), Line(facts.line)
    for first in range(0, facts.entries, _LEAVES_AT_ONCE):
        leaves = await archive.leaves(event, line, first, _LEAVES_AT_ONCE)
        yield (b"," if first else b"") + b",".join(b'"%s"' % leaf.hex().encode() for leaf in leaves)
    yield _TAIL


def _length(facts: SignedFacts) -> int:
    commas = max(0, facts.entries - 1)
    return len(file_head(facts)) + facts.entries * _LEAF_BYTES + commas + len(_TAIL)
