"""Times the answers that adaptive admission is judged by, around the application: their code knows nothing of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiketi_runtime.contracts.answer_times import Kind
from tiketi_runtime.contracts.identity import event_id
from tiketi_services.ticket.queue.pace.answers import Answer, Answers

_FAULT: Final = 500
"""Status from which on an answer is a fault of ours."""


class TimedAnswers:
    """ASGI layer that notes how long POSTs to some routes took, with what came of them."""

    def __init__(self, app: ASGIApp, answers: Answers, routes: Mapping[str, Kind]) -> None:
        """``routes``: by template; each has the parameters ``namespace`` and ``name``."""
        self._app = app
        self._answers = answers
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, note_status)
        if status:  # else the client is gone, and nobody was kept waiting
            self._note(scope, timedelta(seconds=time.perf_counter() - started), status)

    def _note(self, scope: Scope, took: timedelta, status: int) -> None:
        route: Any = scope.get("route")
        kind = self._routes.get(getattr(route, "path", ""))
        if kind is not None:
            path = scope["path_params"]
            answer = Answer(kind, took, is_fault=status >= _FAULT)
            self._answers.add(event_id(path["namespace"], path["name"]), answer)
