"""What the simulator's late answers look like: a function for each, from what was taken to a message. Pure.

They look as such mails commonly do, so that what reads them is tested for real: a delivery status notification
(`mail.dsn`) in Postfix's words, an ARF report (`mail.arf`), an out-of-office reply, a challenge, an unsubscribe mail.

Sources: RFC 3834 (automatic replies), RFC 2369 and RFC 6068 (List-Unsubscribe, mailto), RFC 5322.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote

import msgspec

from outrider.base.errors import CallerError
from outrider.mail import address as addresses
from outrider.mail import arf, dsn
from outrider.mail.arf import Feedback
from outrider.policy.simulate import HOST_NAME, Late

_HEADER_BYTES_MAX: Final = 16 * 1024  # Ours: of the original's header, what a report returns.
_VALUE_CHARS_MAX: Final = 900  # Ours: with a name a line of RFC 5322 §2.1.1.
_UNKNOWN_USER: Final = "5.1.1"
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
    """The words are Postfix's."""
    told = dsn.diagnose(taken.diagnosis, address=taken.recipient, action="failed", remote_mta=HOST_NAME)
    text = (
        f"This is the mail system at host {HOST_NAME}.\r\n\r\n"
        "I'm sorry to have to inform you that your message could not\r\n"
        "be delivered to one or more recipients.\r\n\r\n"
        f"<{taken.recipient}>: host {HOST_NAME} said:\r\n    {_one_line(taken.diagnosis)}\r\n"
    )
    message = dsn.build(
        reporting_mta=HOST_NAME,
        sender=f"Mail Delivery System <MAILER-DAEMON@{HOST_NAME}>",
        to=_one_line(taken.return_path),
        date=taken.at,
        message_id=f"{taken.mark}@{HOST_NAME}",
        diagnoses=[
            msgspec.structs.replace(told, original_address=taken.recipient, status=told.status or _UNKNOWN_USER)
        ],
        original=_header_of(taken.head),
        subject="Undelivered Mail Returned to Sender",
        text=text,
    )
    return Report(taken.return_path, message)


def _complaint(taken: Taken) -> Report:
    feedback = Feedback(
        user_agent="Outrider-Simulator/1.0",
        original_mail_from=_one_line(taken.return_path),
        original_rcpt_to=_one_line(taken.recipient),
        source_ip=taken.client,
        reported_domain=_one_line(taken.return_path.rpartition("@")[2]),
    )
    message = arf.build(
        feedback=feedback,
        sender=f"Feedback Loop <fbl@{HOST_NAME}>",
        to=_one_line(taken.return_path),
        date=taken.at,
        message_id=f"{taken.mark}@{HOST_NAME}",
        original=_header_of(taken.head),
        subject="FW: complaint about your message",
    )
    return Report(taken.return_path, message)


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
