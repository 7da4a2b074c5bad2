"""Complaints: what a provider says when somebody pressed "this is spam". Pure; reading never raises.

    read(header, parts)    a Feedback, None if this is no such report
    build(...)             a whole report, as bytes

The form is ARF (RFC 5965): words for people, fields for machines, the message complained of. Providers blank out whom
it went to ("redacted", "xxx@"); such an address is "" here, and the token of the return path, which no one blanks out,
says who it was. Beside ARF there are older shapes: Hotmail's JMRP sends the bare message with `X-HmXmr...` fields
inside, others only words. What each type means for a recipient is `report`'s.

Sources: RFC 5965 §3, RFC 6522; RFC 6430 (not-spam), RFC 6591 (auth-failure).
"""

import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Final

import msgspec

from outrider.base import limits
from outrider.mail import dsn, parse, parts
from outrider.mail.parse import Header
from outrider.mail.parts import Part

KIND: Final = "message/feedback-report"
_REDACTED: Final = re.compile(r"redact|xxx@|@(?:redacted|removed|xxx)|\*{2,}|hidden|\[", re.IGNORECASE)
_JMRP_FIELDS: Final = ("x-hmxmroriginalrecipient", "x-hotmail-original-recipient")
_JMRP_SUBJECT: Final = re.compile(r"complaint about message from \[?[\da-f.:]+", re.IGNORECASE)
_WORDS: Final = re.compile(
    r"this is an? e?-?mail (?:abuse|spam) report|this is a spam (?:complaint|report)|"
    r"(?:abuse|spam) report for an e?-?mail|"
    r"reported (?:the|your|this) (?:message|e?-?mail).{0,30} as (?:spam|junk)|feedback[ -]loop (?:report|complaint)",
    re.IGNORECASE,
)


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What a feedback report says; "" is what it does not."""

    type: str = "abuse"  # In lower case: abuse, fraud, virus, other, not-spam, opt-out, auth-failure, ...
    user_agent: str = ""
    original_mail_from: str = ""
    original_rcpt_to: str = ""
    source_ip: str = ""
    reported_domain: str = ""


def read(header: Header, found: Sequence[Part]) -> Feedback | None:
    """Return what a message with this header and these parts complains of, None if it does not."""
    for part in found:
        if part.kind == KIND:
            return read_fields(part.text())
    text = next((part.text() for part in found if part.is_text), "")
    if parts.report_type(header) == "feedback-report" or re.search(r"^Feedback-Type:", text, re.MULTILINE):
        return read_fields(text)  # A gateway has made plain text of it.
    returned = next((parse.read_header(part.inner()) for part in found if part.is_message), None)
    if returned is not None:
        for name in _JMRP_FIELDS:
            if returned.first(name):
                return Feedback(user_agent="JMRP", original_rcpt_to=_address(returned.first(name)))
    if _JMRP_SUBJECT.search(header.subject) or (returned is not None and _WORDS.search(text[:2000])):
        return Feedback()
    return None


def read_fields(text: str) -> Feedback:
    """Return what the fields of a feedback-report part say. The first of each counts. Source: RFC 5965 §3."""
    fields = parse.read_header(text.lstrip().encode("utf-8", "replace"))
    domain = dsn.printable(fields.first("reported-domain"))[: limits.DOMAIN_NAME_CHARS_MAX]
    return Feedback(
        type=_type(fields.first("feedback-type")),
        user_agent=dsn.printable(fields.first("user-agent"))[: limits.LINE_FOLD_BYTES],
        original_mail_from=_address(fields.first("original-mail-from")),
        original_rcpt_to=_address(fields.first("original-rcpt-to")),
        source_ip=dsn.printable(fields.first("source-ip"))[: limits.LINE_FOLD_BYTES],
        reported_domain=domain,
    )


def build(
    *,
    feedback: Feedback,
    sender: str,
    to: str,
    date: datetime,
    message_id: str,
    original: bytes,
    subject: str = "Complaint",
) -> bytes:
    """Return a whole report about `original`. For the simulator and for tests. Source: RFC 5965 §2."""
    named = (
        ("Feedback-Type", feedback.type),
        ("User-Agent", feedback.user_agent),
        ("Version", "1"),
        ("Original-Mail-From", feedback.original_mail_from and f"<{feedback.original_mail_from}>"),
        ("Original-Rcpt-To", feedback.original_rcpt_to and f"<{feedback.original_rcpt_to}>"),
        ("Source-IP", feedback.source_ip),
        ("Reported-Domain", feedback.reported_domain),
    )
    assert all(value.isprintable() for _, value in named)
    fields = "".join(f"{name}: {value}\r\n" for name, value in named if value)
    return dsn.wrap(
        {"From": sender, "To": to, "Subject": subject, "Date": format_datetime(date), "Message-ID": f"<{message_id}>"},
        "feedback-report",
        [
            ("text/plain; charset=utf-8", b"This is an email abuse report. The message is below.\r\n"),
            (KIND, fields.encode()),
            ("message/rfc822", original),
        ],
    )


def unredacted(address: str) -> str:
    """Return the address, "" if its owner's name has been blanked out."""
    return "" if _REDACTED.search(address) else address


def _type(value: str) -> str:
    match = re.match(r"[a-z][a-z-]{0,40}", value.lower())
    return match[0] if match else "abuse"


def _address(value: str) -> str:
    return unredacted(dsn.printable(dsn.address_in(value)))
