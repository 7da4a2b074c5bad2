"""Mail that machines send back: what kind it is, and what it says of whom. Pure; never raises.

    read(message)    a Report: what kind it is, what it says of each recipient, which mail of ours it is about

Asked in this order; the first that says yes decides:

    complaint     a feedback report (`arf`); opt-out is an unsubscribe, not-spam and auth-failure are what they say
    challenge     who wants us to prove that we are people; some write it in the form of a bounce
    bounce        a delivery status (`dsn`), wherever it stands; its actions make a delay or a delivery of it
    bounce        words (`bounce`): two of a daemon's From, a bounce's Subject, a bounce's text; or X-Failed-Recipients
    auto_reply    Auto-Submitted (RFC 3834 §5) and what came before it; a Subject of somebody who is away
    unsubscribe   a Subject, or a text, that asks for nothing else
    other         all else: people who answer, receipts, mail of strangers

Postfix and Exim mark bounces as auto-replied, too, so bounces come first. Whether to believe a report is not
asked here: only one to a signed return path (`verp`) counts. What a reason means is `policy.classify`'s.

Bounded by `limits.REPORT_*`, whatever is sent: see `parts`. Measured (2026-11, under a load of 8 on
2 cores): a report of the corpus 0.07 to 2.7 ms, median 0.3; the worst of 491 messages made to cost much 0.1 s of CPU.
"""

import enum
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from outrider.base import limits
from outrider.mail import arf, bounce, dsn, parse, parts, phrases
from outrider.mail.dsn import Diagnosis, Status
from outrider.mail.parse import Header
from outrider.mail.parts import Part

