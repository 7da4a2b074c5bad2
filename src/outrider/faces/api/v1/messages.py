"""/v1/emails: hand in mail, see what became of it, stop it, send it again.

Translates and never decides: limits and address rules are the engine's. Whoever is in `to`, `cc` or `bcc` is a
recipient; with more than one of them, all see the same To and Cc, as in any mail program, unless `separate` is set.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from outrider.base import limits
from outrider.base.errors import CallerError, OutriderError
from outrider.base.vocab import KeyScope, RecipientStatus, Stream
from outrider.engine.submission import Accepted, Attachment, Submission, Templated
from outrider.faces.api.body import Places
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import filling, problem, reading
from outrider.faces.api.v1.call import Call, Reply
from outrider.faces.api.v1.message_types import (
    BatchAccepted,
    BatchPart,
    Cancelled,
    ContentQuery,
    EventsQuery,
    FileShown,
    ListQuery,
    LooseBatch,
    Mailboxes,
    MessageAccepted,
    MessageContent,
    MessageEvent,
    MessageEvents,
    MessageList,
    MessageListed,
    MessageShown,
    NewBatch,
    NewMessage,
    RecipientShown,
    RejectedRecipient,
    Released,
    ResendBody,
)
from outrider.faces.api.v1.problem import Fault, FaultsError
from outrider.faces.api.v1.routes import Act, Route
from outrider.mail import mailbox
from outrider.services.attachments import Given
from outrider.services.mail import ListedView, MessageView, Wanted
from outrider.services.outbox import ContentView
from outrider.services.replays import part_key

_TAG: Final = "Emails"
_PARTS_AT_ONCE: Final = 200  # Ours: mails of batches under way in this process; a group commit takes about as many.
REPLAYED: Final = (b"idempotency-replayed", b"true")
# From the engine's names to those of the JSON.
FIELDS: Final[Mapping[str, str]] = {
    "sender": "from",
    "from_name": "from",
    "also_from": "from",  # Of mail that came by SMTP and is sent again.
    "recipients": "to",
    "shown_to": "to",
    "shown_cc": "cc",
    "content": "text",
    "body": "html",  # As `mail.templating` calls what is not the text part.
    "list_name": "list",
    "session": "id",
    "idempotency_key": "Idempotency-Key",
}

encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(NewMessage).decode


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/emails."""
    sending, shown = _Sending(ports), _Reading(ports)

    def row(
        method: str, path: str, act: Act, scope: KeyScope, *, fields: Mapping[str, str] = FIELDS, **more: Any
    ) -> Route:
        return Route(method=method, path=path, act=act, scope=scope, tag=_TAG, fields=fields, **more)

    keyed: dict[str, Any] = {"is_keyed": True, "body_bytes_max": limits.REQUEST_FILES_BYTES_MAX}
    batch: dict[str, Any] = {"body_as": NewBatch, "answer_as": BatchAccepted}
    return [
        row("POST", "/emails", sending.send_message, KeyScope.SEND, status=202, **keyed),
        row("POST", "/emails/batch", sending.send_batch, KeyScope.SEND, **batch, **keyed),
        row("GET", "/emails", shown.list_messages, KeyScope.READ, fields={**FIELDS, "recipient": "to"}),
        row("GET", "/emails/{id}", shown.show_message, KeyScope.READ),
        row("GET", "/emails/{id}/events", shown.list_message_events, KeyScope.READ),
        row("GET", "/emails/{id}/content", shown.show_content, KeyScope.READ),
        row("POST", "/emails/{id}/cancel", sending.cancel_message, KeyScope.SEND),
        row("POST", "/emails/{id}/release", sending.release_message, KeyScope.MANAGE),
        row("POST", "/emails/{id}/resend", sending.resend_message, KeyScope.SEND, status=202, is_keyed=True),
    ]


