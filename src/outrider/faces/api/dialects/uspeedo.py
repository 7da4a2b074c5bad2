"""uSpeedo's email API, REST generation, under /api: what their clients send here works unchanged.

    POST /api/v1/email/SendEmail                  one content to 1-100 recipients, one separate message each
    GET  /api/v1/email/SendStatus?SessionNo=...   what became of them

Every answer is the same envelope (RetCode, Message, RequestUuid ...) with the header X-Speedo-Request-Uuid, errors
and unknown paths included; `uspeedo_faults` has the table of RetCodes. Bodies are JSON whatever their Content-Type
says. It translates and never decides: limits and address rules are the engine's.

One raw ASGI application takes the whole of /api: SendEmail is the hottest path of the web process, and a typed Litestar
handler would cost it more than all of the work here. Source: shared/uspeedo.md 1; docs/reference/api.md for users.
"""

import re
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast
from uuid import UUID

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPResponseStartEvent, HTTPScope, Receive, Scope, Send
from msgspec import UNSET

from outrider.base import digits, limits
from outrider.base.errors import BusyError, CallerError, OutriderError
from outrider.base.vocab import KeyScope
from outrider.engine.submission import Accepted, Submission
from outrider.faces.api import credentials, markup
from outrider.faces.api.body import CallerGoneError, discard_body, read_body
from outrider.faces.api.dialects import uspeedo_faults
from outrider.faces.api.dialects.uspeedo_types import (
    FailedTarget,
    Fault,
    RecipientRow,
    SendEmailAnswer,
    SendEmailBody,
    SendStatusAnswer,
)
from outrider.faces.api.ports import Ports
from outrider.services.access import Caller
from outrider.services.reports import EventView, RecipientView

ROOT: Final = "/api"
NO_ACTION: Final = "Invalid parameter [Action]"  # Nothing lives at this path, or not with this method.

_INVALID: Final = CallerError.ret_code
_VISIBLE_ASCII: Final = re.compile(rb"[\x21-\x7e]+")
_decode: Final = msgspec.json.Decoder(SendEmailBody).decode
_encode: Final = msgspec.json.Encoder().encode


class _Call(msgspec.Struct):
    """One request on its way through; headers are picked out in one pass."""

    scope: HTTPScope
    receive: Receive
    request_id: str
    length_bytes: int | None = None
    idempotency_key: bytes = b""
    body: bytes | None = None  # None: not read, so it may stand in the way of the answer.


class _Answer(msgspec.Struct, frozen=True):
    """What goes back. `ret_code` is in `content` already; it is for the metrics."""

    ret_code: int
    content: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


_Action = Callable[[_Call], Awaitable[_Answer]]


def routes(ports: Ports) -> list[ASGIRouteHandler]:
    """Return the one route handler of this dialect."""
    face = _Face(ports)

    @asgi(ROOT, is_mount=True, copy_scope=False)
    async def uspeedo(scope: Scope, receive: Receive, send: Send) -> None:
        await face.respond(cast("HTTPScope", scope), receive, send)

    return [uspeedo]


