"""What a project does with mail it has sent: read it back, and send it again.

    content    what was handed in, or what one recipient of a template got of it
    resend     the same content as a new message, to all its recipients or those named; asked of `engine.accept` anew,
               so that a removed sender, a suppression or a quota counts as for any other mail

A message is immutable: sending again leaves the old one as it is, and the new one says which it was (`resent_from`).
"""

import asyncio
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import RecipientStatus, Stream
from outrider.engine import fill
from outrider.engine.books import Accept
from outrider.engine.submission import Accepted, Attachment, Submission, Templated
from outrider.mail import address, mailbox, parse, render, repair
from outrider.mail.render import Rendered, Renderer
from outrider.store import attachments, messages, recipients
from outrider.store.messages import Body, FileRef, Message
from outrider.store.pool import Store, Tx

_NO_LINK: Final = "#"


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a message, without its octets."""

    name: str
    type: str
    size_bytes: int
    content_id: str = ""


class ContentView(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed in."""

    message_id: UUID
    stream: Stream
    sender: str
    from_name: str
    subject: str
    text: str | None
    html: str | None
    shown_to: Sequence[str]
    shown_cc: Sequence[str]
    reply_to: Sequence[str]
    headers: Sequence[tuple[str, str]]
    files: Sequence[FileView]
    tags: Sequence[str]
    metadata: Mapping[str, str]
    campaign: str
    list_name: str
    accepted_at: datetime
    send_at: datetime | None
    expires_at: datetime
    template_id: str = ""  # The stored template it was made from; "" and 0: none.
    template_number: int = 0
    is_template: bool = False  # `subject`, `text` and `html` are what each recipient's are made from.


class Outbox:
    """Reads a project's messages back, and sends them again."""

    def __init__(self, store: Store, accept: Accept) -> None:
        self._store: Final = store
        self._accept: Final = accept

    async def content(self, project_id: UUID, message_id: UUID, *, recipient: str = "") -> ContentView:
        """Return what was handed in.

        Args:
            recipient: an address; the view is of what it got, filled in, but for its link to unsubscribe. "": of what
                all are made from.

        Raises:
            NotFoundError: the project has no such message, or that no such recipient.
        """
        async with self._store.transaction() as tx:
            message, body = await _load(tx, project_id, message_id)
            personal = await recipients.personal(tx, project_id, message_id) if recipient else {}
        if body.raw is not None:
            body = await asyncio.to_thread(_opened, body.raw)  # It may be large.
        content = _written(message, body)
        if recipient:
            own = {address.key_of(one): given for one, given in personal.items()}
            key = mailbox.parse(recipient, field="recipient").address.key
            if key not in own:
                raise NotFoundError("That address is no recipient of the message.", field="recipient")
            content = _filled(message, body, own[key]) or content
        return ContentView(
            message_id=message.message_id,
            stream=message.stream,
            sender=message.sender,
            from_name=message.from_name,
            subject=content.subject,
            text=content.text,
            html=content.html,
            template_id=message.template_id,
            template_number=message.template_number,
            is_template=body.template is not None and not recipient,
            shown_to=body.shown_to,
            shown_cc=body.shown_cc,
            reply_to=body.reply_to,
            headers=body.headers,
            files=[
                FileView(name=file.name, type=file.type, size_bytes=file.size_bytes, content_id=file.content_id)
                for file in body.files
            ],
            tags=message.tags,
            metadata=message.metadata,
            campaign=message.campaign,
            list_name=message.list_name,
            accepted_at=message.accepted_at,
            send_at=message.send_at,
            expires_at=message.expires_at,
        )

    async def resend(
        self,
        project_id: UUID,
        message_id: UUID,
        *,
        to: Sequence[str] = (),
        statuses: Sequence[RecipientStatus] = (),
        idempotency_key: str = "",
        request_hash: bytes = b"",
        domains: Set[str] = frozenset(),
    ) -> Accepted:
        """Send a message again, as a new one.

        Args:
            to: those of its recipients to send to; () for all.
            statuses: only to those whose mail ended so; () for all.
            idempotency_key: this, `request_hash` and `domains` as for `engine.accept`.

        Raises:
            NotFoundError: the project has no such message, or may not send as its sender any more.
            CallerError: field `to`: an address was no recipient of it, or nobody is left.
            As `engine.accept`.
        """
        async with self._store.transaction() as tx:
            message, body = await _load(tx, project_id, message_id)
            rows = await recipients.of_message(tx, project_id, message_id)
            personal = await recipients.personal(tx, project_id, message_id) if body.template else {}
            octets = await attachments.load(tx, project_id, [file.content_hash for file in body.files])
        chosen = [row.address for row in rows if not statuses or row.status in statuses]
        if to:
            chosen = _among(chosen, to)
        if not chosen:
            raise CallerError("The message has no such recipient to send it to again.", field="to")
        submission = _again(message, body, chosen, octets)
        if body.raw is not None:
            submission = await asyncio.to_thread(_again_whole, submission, body)
        if body.template is not None:
            submission = _again_filled(submission, message, body, [personal[one] for one in chosen])
        return await self._accept(
            project_id, submission, idempotency_key=idempotency_key, request_hash=request_hash, domains=domains
        )