class _Sending:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports
        self._files: Final = Places()  # Of mails with files: each may hold 18 MiB of them, twice.
        self._turns: Final = asyncio.Semaphore(_PARTS_AT_ONCE)

    async def send_message(self, call: Call, body: NewMessage) -> MessageAccepted:
        """Hand in a mail. It is on disk when the answer comes, and sent as soon as may be."""
        request_hash = _hash("send", body) if call.idempotency_key else b""
        made = await self._send(call, body, call.idempotency_key, request_hash)
        if made.is_repeat:
            call.answer_headers.append(REPLAYED)
        return made.answer

    async def send_batch(self, call: Call, body: LooseBatch) -> Reply:
        """Hand in up to 1,000 mails. Each is accepted or refused for itself; `results` has one for each, in order."""
        key = call.idempotency_key
        request_hash = hashlib.sha256(b"batch " + b"\n".join(body.messages)).digest() if key else b""
        if key and (first := await self._ports.replays.begin(call.project_id, key, request_hash)) is not None:
            call.answer_headers.append(REPLAYED)
            return Reply(content=first)
        fetches = _Fetches()
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(self._send_part(call, at, raw, fetches)) for at, raw in enumerate(body.messages)]
        results = [part.result() for part in parts]
        failed_count = sum(part.error is not UNSET for part in results)
        answer = encode(
            BatchAccepted(accepted_count=len(results) - failed_count, failed_count=failed_count, results=results)
        )
        if key and not any(is_passing(part) for part in results):
            counts = await self._ports.replays.finish(call.project_id, key, answer)
            if counts != answer:  # The same call came twice at once, and the other was done first.
                call.answer_headers.append(REPLAYED)
            answer = counts
        return Reply(content=answer)

    async def cancel_message(self, call: Call, id: UUID) -> Cancelled:  # noqa: A002 - the name in the path.
        """Stop what is not sent yet: every recipient that waits or is held gets nothing."""
        return Cancelled(id=id, cancelled_count=await self._ports.cancel(call.project_id, id))

    async def release_message(self, call: Call, id: UUID) -> Released:  # noqa: A002
        """Let a mail go that is held for its content: every recipient that waits for that is queued. Safe twice."""
        services = self._ports.services
        services.contents.require_open()
        return Released(id=id, released_count=await services.release(call.project_id, id))

    async def resend_message(self, call: Call, id: UUID, body: ResendBody) -> MessageAccepted:  # noqa: A002
        """Send it again as a new mail, to all its recipients or some of them. Who is suppressed by now is left out."""
        request_hash = _hash(f"resend {id}", body) if call.idempotency_key else b""
        first = await self._first_answer(call, call.idempotency_key, request_hash)
        async with self._files.take():  # Its files are read back.
            accepted = first or await self._ports.outbox.resend(
                call.project_id,
                id,
                to=body.to,
                statuses=body.status,
                idempotency_key=call.idempotency_key,
                request_hash=request_hash,
                domains=call.domains,
            )
        if accepted.is_repeat:
            call.answer_headers.append(REPLAYED)
        return answer(accepted, ())

    async def _send(self, call: Call, body: NewMessage, key: str, request_hash: bytes) -> "_Sent":
        async with self._files.take(is_needed=bool(body.attachments)):
            return await self._send_within(call, body, key, request_hash)

    async def _send_within(self, call: Call, body: NewMessage, key: str, request_hash: bytes) -> "_Sent":
        first = None
        if body.attachments:
            if any(one.url for one in body.attachments):  # What it leads to may be another file by now.
                first = await self._first_answer(call, key, request_hash)
            files = () if first else await self._ports.resolve_files(given(body))
        else:
            files = ()
        templated, is_repeat = None, first is not None
        if is_filled(body) and not is_repeat:  # The template may be another by now, or gone.
            first = await self._first_answer(call, key, request_hash)
            templated = None if first else await filling.find(self._ports, call, body)
        made, places = submission(body, files, templated)
        accepted = first or await self._ports.accept(
            call.project_id, made, idempotency_key=key, request_hash=request_hash, domains=call.domains
        )
        return _Sent(answer(accepted, places), accepted.is_repeat)

    async def _send_part(self, call: Call, position: int, raw: msgspec.Raw, fetches: "_Fetches") -> BatchPart:
        """Send one mail of a batch; what is wrong with it is its answer."""
        async with self._turns:
            try:
                body: NewMessage = reading.body(bytes(raw), _decode)
                fetches.take(sum(bool(one.url) for one in body.attachments))
                key = part_key(call.idempotency_key, position) if call.idempotency_key else ""
                request_hash = _hash("part", body) if key else b""
                sent = (await self._send(call, body, key, request_hash)).answer
            except OutriderError as error:
                problem.note(self._ports.log, error, call.request_id)
                return BatchPart(error=problem.render(error, None, FIELDS))
        return BatchPart(id=sent.id, accepted_count=sent.accepted_count, rejected=sent.rejected)

    async def _first_answer(self, call: Call, key: str, request_hash: bytes) -> Accepted | None:
        return await self._ports.first_answer(call.project_id, key, request_hash) if key else None