class _Face:
    """The table of actions and the envelope around them."""

    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports
        self._actions: Final[Mapping[str, tuple[str, _Action]]] = {
            "/v1/email/SendEmail": ("POST", self._send_email),
            "/v1/email/SendStatus": ("GET", self._send_status),
        }

    async def respond(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request. Never raises for anything it holds; the outermost layer of this face."""
        call = _Call(scope, receive, str(self._ports.new_request_id()))
        try:
            answer = await self._act(call)
        except CallerGoneError:
            return
        except OutriderError as error:
            self._note(call, error)
            answer = _failed(call, error)
        except Exception:  # The face's outermost layer: the caller gets an envelope, the operator the log.
            self._ports.metrics.internal.labels("api").inc()
            self._ports.log.exception("api_call_failed", request_id=call.request_id)
            answer = _failed(call, OutriderError(uspeedo_faults.SERVER_ERROR))
        self._ports.metrics.api_calls.labels(answer.ret_code).inc()
        if call.body is None and scope["method"] != "GET":
            await discard_body(scope, receive, call.length_bytes)
        await send(
            HTTPResponseStartEvent(
                type="http.response.start",
                status=answer.status,
                headers=[
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(answer.content)),
                    (b"cache-control", b"no-store"),
                    (b"x-speedo-request-uuid", call.request_id.encode()),
                    *answer.headers,
                ],
            )
        )
        await send({"type": "http.response.body", "body": answer.content, "more_body": False})

    async def _act(self, call: _Call) -> _Answer:
        for name, value in call.scope["headers"]:
            if name == b"content-length":
                call.length_bytes = digits.parse(value.decode("latin-1"))
            elif name == b"idempotency-key":
                call.idempotency_key = value
        method, action = self._actions.get(call.scope["path"].rstrip("/"), ("", None))
        if action is None:
            return _no_action(call, 404, "There is no such call here.")
        if call.scope["method"] != method:
            return _no_action(call, 405, f"Use {method} for this call.", (b"allow", method.encode()))
        return await action(call)

    async def _admit(self, call: _Call, scope: KeyScope) -> Caller:
        """Return who calls, if its key may do that now. A call that is known by its body has it read first."""
        peer = call.scope["client"]
        shown = credentials.read(call.scope["headers"], peer[0] if peer else "", self._ports.trusted_proxies)
        if shown.needs_body:
            call.body = await read_body(call.receive, call.length_bytes)
            shown = credentials.with_body(shown, call.body)
        caller = await self._ports.authenticate(shown)
        caller.require(scope)
        self._ports.spend(caller)
        return caller

    def _note(self, call: _Call, error: OutriderError) -> None:
        """Log what the operator should hear of: neither callers' mistakes nor load shed on purpose."""
        if not isinstance(error, CallerError | BusyError):
            detail = {f"detail_{name}": value for name, value in error.detail.items()}
            self._ports.log.error("api_call_refused", request_id=call.request_id, code=error.code, **detail)

    async def _send_email(self, call: _Call) -> _Answer:
        """POST SendEmail: decode, ask the engine, encode."""
        caller = await self._admit(call, KeyScope.SEND)
        key = _idempotency_key(call.idempotency_key)
        if call.body is None:
            call.body = await read_body(call.receive, call.length_bytes)
        accepted = await self._ports.accept(
            caller.project_id, _submission(call.body), idempotency_key=key, domains=caller.domains
        )
        return _sent(call, accepted)

    async def _send_status(self, call: _Call) -> _Answer:
        """GET SendStatus: the life of each recipient of one accepted call."""
        caller = await self._admit(call, KeyScope.READ)
        session_id = _session_id(call.scope["query_string"])
        view = await self._ports.report_session(caller.project_id, session_id)
        rows = [_row(recipient) for recipient in view.recipients]
        answer = SendStatusAnswer(0, "success", call.request_id, str(view.session_id), len(rows), rows)
        return _Answer(0, _encode(answer))


def _failed(call: _Call, error: OutriderError) -> _Answer:
    rendered = uspeedo_faults.render(error, call.request_id)
    return _Answer(rendered.fault.ret_code, _encode(rendered.fault), rendered.status, rendered.headers)


def _no_action(call: _Call, status: int, detail: str, *headers: tuple[bytes, bytes]) -> _Answer:
    return _Answer(_INVALID, _encode(Fault(_INVALID, NO_ACTION, call.request_id, detail)), status, headers)


def _submission(body: bytes) -> Submission:
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise uspeedo_faults.explain(body) from None
    senders = [sender for sender in (given.send_email, given.sender_email) if isinstance(sender, str)]
    if not senders:
        raise uspeedo_faults.explain(body)
    is_html = markup.looks_like_html(given.content)
    return Submission(
        sender=senders[0],
        recipients=given.target_email_address,
        subject=given.subject,
        from_name=given.from_name or "",
        text=None if is_html else given.content,
        html=given.content if is_html else None,
    )


def _idempotency_key(value: bytes) -> str:
    if not value:
        return ""
    if len(value) > limits.IDEMPOTENCY_KEY_CHARS_MAX or not _VISIBLE_ASCII.fullmatch(value):
        allowed = f"1 to {limits.IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters"
        raise CallerError(f"The header Idempotency-Key must have {allowed}.", field="idempotency_key")
    return value.decode("ascii")


def _sent(call: _Call, accepted: Accepted) -> _Answer:
    failed = tuple(FailedTarget(rejected.address, rejected.reason) for rejected in accepted.rejected)
    is_sent = accepted.session_id is not None
    answer = SendEmailAnswer(
        ret_code=0 if is_sent else _INVALID,
        message="success" if is_sent else "Invalid parameter [TargetEmailAddress]",
        session_no=str(accepted.session_id) if is_sent else UNSET,
        failed_target_emails=failed,
        request_uuid=call.request_id,
        success_count=accepted.recipient_count,
        fail_content=failed,
        detail=UNSET if is_sent else "No recipient was accepted; FailedTargetEmails says why for each.",
    )
    return _Answer(answer.ret_code, _encode(answer))


def _session_id(query_string: bytes) -> UUID:
    query = urllib.parse.parse_qs(query_string.decode("latin-1"), keep_blank_values=True)
    given = query.get("SessionNo", [])
    if not given:
        raise uspeedo_faults.missing("SessionNo")
    try:
        session_id = UUID(given[0])
    except ValueError:
        session_id = None
    if session_id is None or str(session_id) != given[0].lower():  # UUID() also takes braces, underscores and more.
        raise CallerError("SessionNo must look like 3b6c8a0e-4d1f-4a53-9b0f-2f6f0f0c7a11.", field="SessionNo")
    return session_id


def _row(view: RecipientView) -> RecipientRow:
    next_at = view.next_attempt_at
    return RecipientRow(
        email_address=view.address,
        status=view.status.value,
        reason=view.reason,
        reply=view.reply,
        attempts=view.attempt_count,
        next_attempt_time=None if next_at is None else int(next_at.timestamp()),
        update_time=int(view.updated_at.timestamp()),
        events=[_event(event) for event in view.events],
    )


def _event(view: EventView) -> dict[str, str | int | float | bool]:
    facts = {_camel(name): value for name, value in view.facts.items()}
    said = {"Event": view.kind.value, "Time": int(view.at.timestamp()), "Reason": view.reason, "Reply": view.reply}
    return said | {name: value for name, value in facts.items() if name not in said}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