async def _load(tx: Tx, project_id: UUID, message_id: UUID) -> tuple[Message, Body]:
    found = await messages.with_body(tx, project_id, message_id)
    if found is None:
        raise NotFoundError("There is no such message.", field="id")
    return found.message, found.body


def _among(addresses: Sequence[str], wanted: Sequence[str]) -> list[str]:
    known = {address.key_of(one): one for one in addresses}
    chosen = {}
    for at, text in enumerate(wanted):
        key = mailbox.parse(text, field=f"to[{at}]").address.key
        if key not in known:
            raise CallerError("That address is none that the message can be sent to again.", field=f"to[{at}]")
        chosen[key] = known[key]
    return list(chosen.values())


def _again(message: Message, body: Body, chosen: Sequence[str], octets: Mapping[bytes, bytes]) -> Submission:
    """Return the submission that makes the same mail, at once and for as long. Who sees whom stays, if they get it."""
    keys = {address.key_of(one) for one in chosen}

    def still(shown: Sequence[str]) -> tuple[str, ...]:
        return tuple(text for text in shown if mailbox.parse(text).address.key in keys)

    return Submission(
        sender=message.sender,
        recipients=tuple(chosen),
        subject=message.subject,
        from_name=message.from_name,
        text=body.text,
        html=body.html,
        stream=message.stream,
        campaign=message.campaign,
        list_name=message.list_name,
        shown_to=still(body.shown_to),
        shown_cc=still(body.shown_cc),
        reply_to=body.reply_to,
        headers=body.headers,
        attachments=tuple(_file(file, octets) for file in body.files),
        tags=message.tags,
        metadata=message.metadata,
        expires_s=(message.expires_at - (message.send_at or message.accepted_at)).total_seconds(),
        pool=body.pool,
        track_opens=message.track_opens,
        track_clicks=message.track_clicks,
        resent_from=message.message_id,
    )


def _again_whole(made: Submission, body: Body) -> Submission:
    """Return it with the message that came whole. Whoever it says it is from must still be allowed to send."""
    assert body.raw is not None
    others = [one.text for one in repair.also_from(body.raw)]
    return msgspec.structs.replace(made, raw=body.raw, also_from=tuple(others), has_null_sender=body.has_null_sender)


def _again_filled(made: Submission, message: Message, body: Body, personal: Sequence[bytes | None]) -> Submission:
    """Return it with the template and each recipient's variables, as they were."""
    assert body.template is not None
    templated = Templated(
        template=body.template,
        template_id=message.template_id,
        number=message.template_number,
        preheader=body.preheader,
    )
    return msgspec.structs.replace(
        made,
        subject=message.subject if body.has_own_subject else "",
        templated=templated,
        personal=tuple([fill.read(one) for one in personal]),
    )


def _opened(raw: bytes) -> Body:
    """Return what people see in a message that was handed in whole, all its header fields among it."""
    shown = parse.parse(raw)
    return Body(
        text=shown.text,
        html=shown.html,
        headers=shown.fields,
        files=tuple([FileRef(b"", file.size_bytes, file.name, file.type) for file in shown.attachments]),
    )


def _written(message: Message, body: Body) -> Rendered:
    """Return the content as it was handed in; of a template, its default language."""
    if body.template is None:
        return Rendered(message.subject, body.html, body.text)
    first = body.template.variants[0]
    parts = [None if part is None else render.shown(part) for part in (first.html, first.text)]
    return Rendered(message.subject, *parts)


def _filled(message: Message, body: Body, personal: bytes | None) -> Rendered | None:
    """Return what a recipient got; None: what was handed in. Its link is its alone, so whoever reads this has none."""
    if body.template is None:
        return None
    own = fill.read(personal)
    return Renderer(body.template).render(
        own.variables,
        locale=own.locale,
        unsubscribe_link=_NO_LINK,
        subject=message.subject if body.has_own_subject else None,
        preheader=body.preheader,
    )


def _file(file: FileRef, octets: Mapping[bytes, bytes]) -> Attachment:
    if file.content_hash not in octets:
        raise NotFoundError("A file of that message is gone.", field="id")
    return Attachment(name=file.name, type=file.type, content=octets[file.content_hash], content_id=file.content_id)