class _Reading:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def list_messages(self, call: Call, query: ListQuery) -> MessageList:
        """List mails, newest first."""
        wanted = Wanted(
            statuses=query.status,
            recipient=query.to,
            sender=query.sender,
            tag=query.tag,
            stream=query.stream,
            campaign=query.campaign,
            subject=query.subject,
            since=query.since,
            until=query.until,
        )
        page = await self._ports.mail.page(call.project_id, wanted, cursor=query.after, count_max=query.limit)
        return MessageList(emails=[_listed(one) for one in page.messages], next=page.next_cursor or None)

    async def show_message(self, call: Call, id: UUID) -> MessageShown:  # noqa: A002 - the name in the path.
        """Show a mail and what became of each recipient."""
        return _shown(await self._ports.mail.message(call.project_id, id))

    async def list_message_events(self, call: Call, id: UUID, query: EventsQuery) -> MessageEvents:  # noqa: A002
        """List what happened to a mail, oldest first."""
        page = await self._ports.mail.events(call.project_id, id, cursor=query.after, count_max=query.limit)
        shown = [MessageEvent(**msgspec.structs.asdict(one)) for one in page.events]
        return MessageEvents(events=shown, next=page.next_cursor or None)

    async def show_content(self, call: Call, id: UUID, query: ContentQuery) -> MessageContent:  # noqa: A002
        """Show what was handed in, without the octets of files; or what one recipient of it got."""
        return _content(await self._ports.outbox.content(call.project_id, id, recipient=query.recipient))


class _Sent(msgspec.Struct, frozen=True):
    answer: MessageAccepted
    is_repeat: bool


class _Fetches:
    """The files by URL that a batch may ask for. Its mails come here in their order, so a repeat refuses the same."""

    def __init__(self) -> None:
        self._left = limits.BATCH_FETCHES_COUNT_MAX

    def take(self, count: int) -> None:
        """Count those of a mail. Raises CallerError: the mails before it have left too few; none of its own count."""
        if count > self._left:
            most = limits.BATCH_FETCHES_COUNT_MAX
            raise CallerError(
                f"The mails of a batch may name {most} files by url together, and {self._left} are left for this one."
                " Send it in another call, or its files as content.",
                field="attachments",
            )
        self._left -= count


def is_passing(part: BatchPart) -> bool:
    """Tell whether the same mail may be accepted soon: such an answer is no last word, and is not kept as one."""
    return isinstance(part.error, problem.Problem) and part.error.retry_after_s is not None


def is_filled(body: NewMessage) -> bool:
    """Tell whether it is made from a template, or says something that only such a mail has."""
    given = body.template or body.variables or body.recipient_variables or body.locale or body.recipient_locales
    return bool(given) or body.preheader is not None


def submission(
    body: NewMessage, files: tuple[Attachment, ...], templated: Templated | None = None
) -> tuple[Submission, Sequence[tuple[str, str]]]:
    """Return what the engine takes, and each recipient as the engine has it with its place in the JSON.

    Raises:
        CallerError: an address with a name cannot be read, or fields contradict each other.
    """
    to, cc, bcc = _several(body.to), _several(body.cc), _several(body.bcc)
    if not to:
        raise CallerError("At least one recipient is needed.", field="to")
    is_separate = filling.is_separate(body)
    if is_separate and (cc or bcc):
        raise CallerError("Mail of which each recipient gets its own has no cc and no bcc.", field="separate")
    sender, from_name = body.sender, ""
    if sender.rstrip().endswith(">"):
        parsed = mailbox.parse(sender, field="from")
        sender, from_name = parsed.address.text, parsed.name
    places = _places(to, "to")
    is_shared = not is_separate and bool(cc or bcc or len(to) > 1 or places[0][0] != to[0])
    if cc or bcc:
        places += _places(cc, "cc") + _places(bcc, "bcc")
    recipients = tuple([address for address, _ in places])
    is_inline = templated is not None and not body.template  # Then the template is made of what the call says.
    of_template = None if templated is None else templated.stream
    made = Submission(
        sender=sender,
        recipients=recipients,
        subject="" if is_inline else body.subject,
        from_name=from_name,
        text=None if is_inline else body.text,
        html=None if is_inline else body.html,
        templated=templated,
        personal=() if templated is None else filling.personal(body, recipients),
        stream=(of_template or Stream.TRANSACTIONAL) if body.stream is UNSET else body.stream,
        campaign=body.campaign,
        list_name=body.list_name,
        shown_to=tuple(to) if is_shared else (),
        shown_cc=tuple(cc),
        reply_to=tuple(_several(body.reply_to)),
        headers=tuple(body.headers.items()),
        attachments=files,
        tags=tuple(body.tags),
        metadata=body.metadata,
        send_at=body.send_at,
        expires_s=body.expires_s,
        pool=body.pool,
        track_opens=body.track_opens,
        track_clicks=body.track_clicks,
    )
    return made, places


