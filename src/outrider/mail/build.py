"""Compose a message: header fields and a body that any server takes. Pure.

`compose` makes once what all recipients share; `Draft.fields_for` adds To and Message-ID for one of them, in about two
microseconds. Where subject and texts are each recipient's own, `frame` makes once what is left to share, its files
included, and `Frame.fill` the rest. Written straight to bytes: `email.message` takes a hundred times as long.

    text alone, HTML alone     one part
    both                       multipart/alternative: text first, HTML last, as the richest (RFC 2046 §5.1.4)
    images in the HTML         the HTML and they in a multipart/related, in the place of the HTML
    files                      a multipart/mixed around it all; an invitation is an alternative, too

The body is always 7-bit (`mime`), the same bytes on every attempt, and ends in CRLF. Header values are the business of
`headers`, which refuses whatever could inject one.

Sources: RFC 5322, RFC 2046, RFC 6532.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from outrider.base.errors import CallerError
from outrider.mail import headers, mime
from outrider.mail.address import Address
from outrider.mail.mailbox import Mailbox
from outrider.mail.mime import File, Part

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Fields that a caller's `extra` may not bring: ours to write, or the trace of servers. Content-* and Resent-* neither.
_OURS: Final = frozenset(
    {"from", "sender", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "reply-to"}
    | {"received", "return-path", "delivered-to", "dkim-signature", "authentication-results"}
)
_OUR_PREFIXES: Final = ("content-", "resent-", "arc-")


class Draft(msgspec.Struct, frozen=True):
    """A message as all its recipients get it, but for To and Message-ID."""

    body: bytes  # 7-bit, ends in CRLF, no line over 998 bytes.
    fields: tuple[bytes, ...]  # Complete and folded, each ending in CRLF.

    has_to: bool = False  # `fields` has a To that all recipients see.

    def fields_for(self, to: Address, message_id: str) -> list[bytes]:
        """Return the fields of one recipient, which go before `fields`: To, unless all have the same, and Message-ID.

        Raises:
            CallerError: `message_id` (without angle brackets) is not of the form dot-atom@domain.
        """
        own = headers.message_id(message_id)
        return [own] if self.has_to else [f"To: {to.text}\r\n".encode(), own]


class Filled(msgspec.Struct, frozen=True):
    """What a message is to one recipient alone, to be put into its frame: `fields` go before the frame's."""

    fields: tuple[bytes, ...]
    body: bytes  # As a draft's.


class Enclosed(msgspec.Struct, frozen=True):
    """A file, ready to be written."""

    part: Part
    is_shown: bool  # By the HTML, if there is one.
    invitation: Part | None  # Itself once more, as an alternative of the text; None: it is no invitation.


class Frame(msgspec.Struct, frozen=True):
    """What recipients share of a message whose subject and texts are their own."""

    draft: Draft  # Without Subject and Content-Type, and with an empty body.
    enclosed: tuple[Enclosed, ...]

    def fill(self, subject: str, text: str | None, html: str | None, *, seed: bytes = b"") -> Filled:
        """Return what the recipient with this subject and these texts gets.

        Args:
            seed: the recipient's own, the same on every attempt; see `mime.multipart`.

        Raises:
            CallerError: as `compose`.
        """
        part = _compose_body(text, html, self.enclosed, seed)
        return Filled((headers.unstructured("Subject", subject), *part.fields()), part.content)

    def with_all(self, subject: str, text: str | None, html: str | None) -> Draft:
        """Return the draft of a message whose subject and texts all recipients share. Raises CallerError: as `fill`."""
        filled = self.fill(subject, text, html)
        subject_field, *content_fields = filled.fields
        from_field, *others = self.draft.fields
        return Draft(filled.body, (from_field, subject_field, *others, *content_fields), self.draft.has_to)


