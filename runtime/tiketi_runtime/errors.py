"""The one error tree. Three translators stand at the edges: HTTP problem, kopf error, message."""

from __future__ import annotations

from typing import Any, ClassVar


class TiketiError(Exception):
    """Something a caller can be told about.

    ``code`` is stable and part of the public contract; ``status`` is the HTTP status; ``retryable`` says that
    the same call may succeed later without a change. Keyword arguments become members of the problem document.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Internal error"
    is_noted: ClassVar[bool] = True
    """Whether the audit's log has a line of it; not for what a crowd hears by the thousand while all is well."""
    documented_members: ClassVar[dict[str, Any]] = {}
    """JSON schemas of members that are always there, for the OpenAPI document."""

    def __init__(self, detail: str = "", **members: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.members = members


class InvalidRequest(TiketiError):
    """The request can be read, but a value in it cannot be accepted. The detail names the field and the mend."""

    code, status, title = "invalid-request", 422, "Invalid request"


class Unauthenticated(TiketiError):
    """No proof of identity, or one that does not hold."""

    code, status, title = "unauthenticated", 401, "Not signed in"


class InvalidToken(Unauthenticated):
    """A token, receipt or pass that was altered, expired, or made for another purpose."""

    code, title = "invalid-token", "Invalid token"


class Forbidden(TiketiError):
    """The caller is known and may not do this."""

    code, status, title = "forbidden", 403, "Forbidden"


class NotFound(TiketiError):
    """The thing named in the request does not exist, or not for this caller."""

    code, status, title = "not-found", 404, "Not found"


class Conflict(TiketiError):
    """The request is right, but the state of things does not allow it now."""

    code, status, title = "conflict", 409, "Conflict"


class TooLarge(TiketiError):
    """The request body is larger than this endpoint takes."""

    code, status, title = "body-too-large", 413, "Body too large"


class TooManyRequests(TiketiError):
    """The caller is over a limit. ``retryAfter`` (seconds) is sent as a header as well."""

    code, status, retryable, title = "too-many-requests", 429, True, "Too many requests"


class Unavailable(TiketiError):
    """A part this answer needs is away for the moment. ``retryAfter`` (seconds) is sent as a header as well."""

    code, status, retryable, title = "unavailable", 503, True, "Unavailable"