_STATUS_IN_TEXT: Final = re.compile(r"^[ \t>]*Final-Recipient:", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID: Final = re.compile(r"^[ \t>*]*Message-?ID:\s*(<[^<>\s]{1,400}>)", re.IGNORECASE | re.MULTILINE)
_SAYS_AUTO: Final = (
    "x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply", "x-auto-reply-from", "x-autoreply-from",
    "x-mail-autoreply", "x-vacation", "x-autoresponse", "x-ms-exchange-generated-message-source-oof",
)  # fmt: skip
_SAYS_CHALLENGE: Final = (
    "x-boxbe-message",
    "x-spamarrest-noauth",
    "x-tmda-fingerprint",
    "x-choicemail-registration-request",
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_TEXT_OF_KIND_CHARS_MAX: Final = 4000  # Where a text says what it is.
_UNSUBSCRIBE_LINES_MAX: Final = 30  # A longer text asks for something else, too.


class ReportKind(enum.StrEnum):
    """What a mail that came back is."""

    BOUNCE = "bounce"
    DELAY = "delay"
    DELIVERED = "delivered"
    COMPLAINT = "complaint"
    NOT_SPAM = "not_spam"
    AUTO_REPLY = "auto_reply"
    CHALLENGE = "challenge"
    UNSUBSCRIBE = "unsubscribe"
    OTHER = "other"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail that came back says."""

    kind: ReportKind
    diagnoses: tuple[Diagnosis, ...] = ()  # Of a bounce, a delay, a delivery: at least one.
    feedback_type: str = ""  # "abuse"; of a complaint and its like only.
    original_message_id: str = ""  # Without angle brackets.
    original_recipient: str = ""  # Whom the mail was for, if just one is named.
    summary: str = ""  # For people, kept as evidence: one line, at most `REPORT_SUMMARY_CHARS_MAX`.


class _Mail(msgspec.Struct, frozen=True):
    """A mail, cut up."""

    header: Header
    parts: list[Part]
    text: str  # What is said, without what is returned.
    returned: Header  # Of the message that is returned; no fields if none is.


def read(message: bytes) -> Report:
    """Return what `message` is and says. Safe: on any octets. Cost: bounded, see above."""
    mail = _cut(message)
    for ask in (_as_complaint, _as_challenge, _as_status, _as_words, _as_personal):
        report = ask(mail)
        if report is not None:
            return _complete(report, mail)
    return _complete(Report(kind=ReportKind.OTHER), mail)


def _cut(message: bytes) -> _Mail:
    header = parse.read_header(message)
    found = parts.cut(message)
    first = next((at for at, part in enumerate(found) if part.is_message or part.kind in dsn.KINDS), len(found))
    text = _text_of(found[:first]) or _text_of(found[first:])
    said, below = bounce.split_returned(text)
    inner = next((part.inner() for part in found if part.is_message), b"")
    returned = parse.read_header(inner.lstrip(b"\r\n \t"))
    if not (returned.message_id or returned.to) and below:
        returned = parse.read_header(below.encode("utf-8", "replace"))
    return _Mail(header, found, said, returned)


def _text_of(some: Sequence[Part]) -> str:
    plain = [text for part in some if part.is_text and part.kind != "text/html" and (text := part.text()).strip()]
    html = [part.text() for part in some if part.kind == "text/html"] if not plain else []
    return "\n\n".join(plain or html)[: limits.REPORT_TEXT_CHARS_MAX]


def _as_complaint(mail: _Mail) -> Report | None:
    feedback = arf.read(mail.header, mail.parts)
    if feedback is None:
        return None
    match feedback.type:
        case "opt-out" | "opt-out-list":
            kind = ReportKind.UNSUBSCRIBE
        case "not-spam":
            kind = ReportKind.NOT_SPAM
        case "auth-failure" | "dmarc":
            kind = ReportKind.OTHER
        case _:  # abuse, fraud, virus, other, miscategorized, and what will be: somebody did not like it.
            kind = ReportKind.COMPLAINT
    to = feedback.original_rcpt_to or arf.unredacted(_only_address(mail.returned.to))
    return Report(kind=kind, feedback_type=feedback.type, original_recipient=to)


def _as_challenge(mail: _Mail) -> Report | None:
    header = mail.header
    says = any(header.first(name) for name in _SAYS_CHALLENGE)
    if not says and not phrases.is_challenger(f"{header.sender} {header.first('reply-to')}"):
        is_machine = phrases.is_daemon(header.sender) or phrases.is_bounce_subject(header.subject)
        if is_machine or _status_of(mail):
            return None
        own_words = "" if _is_echo(header.subject) else header.subject  # An answer has our subject, not theirs.
        said = " ".join(line for line in mail.text[:_TEXT_OF_KIND_CHARS_MAX].split("\n") if not line.startswith(">"))
        said = " ".join(f"{own_words} {said}".split())
        if not phrases.is_challenge(said) and not phrases.is_challenger(own_words):
            return None
    return Report(kind=ReportKind.CHALLENGE)


def _is_echo(subject: str) -> bool:
    return phrases.is_reply(subject) or phrases.is_away_subject(subject)


def _status_of(mail: _Mail) -> str:
    """Return the text with the fields of a delivery status, "" if there is none."""
    status = [part.text() for part in mail.parts if part.kind in dsn.KINDS]
    if not status and _STATUS_IN_TEXT.search(mail.text) and not phrases.is_reply(mail.header.subject):
        status = [mail.text]
    return "\n\n".join(status)


def _as_status(mail: _Mail) -> Report | None:
    status = dsn.read(_status_of(mail))
    if not status.diagnoses:
        return None
    diagnoses = _filled(status, mail)
    actions = {diagnosis.action for diagnosis in diagnoses}
    if "failed" in actions:
        kind = ReportKind.BOUNCE
    else:
        kind = ReportKind.DELAY if "delayed" in actions else ReportKind.DELIVERED
    return Report(kind=kind, diagnoses=diagnoses, original_message_id=status.original_message_id)


def _filled(status: Status, mail: _Mail) -> tuple[Diagnosis, ...]:
    """Return the diagnoses of a status; what its fields leave out is added from the words around."""
    if all(d.action not in ("failed", "delayed") or (d.address and _has_words(d)) for d in status.diagnoses):
        return status.diagnoses
    lone = _address_of_one(status, mail)
    known = [diagnosis.address or lone for diagnosis in status.diagnoses]
    words = bounce.read(mail.text, ours=_ours(mail), known=known)
    return tuple(_filled_in(diagnosis, said) for diagnosis, said in zip(status.diagnoses, words, strict=True))


def _has_words(diagnosis: Diagnosis) -> bool:
    return len(_WORD.findall(diagnosis.text)) >= 2


def _filled_in(diagnosis: Diagnosis, words: Diagnosis) -> Diagnosis:
    is_vague = not diagnosis.status or diagnosis.status.endswith(".0.0")
    better = words.status if is_vague and words.status[:1] in (diagnosis.status[:1] or words.status[:1]) else ""
    text = diagnosis.text if _has_words(diagnosis) else f"{diagnosis.text} {words.text}".strip()
    return msgspec.structs.replace(
        diagnosis,
        address=diagnosis.address or words.address,
        text=text[: limits.REPLY_TEXT_CHARS_KEPT_MAX],
        status=better or diagnosis.status,
        code=diagnosis.code or words.code,
        remote_mta=diagnosis.remote_mta or words.remote_mta,
    )


def _address_of_one(status: Status, mail: _Mail) -> str:
    """Return whom a single group without an address must be about, "" if that cannot be told."""
    if len(status.diagnoses) != 1 or status.diagnoses[0].address:
        return ""
    named = _failed_recipients(mail) or [said.address for said in bounce.read(mail.text, ours=_ours(mail))]
    return named[0] if named else _only_address(mail.returned.to)


def _as_words(mail: _Mail) -> Report | None:
    header = mail.header
    known = _failed_recipients(mail)
    from_daemon = phrases.is_daemon(header.sender) or header.first("return-path").strip() == "<>"
    signs = (from_daemon, phrases.is_bounce_subject(header.subject), phrases.is_bounce_body(mail.text))
    is_delay = phrases.is_delay(header.subject, mail.text)
    if not known and sum(signs) + (is_delay and from_daemon) < 2:
        return None
    found = bounce.read(mail.text, ours=_ours(mail), known=known)
    if not found:
        found = [bounce.judge(bounce.reason(mail.text), _only_address(mail.returned.to))]
    action = "delayed" if is_delay else "failed"
    diagnoses = tuple(msgspec.structs.replace(diagnosis, action=action) for diagnosis in found)
    return Report(kind=ReportKind.DELAY if is_delay else ReportKind.BOUNCE, diagnoses=diagnoses)


def _as_personal(mail: _Mail) -> Report | None:
    """Tell what people, or programs that answer for them, have sent."""
    header = mail.header
    submitted = header.first("auto-submitted").lower()
    precedence = header.first("precedence").lower()
    is_auto = (
        submitted.startswith(("auto-replied", "auto_replied", "vacation", "yes"))
        or any(header.first(name) for name in _SAYS_AUTO)
        or precedence.startswith(("auto_reply", "auto-reply"))
        or header.first("x-autogenerated").lower() == "reply"
        or "autoresponder" in header.first("x-post-messageclass").lower()
    )
    said = header.subject
    is_answer = phrases.is_reply(said)
    is_list = bool(header.first("list-id") or header.first("list-post"))
    is_auto = is_auto or (is_answer and precedence in ("bulk", "junk") and not is_list)  # vacation(1) and its like.
    is_auto = is_auto or (is_answer and header.first("return-path").strip() == "<>")
    is_auto = is_auto or re.search("vacation|autorespon", header.first("x-mailer").lower()) is not None
    is_marked = bool(submitted and submitted != "no") or precedence in ("bulk", "junk", "list")
    is_marked = is_marked or bool(header.first("x-auto-response-suppress"))
    if is_auto or (phrases.is_away_subject(said) and (is_marked or not is_answer)):
        return Report(kind=ReportKind.AUTO_REPLY)
    lines = [line for line in mail.text.split("\n") if line.strip()]
    is_short = 0 < len(lines) <= _UNSUBSCRIBE_LINES_MAX
    if phrases.is_unsubscribe(said) or (is_short and phrases.is_unsubscribe(lines[0][: limits.LINE_FOLD_BYTES])):
        return Report(kind=ReportKind.UNSUBSCRIBE)
    return None


def _complete(report: Report, mail: _Mail) -> Report:
    """Add which mail of ours it is about, and the evidence."""
    message_id = dsn.bare_id(mail.returned.message_id) or report.original_message_id or _id_in_words(mail)
    one = report.diagnoses[0] if len(report.diagnoses) == 1 else Diagnosis()
    to = report.original_recipient or arf.unredacted(_only_address(mail.returned.to))
    report = msgspec.structs.replace(
        report,
        original_message_id=message_id,
        original_recipient=to or one.original_address or one.address,
    )
    return msgspec.structs.replace(report, summary=_summary(report, mail.header))


def _summary(report: Report, header: Header) -> str:
    said = [report.kind.value + (f" ({report.feedback_type})" if report.feedback_type else "")]
    for diagnosis in report.diagnoses[:3]:
        code = str(diagnosis.code) if diagnosis.code else ""
        words = (diagnosis.address, diagnosis.action, code, diagnosis.status, diagnosis.text[:200])
        said.append(" ".join(word for word in words if word))
    if header.subject:
        said.append(f"Subject: {header.subject[:100]}")
    return dsn.printable("; ".join(said))[: limits.REPORT_SUMMARY_CHARS_MAX].rstrip()


def _id_in_words(mail: _Mail) -> str:
    match = _MESSAGE_ID.search(mail.text)
    answered = mail.header.first("in-reply-to") or mail.header.first("references").rpartition("<")[2].rstrip("> ")
    return dsn.bare_id(match[1] if match else answered)


def _failed_recipients(mail: _Mail) -> list[str]:
    named = (dsn.addresses_in(value) for value in mail.header.every("x-failed-recipients"))
    return [dsn.printable(address) for some in named for address in some]


def _only_address(value: str) -> str:
    """Return the address of a To field, "" if there is not just one. A display name may look like one."""
    bracketed = re.findall(r"<([^<>]*@[^<>]*)>", value)
    every = {dsn.address_in(inner) for inner in bracketed} or set(dsn.addresses_in(value))
    return dsn.printable(every.pop()) if len(every) == 1 else ""


def _ours(mail: _Mail) -> frozenset[str]:
    """Return who is no recipient: whom the report is for and from, and who sent the mail it is about."""
    values = [mail.returned.sender, mail.returned.first("return-path"), mail.returned.first("sender")]
    values += [
        mail.header.to,
        mail.header.sender,
        mail.header.first("delivered-to"),
        mail.header.first("x-original-to"),
    ]
    return frozenset(address.lower() for value in values for address in dsn.addresses_in(value)[:20])
