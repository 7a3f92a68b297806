"""The HTTP side: a page for people, ``/mails`` for programs."""

from __future__ import annotations

import html
import re
from typing import Any, Final

from aiohttp import web

from tiketi_local.mail.box import CaughtMail, Mailbox

BOX: Final = web.AppKey("box", Mailbox)
_SHOWN: Final = 200
_LONGEST_WAIT: Final = 30.0
_LINK: Final = re.compile(r"(https?://[^\s<>\"]+)")
_PAGE: Final = """<!doctype html><meta charset="utf-8"><title>Mail of this world</title>
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
td,th{{text-align:left;padding:.2rem 1rem .2rem 0}}pre{{white-space:pre-wrap;overflow-wrap:anywhere}}</style>
{body}"""

routes = web.RouteTableDef()


def create_app(box: Mailbox) -> web.Application:
    """Page and API over one mailbox."""
    app = web.Application()
    app[BOX] = box
    app.add_routes(routes)
    return app


@routes.get("/")
async def index(request: web.Request) -> web.Response:
    """The newest mails; ``?to=`` for one recipient."""
    to = request.query.get("to")
    mails = request.app[BOX].newest(_SHOWN) if to is None else request.app[BOX].find(to)[::-1][:_SHOWN]
    rows = "".join(
        f'<tr><td>{mail.caught_at:%H:%M:%S}<td><a href="/?to={html.escape(mail.to)}">{html.escape(mail.to)}</a>'
        f'<td><a href="/read/{mail.id}">{html.escape(mail.subject)}</a>'
        for mail in mails
    )
    head = "<h1>Mail of this world</h1><p>Nothing is delivered: every mail ends here.</p>"
    return _page(f"{head}<table><tr><th>UTC<th>to<th>subject{rows}</table>")


@routes.get("/read/{id:[0-9]{1,12}}")
async def read(request: web.Request) -> web.Response:
    """One mail, its links to click on."""
    mail = request.app[BOX].mail(int(request.match_info["id"]))
    if mail is None:
        raise web.HTTPNotFound
    headers = "".join(f"<tr><th>{html.escape(name)}<td>{html.escape(value)}" for name, value in mail.headers)
    return _page(f'<p><a href="/">all mails</a><table>{headers}</table><hr><pre>{_linked(mail.text)}</pre>')


@routes.get("/mails")
async def list_mails(request: web.Request) -> web.Response:
    """Mails after id ``after`` (0), oldest first, at most 1000; of recipient ``to``; waits ``wait`` (0) s for one."""
    try:
        after = int(request.query.get("after", 0))
        seconds = min(float(request.query.get("wait", 0)), _LONGEST_WAIT)
    except ValueError:
        raise web.HTTPBadRequest(text="after and wait are numbers") from None
    mails = await request.app[BOX].wait(request.query.get("to"), after, seconds)
    return web.json_response([_entry(mail) for mail in mails])


@routes.get("/mails/last")
async def last_mail(request: web.Request) -> web.Response:
    """``id`` of the newest mail, to be told only of what comes later."""
    return web.json_response({"id": request.app[BOX].last_id})


@routes.get("/healthz")
async def healthz(_: web.Request) -> web.Response:
    """Whether the catcher answers."""
    return web.Response(text="ok")


def _entry(mail: CaughtMail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "to": mail.to,
        "from": mail.sender,
        "subject": mail.subject,
        "text": mail.text,
        "headers": dict(mail.headers),
        "caughtAt": mail.caught_at.isoformat(),
    }


def _linked(text: str) -> str:
    """HTML of a text, its links to click on."""
    parts = [html.escape(part) for part in _LINK.split(text)]
    parts[1::2] = [f'<a href="{link}">{link}</a>' for link in parts[1::2]]
    return "".join(parts)


def _page(body: str) -> web.Response:
    """Mails are strangers' words: nothing in them runs."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return web.Response(
        text=_PAGE.format(body=body), content_type="text/html", headers={"content-security-policy": policy}
    )
