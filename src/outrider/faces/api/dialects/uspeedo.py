"""uSpeedo's email API under /api: what their clients send here works unchanged.

    POST   /api                                        the Action API: the JSON body says what, in `Action`
    POST   /api/v1/email/SendEmail                     one content to 1-100 recipients, one separate message each
    GET    /api/v1/email/SendStatus?SessionNo=...      what became of them
    GET    /api/v1/email/GetSenderList                 who may be named as sender
    POST   /api/v1/email/SendEmailTemplate             one template to 1-100 recipients, each with its own variables
    POST   /api/v1/email/EmailTemplate                 CreateEmailTemplate; GET lists them: QueryEmailTemplate
    GET    /api/v1/email/EmailTemplate/{id}            GetEmailTemplate; PUT, DELETE: Update-, DeleteEmailTemplate

Each REST call is an action of the same name, too. Every answer is the same envelope (RetCode, Message, RequestUuid ...)
with the header X-Speedo-Request-Uuid, errors and unknown paths included; `uspeedo_faults` has the table of RetCodes.
For a key with a rate, RateLimit headers say what is left of it. Bodies are JSON whatever their Content-Type says. It
translates and never decides: limits and address rules are the engine's, who calls is `services.access`'s.

One raw ASGI application takes the whole of /api: SendEmail is the hottest path of the web process, and a typed Litestar
handler would cost it more than all of the work here. Source: shared/uspeedo.md 1; docs/reference/api.md for users.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

import msgspec
from litestar import Response, asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPResponseStartEvent, HTTPScope, Receive, Scope, Send
from msgspec import UNSET, UnsetType
from prometheus_client import Counter

from outrider.base import digits, limits
from outrider.base.errors import BusyError, CallerError, OutriderError
from outrider.base.vocab import KeyScope
from outrider.faces.api import credentials, rate
from outrider.faces.api.body import CallerGoneError, Places, discard_body, is_large, read_body
from outrider.faces.api.dialects import (
    uspeedo_action,
    uspeedo_faults,
    uspeedo_send,
    uspeedo_senders,
    uspeedo_status,
    uspeedo_template,
    uspeedo_template_store,
)
from outrider.faces.api.dialects.uspeedo_types import (
    SendEmailTemplateBody,
    SenderListAnswer,
    SendStatusAnswer,
    TemplateAnswer,
    TemplateListAnswer,
    TemplateMadeAnswer,
)
from outrider.faces.api.ports import Ports
from outrider.services.access import Caller
from outrider.services.templates.templates import TemplateDetails

ROOT: Final = "/api"
NO_REQUEST: Final = "Invalid parameter [Header]"
NO_ACTION: Final = "Invalid parameter [Action]"  # Nothing lives at this path, or not with this method.

_TEMPLATE: Final = "/v1/email/EmailTemplate/"
_INVALID: Final = CallerError.ret_code
_VISIBLE_ASCII: Final = re.compile(rb"[\x21-\x7e]+")
_encode: Final = msgspec.json.Encoder().encode


class _Call(msgspec.Struct):
    """One request on its way through."""

    scope: HTTPScope
    receive: Receive
    request_id: str
    length_bytes: int | None = None
    idempotency_key: bytes = b""
    body: bytes | None = None  # Once it is read: nothing of it stands in the way of the answer then.
    action: str | UnsetType = UNSET  # What the answer says in `Action`; only the Action API does.
    answer_headers: list[tuple[bytes, bytes]] = []  # Go out with the answer, whatever it is.

    @property
    def message(self) -> str:
        """What an answer says when all went well, differently in the two generations."""
        return "success" if self.action is UNSET else ""


class _Answer(msgspec.Struct, frozen=True):
    """What goes back. `ret_code` is in `content` already; it is for the metrics."""

    ret_code: int
    content: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _Action(msgspec.Struct, frozen=True):
    """One thing that can be asked for."""

    method: str  # Of its REST call.
    path: str  # Below ROOT; one that ends in a slash goes on with an id.
    scope: KeyScope
    act: Callable[[_Call, Caller], Awaitable[_Answer]]


def routes(ports: Ports) -> list[ASGIRouteHandler]:
    """Return the one route handler of this dialect."""
    face = _Face(ports)

    @asgi(ROOT, is_mount=True, copy_scope=False)
    async def uspeedo(scope: Scope, receive: Receive, send: Send) -> None:
        await face.respond(cast("HTTPScope", scope), receive, send)

    return [uspeedo]


def actions(ports: Ports) -> Mapping[str, str]:
    """Return the name of each action and the path of its REST call; one that ends in a slash goes on with an id."""
    return {name: ROOT + action.path for name, action in _Face(ports).actions.items()}


def malformed(ports: Ports, status: int, detail: str) -> Response[bytes]:
    """Return the envelope of a request that is no HTTP and never reached the route; `detail` says why, to strangers."""
    request_id = str(ports.new_request_id())
    ports.metrics.api_calls.labels(_INVALID).inc()
    return Response(
        _encode(uspeedo_faults.fault(_INVALID, NO_REQUEST, request_id, f"{detail}.")),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store", "x-speedo-request-uuid": request_id},
    )


class _Face:
    """The table of actions and the envelope around them."""

    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports
        self._large: Final = Places()
        self._unknown: Final = Places()
        self._counted: Final[dict[int, Counter]] = {}  # By RetCode: to find one costs as much as to count.
        self.actions: Final[Mapping[str, _Action]] = {
            "SendEmail": _Action("POST", "/v1/email/SendEmail", KeyScope.SEND, self._send_email),
            "SendEmailTemplate": _Action("POST", "/v1/email/SendEmailTemplate", KeyScope.SEND, self._send_template),
            "SendStatus": _Action("GET", "/v1/email/SendStatus", KeyScope.READ, self._send_status),
            "GetSenderList": _Action("GET", "/v1/email/GetSenderList", KeyScope.READ, self._get_sender_list),
            "CreateEmailTemplate": _Action("POST", _TEMPLATE[:-1], KeyScope.MANAGE, self._create_template),
            "QueryEmailTemplate": _Action("GET", _TEMPLATE[:-1], KeyScope.READ, self._query_templates),
            "GetEmailTemplate": _Action("GET", _TEMPLATE, KeyScope.READ, self._get_template),
            "UpdateEmailTemplate": _Action("PUT", _TEMPLATE, KeyScope.MANAGE, self._update_template),
            "DeleteEmailTemplate": _Action("DELETE", _TEMPLATE, KeyScope.MANAGE, self._delete_template),
        }
        self._paths: Final[dict[str, dict[str, _Action]]] = {}  # By path, then method.
        for action in self.actions.values():
            self._paths.setdefault(action.path, {})[action.method] = action

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
        counted = self._counted.get(answer.ret_code)
        if counted is None:
            counted = self._counted[answer.ret_code] = self._ports.metrics.api_calls.labels(answer.ret_code)
        counted.inc()
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
                    *call.answer_headers,
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
        path = call.scope["path"].rstrip("/")
        by_method = self._paths.get(path)
        if by_method is None and path.startswith(_TEMPLATE) and "/" not in path.removeprefix(_TEMPLATE):
            by_method = self._paths[_TEMPLATE]
        if by_method is None and path:
            return _no_action(call, 404, "There is no such call here.")
        method, allowed = call.scope["method"], list(by_method or ["POST"])
        if method not in allowed:
            words = f"Use {' or '.join(allowed)} for this call."
            return _no_action(call, 405, words, (b"allow", ", ".join(allowed).encode()))
        if by_method is None:
            return await self._act_by_name(call)
        action = by_method[method]
        caller = await self._authenticate(call)
        caller.require(action.scope)
        async with self._large.take(is_needed=method in ("POST", "PUT") and is_large(call.length_bytes)):
            return await action.act(call, caller)

    async def _act_by_name(self, call: _Call) -> _Answer:
        """Answer a call of the Action API. Who calls is asked first, unless the body says it."""
        query = uspeedo_action.parse_query(call.scope["query_string"])
        if query.get("Action", "") in self.actions:
            call.action = f"{query['Action']}Response"
        caller = await self._authenticate(call)
        async with self._large.take(is_needed=is_large(call.length_bytes)):
            return await self._act_as_named(call, caller, query)

    async def _act_as_named(self, call: _Call, caller: Caller, query: Mapping[str, str]) -> _Answer:
        name = uspeedo_action.read(await self._read(call), query)
        action = self.actions.get(name)
        if action is None:
            call.action = UNSET
            known = ", ".join(self.actions)
            raise CallerError(f"There is no such action; there are {known}.", field="Action")
        call.action = f"{name}Response"
        caller.require(action.scope)
        return await action.act(call, caller)

    async def _authenticate(self, call: _Call) -> Caller:
        """Return who calls, counted against the rate of its key. A call that is known by its body has it read first."""
        client = call.scope["client"]
        shown = credentials.read(call.scope["headers"], client[0] if client else "", self._ports.trusted_proxies)
        if shown.needs_body:
            await self._ports.screen(shown)
        # Places of their own: nobody knows yet who they are, and they must not keep others waiting.
        async with self._unknown.take(is_needed=shown.needs_body and is_large(call.length_bytes)):
            if shown.needs_body:
                shown = credentials.with_body(shown, await self._read(call))
            caller = await self._ports.authenticate(shown)
        rate.spend(self._ports.spend, caller, call.answer_headers)
        return caller

    async def _read(self, call: _Call) -> bytes:
        if call.body is None:
            call.body = await read_body(call.receive, call.length_bytes)
        return call.body

    def _note(self, call: _Call, error: OutriderError) -> None:
        """Log what the operator should hear of: neither callers' mistakes nor load shed on purpose."""
        if not isinstance(error, CallerError | BusyError):
            detail = {f"detail_{name}": value for name, value in error.detail.items()}
            self._ports.log.error("api_call_refused", request_id=call.request_id, code=error.code, **detail)

    async def _send_email(self, call: _Call, caller: Caller) -> _Answer:
        """Decode, ask the engine, encode."""
        key = _idempotency_key(call.idempotency_key)
        submission = uspeedo_send.read(await self._read(call))
        accepted = await self._ports.accept(caller.project_id, submission, idempotency_key=key, domains=caller.domains)
        answer = uspeedo_send.answer(accepted, call.request_id, call.action)
        return _Answer(answer.ret_code, _encode(answer))

    async def _send_status(self, call: _Call, caller: Caller) -> _Answer:
        """The life of each recipient of one accepted call."""
        view = await self._ports.report_session(caller.project_id, uspeedo_status.read(await self._parameters(call)))
        rows = uspeedo_status.rows(view)
        answer = SendStatusAnswer(
            action=call.action,
            ret_code=0,
            message=call.message,
            request_uuid=call.request_id,
            session_no=str(view.session_id),
            total=len(rows),
            recipients=rows,
        )
        return _Answer(0, _encode(answer))

    async def _get_sender_list(self, call: _Call, caller: Caller) -> _Answer:
        """A page of the project's senders."""
        query = uspeedo_senders.read(await self._parameters(call))
        page = await self._ports.list_senders(caller.project_id, query)
        answer = SenderListAnswer(
            action="GetSenderListResponse",
            ret_code=0,
            message=call.message,
            request_uuid=call.request_id,
            total=page.total_count,
            senders=uspeedo_senders.rows(page, caller.project_id, caller.domains),
        )
        return _Answer(0, _encode(answer))

    async def _send_template(self, call: _Call, caller: Caller) -> _Answer:
        """Decode, find the template, ask the engine, encode."""
        key = _idempotency_key(call.idempotency_key)
        given = uspeedo_template.read(await self._read(call))
        request_hash = uspeedo_template.request_hash(given) if key else b""
        accepted = await self._ports.first_answer(caller.project_id, key, request_hash) if key else None
        if accepted is None:
            try:
                found = await self._ports.find_template(caller.project_id, given.template_id.strip())
            except CallerError as error:
                return await self._no_template(call, caller, given, error)
            accepted = await self._ports.accept(
                caller.project_id,
                uspeedo_template.submission(given, found),
                idempotency_key=key,
                request_hash=request_hash,
                domains=caller.domains,
            )
        answer = uspeedo_template.answer(given, accepted, call.request_id, call.action)
        return _Answer(answer.ret_code, _encode(answer))

    async def _no_template(
        self, call: _Call, caller: Caller, given: SendEmailTemplateBody, error: CallerError
    ) -> _Answer:
        """Say that there is none to send, or why not; every recipient can be sent to again.

        What else is wrong with the call is told first, so that whoever writes a program learns it.
        """
        rejected = await self._ports.examine(
            caller.project_id, uspeedo_template.stand_in(given), domains=caller.domains
        )
        answer = uspeedo_send.refused(
            uspeedo_template.all_failed(given, rejected),
            call.request_id,
            call.action,
            ret_code=error.ret_code,
            message=uspeedo_faults.message_of(error),
            detail=error.public,
        )
        return _Answer(answer.ret_code, _encode(answer))

    async def _create_template(self, call: _Call, caller: Caller) -> _Answer:
        """Store a template and publish it, or hand it in for approval."""
        made = uspeedo_template_store.read_new(await self._parameters(call))
        details = await self._ports.templates.create(
            caller.project_id, made.name, made.stream, made.source, is_published=True
        )
        return self._made(call, details)

    async def _update_template(self, call: _Call, caller: Caller) -> _Answer:
        """Change a template and publish what was changed, or hand it in for approval."""
        wanted = uspeedo_template_store.read_change(await self._parameters(call))
        details = await self._ports.templates.change(
            caller.project_id,
            wanted.template_id,
            wanted.edit,
            name=wanted.name,
            stream=wanted.stream,
            is_published=wanted.edit is not None,
            beside_draft=True,
        )
        return self._made(call, details)

    def _made(self, call: _Call, details: TemplateDetails) -> _Answer:
        return _Answer(
            0,
            _encode(
                TemplateMadeAnswer(
                    action=call.action,
                    ret_code=0,
                    message=call.message,
                    request_uuid=call.request_id,
                    template_id=details.template.template_id,
                    status=uspeedo_template_store.status_of(details.template),
                )
            ),
        )

    async def _query_templates(self, call: _Call, caller: Caller) -> _Answer:
        """A page of the project's templates."""
        choice = uspeedo_template_store.read_query(await self._parameters(call))
        found = await self._ports.templates.page(caller.project_id, choice)
        answer = TemplateListAnswer(
            action="QueryEmailTemplateResponse",
            ret_code=0,
            message=call.message,
            request_uuid=call.request_id,
            total=await self._ports.templates.total(caller.project_id, choice),
            templates=[uspeedo_template_store.row(one) for one in found],
        )
        return _Answer(0, _encode(answer))

    async def _get_template(self, call: _Call, caller: Caller) -> _Answer:
        """A template with what an update would change."""
        template_id = uspeedo_template_store.read_id(await self._parameters(call))
        details = await self._ports.templates.handed_in(caller.project_id, template_id)
        answer = TemplateAnswer(
            action="GetEmailTemplateResponse",
            ret_code=0,
            message=call.message,
            request_uuid=call.request_id,
            template=uspeedo_template_store.whole(details),
        )
        return _Answer(0, _encode(answer))

    async def _delete_template(self, call: _Call, caller: Caller) -> _Answer:
        """Delete a template."""
        template_id = uspeedo_template_store.read_id(await self._parameters(call))
        await self._ports.templates.remove(caller.project_id, template_id)
        answer = TemplateMadeAnswer(
            action=call.action,
            ret_code=0,
            message=call.message,
            request_uuid=call.request_id,
            template_id=template_id,
        )
        return _Answer(0, _encode(answer))

    async def _parameters(self, call: _Call) -> Mapping[str, object]:
        """Return what the call says, wherever its generation says it."""
        if call.action is not UNSET:
            return uspeedo_action.fields(await self._read(call))
        method, path = call.scope["method"], call.scope["path"].rstrip("/")
        given: Mapping[str, object] = {}
        if method == "GET":
            given = uspeedo_action.parse_query(call.scope["query_string"])
        elif method != "DELETE":
            given = uspeedo_action.fields(await self._read(call))
        return {**given, "TemplateId": path.removeprefix(_TEMPLATE)} if path.startswith(_TEMPLATE) else given


def _failed(call: _Call, error: OutriderError) -> _Answer:
    rendered = uspeedo_faults.render(error, call.request_id, call.action)
    return _Answer(rendered.fault.ret_code, _encode(rendered.fault), rendered.status, rendered.headers)


def _no_action(call: _Call, status: int, detail: str, *headers: tuple[bytes, bytes]) -> _Answer:
    return _Answer(
        _INVALID, _encode(uspeedo_faults.fault(_INVALID, NO_ACTION, call.request_id, detail)), status, headers
    )


def _idempotency_key(value: bytes) -> str:
    if not value:
        return ""
    if len(value) > limits.IDEMPOTENCY_KEY_CHARS_MAX or not _VISIBLE_ASCII.fullmatch(value):
        allowed = f"1 to {limits.IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters"
        raise CallerError(f"The header Idempotency-Key must have {allowed}.", field="idempotency_key")
    return value.decode("ascii")
