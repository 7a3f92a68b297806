"""The floor of any answer over HTTP: ``python -m tests.load.line.echo PORT ANSWER``.

Reads a request and answers what is in the file ANSWER, head and body of an answer as it came over the wire. No
framework, no routing, no store, no log; plain uvicorn with its fastest loop and parser.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send


def echo(answer: bytes) -> ASGIApp:
    """An application that always gives this answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    pairs = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    headers = [(name, value) for name, value in pairs if name != b"date"]  # the server adds it
    start = {"type": "http.response.start", "status": 200, "headers": headers}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await receive()
            await send(start)
            await send({"type": "http.response.body", "body": body})

    return app


if __name__ == "__main__":
    uvicorn.run(
        echo(Path(sys.argv[2]).read_bytes()),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
