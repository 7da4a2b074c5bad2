"""What the simulator's late answers look like: a function for each, from what was taken to a message. Pure.

They look as such mails commonly do, so that what reads them is tested for real: a delivery status notification as
Postfix writes it, an ARF report as feedback loops send it, an out-of-office reply, a challenge, an unsubscribe mail.

Sources: RFC 3464 (delivery status), RFC 6522 (multipart/report), RFC 5965 (ARF), RFC 3834 (automatic replies),
RFC 2369 and RFC 6068 (List-Unsubscribe, mailto), RFC 5322.
"""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote

import msgspec

from outrider.base.errors import CallerError
from outrider.mail import address as addresses
from outrider.policy.simulate import HOST_NAME, Late

_HEADER_BYTES_MAX: Final = 16 * 1024  # Ours: of the original's header, what a report returns.
_VALUE_CHARS_MAX: Final = 900  # Ours: with a name a line of RFC 5322 §2.1.1.
_MAILTO: Final = re.compile(rb"<mailto:([^>?\s]+)(?:\?([^>\s]*))?>", re.IGNORECASE)


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that was answered 250, for one of its recipients."""

    return_path: str  # Never "": such mail is not answered.
    recipient: str
    client: str  # The address it came from.
    head: bytes  # Its first octets, the header at least.
    diagnosis: str = ""  # The reply that a delivery report tells.
    at: datetime
    mark: str  # Nobody else's: for Message-ID and boundary.


class Report(msgspec.Struct, frozen=True):
    """A mail to be sent, from the null sender."""

    to: str
    message: bytes


def build(late: Late, taken: Taken) -> Report:
    """Return the mail that this answer is."""
    builders: Mapping[Late, Callable[[Taken], Report]] = {
        Late.BOUNCE: _bounce,
        Late.COMPLAINT: _complaint,
        Late.AUTO_REPLY: _auto_reply,
        Late.CHALLENGE: _challenge,
        Late.UNSUBSCRIBE: _unsubscribe,
    }
    return builders[late](taken)


def _bounce(taken: Taken) -> Report:
    """Source: RFC 3464 §2; the words are Postfix's."""
    status = next(iter(re.findall(r"\b5\.\d{1,3}\.\d{1,3}\b", taken.diagnosis)), "5.1.1")
    text = (
        f"This is the mail system at host {HOST_NAME}.\n\nI'm sorry to have to inform you that your message could not\n"
        f"be delivered to one or more recipients.\n\n"
        f"<{taken.recipient}>: host {HOST_NAME} said:\n    {taken.diagnosis}\n"
    )
    status_lines = (
        f"Reporting-MTA: dns; {HOST_NAME}\nArrival-Date: {format_datetime(taken.at)}\n\n"
        f"Final-Recipient: rfc822; {taken.recipient}\nOriginal-Recipient: rfc822;{taken.recipient}\nAction: failed\n"
        f"Status: {status}\nRemote-MTA: dns; {HOST_NAME}\nDiagnostic-Code: smtp; {taken.diagnosis}\n"
    )
    fields = {
        "From": f"Mail Delivery System <MAILER-DAEMON@{HOST_NAME}>",
        "Subject": "Undelivered Mail Returned to Sender",
        "Auto-Submitted": "auto-replied",
    }
    return _multipart(
        taken, fields, "delivery-status", (("text/plain", text), ("message/delivery-status", status_lines))
    )


def _complaint(taken: Taken) -> Report:
    """Source: RFC 5965 §3."""
    text = f"This is an email abuse report for a message received from IP {taken.client} by {taken.recipient}.\n"
    feedback = (
        "Feedback-Type: abuse\nUser-Agent: Outrider-Simulator/1.0\nVersion: 1\n"
        f"Original-Mail-From: <{taken.return_path}>\nOriginal-Rcpt-To: <{taken.recipient}>\n"
        f"Arrival-Date: {format_datetime(taken.at)}\nSource-IP: {taken.client}\n"
        f"Reported-Domain: {taken.return_path.rpartition('@')[2]}\n"
    )
    fields = {"From": f"Feedback Loop <fbl@{HOST_NAME}>", "Subject": "FW: complaint about your message"}
    return _multipart(taken, fields, "feedback-report", (("text/plain", text), ("message/feedback-report", feedback)))