def answer(accepted: Accepted, places: Sequence[tuple[str, str]]) -> MessageAccepted:
    """Return what the caller hears. Raises FaultsError: nobody was accepted."""
    if accepted.session_id is None:
        known = dict(reversed(places))
        faults = [Fault(field=known.get(one.address, "to"), detail=one.reason) for one in accepted.rejected]
        first = faults[0].detail if len(faults) == 1 else "No recipient was accepted; errors says why for each."
        raise FaultsError(first, faults, field=faults[0].field if len(faults) == 1 else "to")
    return MessageAccepted(
        id=accepted.session_id,
        accepted_count=accepted.recipient_count,
        rejected=[RejectedRecipient(address=one.address, reason=one.reason) for one in accepted.rejected],
    )


def _several(given: Mailboxes) -> list[str]:
    return [given] if isinstance(given, str) else given


def _places(texts: Sequence[str], field: str) -> list[tuple[str, str]]:
    """Return the bare address of each, with its place in the JSON; what has no name is read by the engine."""
    return [(_bare(text, f"{field}[{at}]"), f"{field}[{at}]") for at, text in enumerate(texts)]


def _bare(text: str, place: str) -> str:
    return mailbox.parse(text, field=place).address.text if text.rstrip().endswith(">") else text


def given(body: NewMessage) -> list[Given]:
    """Return what is said of the files."""
    return [
        Given(name=one.name, type=one.type, content=one.content, url=one.url, content_id=one.content_id)
        for one in body.attachments
    ]


def _shown(view: MessageView) -> MessageShown:
    return MessageShown(
        id=view.message_id,
        sender=view.sender,
        from_name=view.from_name,
        subject=view.subject,
        stream=view.stream,
        campaign=view.campaign,
        list_name=view.list_name,
        tags=view.tags,
        metadata=view.metadata,
        accepted_at=view.accepted_at,
        send_at=view.send_at,
        expires_at=view.expires_at,
        resent_from=view.resent_from,
        template=view.template_id,
        template_number=view.template_number,
        recipients=[
            RecipientShown(
                address=one.address,
                status=one.status,
                reason=one.reason,
                reply=one.reply,
                attempt_count=one.attempt_count,
                next_attempt_at=one.next_attempt_at,
                updated_at=one.updated_at,
            )
            for one in view.recipients
        ],
    )


def _hash(what: str, body: msgspec.Struct) -> bytes:
    """Tell this request from another with the same idempotency key."""
    return hashlib.sha256(what.encode() + b"\n" + encode(body)).digest()


def _listed(one: ListedView) -> MessageListed:
    return MessageListed(
        id=one.message_id,
        sender=one.sender,
        from_name=one.from_name,
        to=one.addresses,
        subject=one.subject,
        stream=one.stream,
        campaign=one.campaign,
        list_name=one.list_name,
        tags=one.tags,
        accepted_at=one.accepted_at,
        send_at=one.send_at,
        template=one.template_id,
        template_number=one.template_number,
        recipient_count=one.recipient_count,
        status_counts={RecipientStatus(status): count for status, count in sorted(one.counts.items())},
    )


def _content(view: ContentView) -> MessageContent:
    return MessageContent(
        id=view.message_id,
        sender=view.sender,
        from_name=view.from_name,
        subject=view.subject,
        text=view.text,
        html=view.html,
        template=view.template_id,
        template_number=view.template_number,
        is_template=view.is_template,
        to=view.shown_to,
        cc=view.shown_cc,
        reply_to=view.reply_to,
        headers=dict(view.headers),
        attachments=[
            FileShown(name=file.name, type=file.type, size_bytes=file.size_bytes, content_id=file.content_id)
            for file in view.files
        ],
        stream=view.stream,
        campaign=view.campaign,
        list_name=view.list_name,
        tags=view.tags,
        metadata=view.metadata,
        accepted_at=view.accepted_at,
        send_at=view.send_at,
        expires_at=view.expires_at,
    )
