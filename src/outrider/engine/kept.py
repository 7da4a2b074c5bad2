"""What of a submission is kept as a message's content, and under which name, subject and hash. Without I/O.

`accept` writes it, `prepare` makes mail of it. A message that came whole is kept as it came, but for a From that was
re-written and for the score, which nobody but us writes where content is judged.
"""

import hashlib
from collections.abc import Sequence, Set
from datetime import datetime
from typing import Final

import msgspec

from outrider.base.errors import CallerError
from outrider.base.vocab import ContentAction
from outrider.engine.books import AllowedSender
from outrider.engine.submission import Attachment, Submission
from outrider.mail import mailbox, render, repair
from outrider.mail.mailbox import Mailbox
from outrider.policy import align
from outrider.policy.content import ContentVerdict
from outrider.store import messages
from outrider.store.messages import Body, FileRef

SCORE_FIELD: Final = "X-Spam-Score"
_encode: Final = msgspec.json.Encoder().encode


def body(
    submission: Submission,
    files: Sequence[tuple[bytes, Attachment]],
    sender: AllowedSender,
    verdict: ContentVerdict | None = None,
) -> Body:
    """Return what is written into the message."""
    raw = whole(submission, sender)
    if raw is not None:
        raw = raw if verdict is None else repair.with_only(raw, SCORE_FIELD, _score(verdict))
        return Body(raw=raw, has_null_sender=submission.has_null_sender, pool=submission.pool)
    templated = submission.templated
    return Body(
        text=submission.text,
        html=submission.html,
        shown_to=submission.shown_to,
        shown_cc=submission.shown_cc,
        reply_to=submission.reply_to or answers_to(sender),
        headers=headers_of(submission.headers, verdict),
        files=tuple(
            FileRef(content_hash, len(file.content), file.name, file.type, file.content_id)
            for content_hash, file in files
        ),
        template=templated.template if templated else None,
        preheader=templated.preheader if templated else None,
        has_own_subject=templated is not None and bool(submission.subject),
        pool=submission.pool,
    )


def unshown(encoded: bytes, keys: Set[str]) -> bytes:
    """Return an encoded body that shows none of these addresses in To and Cc, given by their `Address.key`."""
    found = messages.decode_body(encoded)

    def others(shown: Sequence[str]) -> tuple[str, ...]:
        return tuple([text for text in shown if mailbox.parse(text).address.key not in keys])

    return messages.encode_body(
        msgspec.structs.replace(found, shown_to=others(found.shown_to), shown_cc=others(found.shown_cc))
    )


def content_hash(octets: bytes, accepted_at: datetime) -> bytes:
    """Return the name under which an encoded body or a file is stored.

    It is of a day, so that it can be deleted after it without a lock in `accept` (ADR 0044).
    """
    return hashlib.sha256(accepted_at.date().isoformat().encode() + octets).digest()


def whole(submission: Submission, sender: AllowedSender) -> bytes | None:
    """Return a message that came whole, from the sender that may send it; None: it is made of parts."""
    rewritten = sender.rewritten
    if submission.raw is None or rewritten is None:
        return submission.raw
    return repair.with_from(submission.raw, Mailbox(from_name(submission, sender), sender.address), rewritten.address)


def answers_to(sender: AllowedSender) -> tuple[str, ...]:
    """Answers to a From that was re-written go to the mailbox that wrote."""
    return (sender.rewritten.address.text,) if sender.rewritten else ()


def headers_of(given: Sequence[tuple[str, str]], verdict: ContentVerdict | None) -> tuple[tuple[str, str], ...]:
    """Return a message's further header fields: those given, and its score if it is tagged. Nobody else writes that."""
    if verdict is None:
        return tuple(given)
    others = tuple((name, value) for name, value in given if name.lower() != SCORE_FIELD.lower())
    score = _score(verdict)
    return (*others, (SCORE_FIELD, score)) if score else others


def _score(verdict: ContentVerdict) -> str:
    """Return what the message says of itself; "" if it is not tagged."""
    return "" if verdict.action is not ContentAction.TAG or verdict.score is None else f"{verdict.score:.4g}"


def subject(submission: Submission) -> str:
    """Return what people read in lists: the call's own, else that of the template in its default language."""
    templated = submission.templated
    if submission.subject or templated is None:
        return submission.subject
    return render.shown(templated.template.variants[0].subject)


def from_name(submission: Submission, sender: AllowedSender) -> str:
    """Return the name in From; "" for none."""
    name, rewritten = submission.from_name, sender.rewritten
    if submission.raw is None:  # Else it is as it was written.
        name = name or sender.name
    return name if rewritten is None else align.via(name or rewritten.address.local, rewritten.via)


def request_hash(submission: Submission) -> bytes:
    """Return what tells the submission from another.

    Raises:
        CallerError: a recipient cannot be written.
    """
    if submission.attachments:  # Their octets count by their hash: JSON would write megabytes of base64 to hash them.
        hashed = tuple(
            msgspec.structs.replace(file, content=hashlib.sha256(file.content).digest())
            for file in submission.attachments
        )
        submission = msgspec.structs.replace(submission, attachments=hashed)
    if submission.raw is not None:
        submission = msgspec.structs.replace(submission, raw=hashlib.sha256(submission.raw).digest())
    try:
        return hashlib.sha256(_encode(submission)).digest()
    except UnicodeEncodeError as error:  # All other fields have been checked for it.
        raise CallerError("A recipient has half a character (a lone surrogate).", field="recipients") from error