def compose(
    *,
    sender: Address,
    from_name: str,
    subject: str,
    text: str | None,
    html: str | None,
    date: datetime,
    reply_to: Sequence[Mailbox] = (),
    shown_to: Sequence[Mailbox] = (),
    shown_cc: Sequence[Mailbox] = (),
    extra: Sequence[tuple[str, str]] = (),
    files: Sequence[File] = (),
) -> Draft:
    """Compose what all recipients of a message share.

    Args:
        from_name: "" for none.
        text, html: one of them or both; an empty one counts as absent. Neither is needed with a file.
        shown_to, shown_cc: what all recipients see in To and Cc; none in both: each sees itself alone.
        date: for the Date field; aware.
        extra: further fields of free text, name and value, in this order.

    Raises:
        CallerError: a value cannot be in a header, there is no content, or `extra` has a field that is not the
            caller's to write; `field` is Subject, FromName, Content or the name of the extra field.
    """
    shared = frame(
        sender=sender,
        from_name=from_name,
        date=date,
        reply_to=reply_to,
        shown_to=shown_to,
        shown_cc=shown_cc,
        extra=extra,
        files=files,
    )
    return shared.with_all(subject, text, html)


def frame(
    *,
    sender: Address,
    from_name: str,
    date: datetime,
    reply_to: Sequence[Mailbox] = (),
    shown_to: Sequence[Mailbox] = (),
    shown_cc: Sequence[Mailbox] = (),
    extra: Sequence[tuple[str, str]] = (),
    files: Sequence[File] = (),
) -> Frame:
    """Compose what recipients share of a message whose subject and texts are their own. Arguments as of `compose`.

    Raises:
        CallerError: as `compose`.
    """
    fields = [headers.mailbox("From", from_name, sender, field="FromName"), date_field(date)]
    for name, boxes in (("To", shown_to), ("Cc", shown_cc), ("Reply-To", reply_to)):
        if boxes:
            fields.append(headers.mailboxes(name, [(box.name, box.address) for box in boxes]))
    if shown_cc and not shown_to:  # RFC 5322 §3.6.3 lets To be absent; filters do not like it.
        fields.append(b"To: undisclosed-recipients:;\r\n")
    for name, value in extra:
        check_extra(name)
        fields.append(headers.unstructured(name, value))
    draft = Draft(b"", (*fields, b"MIME-Version: 1.0\r\n"), bool(shown_to or shown_cc))
    return Frame(draft, tuple(map(_enclose, files)))


def date_field(at: datetime) -> bytes:
    """Write the Date field. Source: RFC 5322 §3.3; the names of days and months are English everywhere."""
    assert at.tzinfo is not None
    at = at.astimezone(UTC)
    return (
        f"Date: {_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
        f" {at.hour:02}:{at.minute:02}:{at.second:02} +0000\r\n"
    ).encode("ascii")


def check_extra(name: str) -> None:
    """Refuse a header field that is not a caller's to write. Raises CallerError, `field` its name."""
    lower = name.lower()
    if lower in _OURS or lower.startswith(_OUR_PREFIXES):
        raise CallerError("That header field is not yours to set.", field=name)


def _enclose(file: File) -> Enclosed:
    invitation = mime.invitation_part(file) if file.is_invitation else None
    return Enclosed(mime.file_part(file), bool(file.content_id), invitation)


def _compose_body(text: str | None, html: str | None, files: Sequence[Enclosed], seed: bytes) -> Part:
    shown = [file.part for file in files if file.is_shown and html]
    alternatives = [mime.text_part("plain", text)] if text else []
    if html:
        # RFC 2387: `type` is the first part's.
        parts = [mime.text_part("html", html), *shown]
        alternatives.append(mime.multipart("related", parts, ';\r\n type="text/html"', seed=seed))
    alternatives += [file.invitation for file in files if file.invitation is not None][:1]
    if not alternatives:
        if not files:
            raise CallerError("The content is empty.", field="Content")
        alternatives = [mime.text_part("plain", "")]
    attached = [file.part for file in files if not (file.is_shown and html)]
    alternative = mime.multipart("alternative", alternatives, seed=seed)
    return mime.multipart("mixed", [alternative, *attached], seed=seed)
