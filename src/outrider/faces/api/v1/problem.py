"""From an error to its problem details (RFC 9457): one shape for everything under /v1 that did not go well.

    {"type": "urn:outrider:problem:bad_request", "title": "The request is wrong", "status": 400, "code": "bad_request",
     "detail": "invalid address: no @", "field": "to[1]", "request_id": "..."}

`code` is the error's in docs/reference/errors.md; `title` is the same for all of one code, `detail` says what is wrong
here. Our own faults say nothing of themselves: the request id leads to the log.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.errors import BusyError, CallerError, LimitReachedError, OutriderError, StoreUnavailableError
from outrider.obs.log import Logger

MEDIA_TYPE: Final = "application/problem+json"
_BUSY_RETRY_S: Final = 1.0  # Ours: queues inside a process drain in less.
_SERVER_ERROR: Final = "Something went wrong here; nothing was kept. The request_id finds it in the log."
_TITLES: Final[Mapping[str, str]] = {
    "bad_request": "The request is wrong",
    "missing_field": "A required field is missing",
    "unauthenticated": "No valid key",
    "forbidden": "The key may not do this",
    "not_found": "There is no such thing",
    "method_not_allowed": "Not with this method",
    "conflict": "It contradicts what is stored",
    "too_large": "It is too large",
    "content_refused": "The content looks like junk",
    "limit_reached": "A limit is reached",
    "busy": "Too busy now",
    "store_unavailable": "The database is away",
}


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of several things wrong with a request."""

    field: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong. `field` names the part of the request at fault, `to[1]`; without it it is the whole."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: UUID | None = None  # None: within a batch, whose answer has one.
    field: str = ""
    errors: Sequence[Fault] = ()
    retry_after_s: float | None = None


class FaultsError(CallerError):
    """More than one thing is wrong; `errors` of the problem has them all."""

    def __init__(self, public: str, faults: Sequence[Fault], *, field: str = "") -> None:
        super().__init__(public, field=field)
        self.faults: Final = tuple(faults)


def render(error: OutriderError, request_id: UUID | None, fields: Mapping[str, str]) -> Problem:
    """Return the problem. `fields` maps the engine's names of fields to those of the call's JSON."""
    is_ours = not isinstance(error, CallerError | BusyError | StoreUnavailableError)
    code = "internal" if is_ours else error.code
    retry_after_s = None
    if isinstance(error, LimitReachedError):
        retry_after_s = error.retry_after_s
    elif error.status == 503:
        retry_after_s = _BUSY_RETRY_S
    return Problem(
        type=f"urn:outrider:problem:{code}",
        title=_TITLES.get(code, "Our fault" if is_ours else "The request is wrong"),
        status=error.status,
        code=code,
        detail=_SERVER_ERROR if is_ours else error.public,
        request_id=request_id,
        field=renamed(error.field, fields) if isinstance(error, CallerError) else "",
        errors=error.faults if isinstance(error, FaultsError) else (),
        retry_after_s=retry_after_s,
    )


def renamed(field: str, fields: Mapping[str, str]) -> str:
    """Return the JSON's name of a field: the first part is looked up, what follows (`[2].name`) stays."""
    cut = next((at for at, char in enumerate(field) if char in "[."), len(field))
    return fields.get(field[:cut], field[:cut]) + field[cut:]


def note(log: Logger, error: OutriderError, request_id: str) -> None:
    """Log what the operator should hear of: neither callers' mistakes nor load shed on purpose."""
    if not isinstance(error, CallerError | BusyError):
        detail = {f"detail_{name}": value for name, value in error.detail.items()}
        log.error("v1_call_refused", request_id=request_id, code=error.code, **detail)