def _auto_reply(taken: Taken) -> Report:
    """Source: RFC 3834 §3.1."""
    fields = {
        "From": taken.recipient,
        "Subject": f"Out of office: {_value(taken.head, 'Subject')}",
        "Auto-Submitted": "auto-replied (vacation)",
        "Precedence": "bulk",
        **_thread(taken),
    }
    return _plain(
        taken, taken.return_path, fields, "I am out of the office and will read your message when I am back.\n"
    )


def _challenge(taken: Taken) -> Report:
    fields = {
        "From": taken.recipient,
        "Subject": "Please confirm your message",
        "Auto-Submitted": "auto-replied",
        "Precedence": "bulk",
        **_thread(taken),
    }
    text = (
        f"Your message to {taken.recipient} is being held because your address is not known here.\n"
        f"To have it delivered, confirm that you are a person: reply to this message, or visit\nhttps://{HOST_NAME}/confirm/{taken.mark}\n"
    )
    return _plain(taken, taken.return_path, fields, text)


def _unsubscribe(taken: Taken) -> Report:
    """To the first mailto: of List-Unsubscribe, else to the return path. Source: RFC 2369 §3.2, RFC 6068 §2."""
    to, subject = taken.return_path, "unsubscribe"
    found = _MAILTO.search(_value(taken.head, "List-Unsubscribe").encode())
    if found is not None:
        wanted = dict(part.partition("=")[::2] for part in (found[2] or b"").decode().split("&"))
        subject = _one_line(unquote(wanted.get("subject", subject)))
        with contextlib.suppress(CallerError):  # No address; the return path is one.
            to = addresses.parse(unquote(found[1].decode("utf-8", "replace"))).text
    return _plain(taken, to, {"From": taken.recipient, "Subject": subject}, "unsubscribe\n")


def _thread(taken: Taken) -> Mapping[str, str]:
    message_id = _value(taken.head, "Message-ID")
    return {"In-Reply-To": message_id, "References": message_id} if message_id else {}


def _multipart(taken: Taken, fields: Mapping[str, str], kind: str, parts: Sequence[tuple[str, str]]) -> Report:
    boundary = f"=_{taken.mark}"
    header = _header_of(taken.head)
    lines = [f"--{boundary}\nContent-Type: {type_}; charset=utf-8\n\n{text}\n" for type_, text in parts[:1]]
    lines += [f"--{boundary}\nContent-Type: {type_}\n\n{text}\n" for type_, text in parts[1:]]
    fields = {**fields, "Content-Type": f'multipart/report; report-type={kind}; boundary="{boundary}"'}
    octets = _crlf("".join(lines)) + _crlf(f"--{boundary}\nContent-Type: text/rfc822-headers\n\n") + header
    return Report(taken.return_path, _head(taken, taken.return_path, fields) + octets + _crlf(f"\n--{boundary}--\n"))


def _plain(taken: Taken, to: str, fields: Mapping[str, str], text: str) -> Report:
    fields = {**fields, "Content-Type": "text/plain; charset=utf-8"}
    return Report(to, _head(taken, to, fields) + _crlf(text))


def _head(taken: Taken, to: str, fields: Mapping[str, str]) -> bytes:
    own = {
        **fields,
        "To": to,
        "Date": format_datetime(taken.at),
        "Message-ID": f"<{taken.mark}@{HOST_NAME}>",
        "MIME-Version": "1.0",
    }
    return "".join(f"{name}: {_one_line(value)}\r\n" for name, value in own.items()).encode() + b"\r\n"


def _value(head: bytes, name: str) -> str:
    """Return a header field's value, unfolded; "" if there is none."""
    pattern = rb"(?:\A|\r\n)" + re.escape(name.encode()) + rb":[ \t]*([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)"
    found = re.search(pattern, _header_of(head), re.IGNORECASE)
    return _one_line(found[1].decode("utf-8", "replace")) if found else ""


def _header_of(head: bytes) -> bytes:
    """Return the header of what came over the wire, its dots no longer stuffed, ending in CRLF."""
    header = head.partition(b"\r\n\r\n")[0][:_HEADER_BYTES_MAX] + b"\r\n"
    return header.replace(b"\r\n..", b"\r\n.")


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_VALUE_CHARS_MAX]


def _crlf(text: str) -> bytes:
    return text.encode().replace(b"\n", b"\r\n")
