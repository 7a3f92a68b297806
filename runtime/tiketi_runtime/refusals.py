"""What an OpenAPI document says of refusals: each route's problems with their codes, told from the error classes.

A route names the errors that are its own. What any route may answer is added when the document is made: a body that
is no JSON or too large, a value that cannot be, a path that leads nowhere, the front door's limits, a store away.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from tiketi_runtime.errors import InvalidRequest, NotFound, TiketiError, TooLarge, Unavailable
from tiketi_runtime.problems import MalformedJson, UnstorableText

Kinds = tuple[type[TiketiError], ...]
Schema = dict[str, Any]

OF_ANY: Final[Kinds] = (NotFound, InvalidRequest, UnstorableText, Unavailable)
"""What every operation may answer."""
OF_BODY: Final[Kinds] = (MalformedJson, TooLarge)
"""What every operation that takes a body may answer as well."""
PROBLEM: Final = "application/problem+json"

_FRONT_DOOR: Final = "`rate-limited`: The front door's limits per buyer, address and event."
_TEXT: Final[Schema] = {"type": "string"}
_PROPERTIES: Final[Schema] = {
    "type": _TEXT,
    "title": _TEXT,
    "status": {"type": "integer"},
    "code": {**_TEXT, "description": "Stable; decide by it."},
    "detail": {**_TEXT, "description": "For people: what is wrong, and the mend."},
}
_RETRY_AFTER: Final[Schema] = {
    "Retry-After": {"description": "Seconds to wait, when it is known.", "schema": {"type": "integer", "minimum": 1}}
}
_SIGN_IN: Final[Schema] = {"WWW-Authenticate": {"description": "Bearer.", "required": True, "schema": _TEXT}}


def documented(kinds: Kinds) -> Schema:
    """The ``responses`` of a route that may raise these: one for each status, all codes in its description."""
    ordered = sorted(dict.fromkeys(kinds), key=lambda kind: kind.status)
    found = {
        str(status): _response(status, list(group)) for status, group in groupby(ordered, lambda kind: kind.status)
    }
    found.setdefault("429", _response(429, []))
    return dict(sorted(found.items()))


def refuses(*kinds: type[TiketiError]) -> dict[int | str, Schema]:
    """``documented``, as FastAPI takes it for ``responses``."""
    return {int(status): response for status, response in documented(kinds).items()}


def complete(document: Schema) -> None:
    """Add to every operation of a document what any route may answer."""
    for path in document["paths"].values():
        for operation in path.values():
            kinds = (*OF_ANY, *OF_BODY) if "requestBody" in operation else OF_ANY
            responses = operation["responses"]
            for status, response in documented(kinds).items():
                known = responses.get(status)
                if known is None or PROBLEM not in known.get("content", {}):  # or the framework's own
                    responses[status] = response
                else:
                    _join(known, response)


def _join(known: Schema, more: Schema) -> None:
    codes: list[str] = known["content"][PROBLEM]["schema"]["properties"]["code"]["enum"]
    added = more["content"][PROBLEM]["schema"]["properties"]["code"]["enum"]
    lines = dict(zip(added, more["description"].split("\n\n"), strict=True))
    new = [code for code in added if code not in codes]
    known["description"] = "\n\n".join([known["description"], *(lines[code] for code in new)])
    codes.extend(new)


def _response(status: int, kinds: list[type[TiketiError]]) -> Schema:
    lines = [f"`{kind.code}`: {(kind.__doc__ or '').strip().splitlines()[0].replace('``', '`')}" for kind in kinds]
    codes: list[str] = [kind.code for kind in kinds]
    if status == 429:
        lines, codes = [*lines, _FRONT_DOOR], [*codes, "rate-limited"]
    properties = {**_PROPERTIES, "code": {**_PROPERTIES["code"], "enum": codes}}
    for kind in kinds:
        properties |= kind.documented_members
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    response: Schema = {"description": "\n\n".join(lines), "content": {PROBLEM: {"schema": schema}}}
    if status == 401:
        response["headers"] = _SIGN_IN
    elif status in (409, 429, 503):
        response["headers"] = _RETRY_AFTER
    return response
