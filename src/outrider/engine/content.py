"""Whether a submission's content may go out: what accept asks before it stores anything, and what follows.

    pass     it goes as it is
    tag      its header says its score
    hold     its recipients are `held` with reason `content` from the start; one notice tells the project's people
    refuse   the caller hears why; nothing is stored

One mail stands for all of a submission: what the first accepted recipient would get. Asked once, outside of any
transaction; nobody is asked where there is no `ContentBook`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base.errors import ContentRefusedError
from outrider.base.vocab import ContentAction, EventKind, Stream
from outrider.engine import kept
from outrider.engine.books import AllowedSender
from outrider.engine.fill import SHOWN_LINK, SHOWN_TOKEN
from outrider.engine.submission import Attachment, Submission
from outrider.mail.address import Address
from outrider.mail.render import Rendered
from outrider.mail.translate import UNSUBSCRIBE_MARK
from outrider.policy.content import ContentVerdict
from outrider.store import events, intake, notices, projects
from outrider.store.events import Facts, NewEvent
from outrider.store.intake import NewRecipient
from outrider.store.notices import Notice
from outrider.store.pool import Tx
from outrider.store.waiting import CONTENT

_SYMBOLS_TOLD_COUNT: Final = 10  # Ours: of an event; the call that checks has all.
_TOLD_AGAIN_AFTER: Final = timedelta(days=1)  # Ours: a notice that nobody has seen in a day is said once more.


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as its first recipient would get it."""

    project_id: UUID
    stream: Stream
    sender: Address  # What From says.
    from_name: str
    to: Address
    subject: str
    text: str | None
    html: str | None
    shown_to: Sequence[str] = ()
    shown_cc: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()
    attachments: Sequence[Attachment] = ()
    has_link_to_leave: bool = False  # It shows our link to unsubscribe.
    raw: bytes | None = None  # The message, where it came whole; then its parts and fields are in here alone.


class ContentBook(Protocol):
    """Who judges content (`services.content`)."""

    async def judge(self, candidate: Candidate) -> ContentVerdict:
        """Return what becomes of it. Never raises for what a filter does; StoreError: the policy cannot be read."""

    async def close(self) -> None:
        """Let go of connections; the next question opens new ones."""


class HeldMail(msgspec.Struct, frozen=True):
    """A message that is stored and waits for somebody to look at it."""

    message_id: UUID
    project_id: UUID
    subject: str
    recipients: Sequence[NewRecipient]
    verdict: ContentVerdict


def candidate(
    project_id: UUID, submission: Submission, sender: AllowedSender, to: Address, filled: Rendered | None = None
) -> Candidate:
    """Return what the recipient `to` would get; of a template, `filled` with what is its own."""
    return Candidate(
        project_id=project_id,
        stream=submission.stream,
        sender=sender.address,
        from_name=kept.from_name(submission, sender),
        to=to,
        subject=filled.subject if filled else submission.subject,
        text=filled.text if filled else _linked(submission.text),
        html=filled.html if filled else _linked(submission.html),
        shown_to=submission.shown_to,
        shown_cc=submission.shown_cc,
        reply_to=submission.reply_to or kept.answers_to(sender),
        headers=submission.headers,
        attachments=submission.attachments,
        has_link_to_leave=_shows_link(filled.html if filled else submission.html)
        or _shows_link(filled.text if filled else submission.text),
        raw=kept.whole(submission, sender),
    )


def _linked(part: str | None) -> str | None:
    """Return content without a template as it is read, with some link in the place of each recipient's own."""
    return part.replace(UNSUBSCRIBE_MARK, SHOWN_LINK) if part else part


def _shows_link(part: str | None) -> bool:
    return part is not None and (UNSUBSCRIBE_MARK in part or SHOWN_TOKEN in part)


async def ask(book: ContentBook, candidate: Candidate) -> ContentVerdict:
    """Return the verdict. Raises ContentRefusedError: its sentence is for the caller, its field "content"."""
    verdict = await book.judge(candidate)
    if verdict.action is ContentAction.REFUSE:
        raise ContentRefusedError(verdict.sentence, field="content")
    return verdict


def facts_of(verdict: ContentVerdict | None) -> Facts:
    """Return what the event of its acceptance says of it; nothing of what passed."""
    if verdict is None or verdict.action is ContentAction.PASS:
        return {}
    facts: dict[str, str | int | float | bool] = {"content": verdict.action.value, "cause": verdict.cause.value}
    if verdict.score is not None:
        facts["score"] = round(verdict.score, 4)
        facts["symbols"] = ", ".join(one.name for one in verdict.symbols[:_SYMBOLS_TOLD_COUNT])
    if verdict.faults:
        facts["lint"] = ", ".join(dict.fromkeys(one.code for one in verdict.faults))
    return facts


async def hold(tx: Tx, mails: Sequence[HeldMail], notice_ids: Sequence[UUID], *, now: datetime) -> None:
    """Hold messages that this transaction has stored, all their recipients; tell each project once.

    Args:
        notice_ids: new ones, one for each mail.
    """
    await intake.hold(tx, [(one.project_id, one.message_id) for one in mails], reason=CONTENT, now=now)
    await events.append(tx, [_held(one, to, now) for one in mails for to in one.recipients])
    pairs = list(zip(mails, notice_ids, strict=True))
    first = {one.project_id: (one, notice_id) for one, notice_id in reversed(pairs)}
    for project_id, (one, notice_id) in sorted(first.items()):
        since = now - _TOLD_AGAIN_AFTER
        if not await notices.is_told(tx, project_id, EventKind.HELD, since=since):
            await projects.lock(tx, project_id)  # Of two that hold at once, one tells.
            if not await notices.is_told(tx, project_id, EventKind.HELD, since=since):
                await notices.insert(tx, _notice(one, notice_id, now))


def _held(one: HeldMail, to: NewRecipient, now: datetime) -> NewEvent:
    return NewEvent(
        at=now,
        project_id=one.project_id,
        message_id=one.message_id,
        recipient_id=to.recipient_id,
        kind=EventKind.HELD,
        reason=CONTENT,
        facts={"lane_id": to.lane_id, **facts_of(one.verdict)},
    )


def _notice(one: HeldMail, notice_id: UUID, now: datetime) -> Notice:
    text = (
        f"A mail was accepted and is held for its content, and is not delivered until somebody releases it.\n\n"
        f"Subject: {one.subject}\nId: {one.message_id}\nWhy: {one.verdict.sentence}\n\n"
        f"Release it:  POST /v1/emails/{one.message_id}/release, or outrider queue release {one.message_id}\n"
        f"Cancel it:   POST /v1/emails/{one.message_id}/cancel, or outrider queue drop session {one.message_id}\n"
        f"All of them: GET /v1/emails?status=held\n\n"
        f"Others that are held are not told one by one while this notice is unseen.\n"
    )
    return Notice(
        notice_id=notice_id,
        project_id=one.project_id,
        kind=EventKind.HELD,
        subject="Mail is held for its content",
        text=text,
        at=now,
    )
