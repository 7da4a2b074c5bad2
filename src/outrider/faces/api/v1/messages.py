"""/v1/emails: hand in mail, see what became of it, stop it, send it again.

Translates and never decides: limits and address rules are the engine's. Whoever is in `to`, `cc` or `bcc` is a
recipient; with more than one of them, all see the same To and Cc, as in any mail program, unless `separate` is set.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.base.vocab import KeyScope
from outrider.engine.submission import Accepted, Attachment, Submission
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.message_types import (
    Mailboxes,
    MessageAccepted,
    MessageShown,
    NewMessage,
    RecipientShown,
    RejectedRecipient,
)
from outrider.faces.api.v1.problem import Fault, FaultsError
from outrider.faces.api.v1.routes import Route
from outrider.mail import mailbox
from outrider.services.attachments import Given
from outrider.services.mail import MessageView

_TAG: Final = "Emails"
# From the engine's names to those of the JSON.
FIELDS: Final[Mapping[str, str]] = {
    "sender": "from",
    "from_name": "from",
    "recipients": "to",
    "shown_to": "to",
    "shown_cc": "cc",
    "content": "text",
    "list_name": "list",
    "idempotency_key": "Idempotency-Key",
}


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/emails."""
    face = _Messages(ports)
    return [
        Route(
            method="POST",
            path="/emails",
            act=face.send_message,
            scope=KeyScope.SEND,
            tag=_TAG,
            status=202,
            is_keyed=True,
            body_bytes_max=limits.REQUEST_FILES_BYTES_MAX,
            fields=FIELDS,
        ),
        Route(method="GET", path="/emails/{id}", act=face.show_message, scope=KeyScope.READ, tag=_TAG),
    ]


class _Messages:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def send_message(self, call: Call, body: NewMessage) -> MessageAccepted:
        """Hand in a mail. It is on disk when the answer comes, and sent as soon as may be."""
        files = await self._ports.resolve_files(_given(body)) if body.attachments else ()
        made, places = submission(body, files)
        accepted = await self._ports.accept(call.project_id, made, idempotency_key=call.idempotency_key)
        return answer(accepted, places)

    async def show_message(self, call: Call, id: UUID) -> MessageShown:  # noqa: A002 - the name in the path.
        """Show a message and what became of each recipient."""
        return _shown(await self._ports.mail.message(call.project_id, id))


def submission(body: NewMessage, files: tuple[Attachment, ...]) -> tuple[Submission, Sequence[tuple[str, str]]]:
    """Return what the engine takes, and each recipient as the engine has it with its place in the JSON.

    Raises:
        CallerError: an address with a name cannot be read, or fields contradict each other.
    """
    to, cc, bcc = _listed(body.to), _listed(body.cc), _listed(body.bcc)
    if not to:
        raise CallerError("At least one recipient is needed.", field="to")
    if body.separate and (cc or bcc):
        raise CallerError("Mail of which each recipient gets its own has no cc and no bcc.", field="separate")
    sender, from_name = body.sender, ""
    if sender.rstrip().endswith(">"):
        parsed = mailbox.parse(sender, field="from")
        sender, from_name = parsed.address.text, parsed.name
    places = _places(to, "to")
    is_shared = not body.separate and bool(cc or bcc or len(to) > 1 or places[0][0] != to[0])
    if cc or bcc:
        places += _places(cc, "cc") + _places(bcc, "bcc")
    made = Submission(
        sender=sender,
        recipients=tuple([address for address, _ in places]),
        subject=body.subject,
        from_name=from_name,
        text=body.text,
        html=body.html,
        stream=body.stream,
        campaign=body.campaign,
        list_name=body.list_name,
        shown_to=tuple(to) if is_shared else (),
        shown_cc=tuple(cc),
        reply_to=tuple(_listed(body.reply_to)),
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


def _listed(given: Mailboxes) -> list[str]:
    return [given] if isinstance(given, str) else given


def _places(texts: Sequence[str], field: str) -> list[tuple[str, str]]:
    """Return the bare address of each, with its place in the JSON; what has no name is read by the engine."""
    return [(_bare(text, f"{field}[{at}]"), f"{field}[{at}]") for at, text in enumerate(texts)]


def _bare(text: str, place: str) -> str:
    return mailbox.parse(text, field=place).address.text if text.rstrip().endswith(">") else text


def _given(body: NewMessage) -> list[Given]:
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
