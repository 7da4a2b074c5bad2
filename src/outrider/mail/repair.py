"""A message that was handed in by SMTP, its header put right: what is sloppy is mended, what deceives refused. Pure.

    repair(content, ...)   what is to be sent, who it says it is from, and the fields that were meant for us

The body stays the octets that came. In the header:

    taken out    Bcc, Return-Path (ours is written by who delivers), the fields for us (`controls`), mbox's "From "
    added        Received (ours), Date, Message-ID, MIME-Version beside a Content-Type, To where nobody is shown
    once only    the fields of RFC 5322 §3.6; a second To, Cc or Reply-To is added to the first, others are dropped
    8-bit        in names and free text: as encoded words, so that any server takes it; in an address: it stays
    From         anything that readers could read in two ways is written anew from what we read
    refused      no From or two of them, one that cannot be read, a line that is no field, too many `Received`

`CallerError.field` is the field at fault. Sources: RFC 5322 §3.6, RFC 6409 §8 (what a submission server may add), RFC
6532, RFC 5321 §4.4 (Received) and §6.3 (loops).
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.mail import build, dkim, headers, parse, roll
from outrider.mail.address import Address
from outrider.mail.mailbox import Mailbox

_is_field: Final = re.compile(rb"([!-9;-~]{1,76})[ \t]*:").match
_ONCE: Final = frozenset(
    {"date", "from", "sender", "reply-to", "to", "cc", "message-id", "in-reply-to", "references", "subject"}
    | {"mime-version", "content-type", "content-transfer-encoding", "content-id", "content-description"}
)
_JOINED: Final = frozenset({"to", "cc", "reply-to"})
_LISTS: Final = frozenset({"from", "sender", "reply-to", "to", "cc"})
_TAKEN_OUT: Final = frozenset({"bcc", "resent-bcc", "return-path"})
_FOR_US: Final = ("x-outrider-", "x-pm-", "x-mailgun-", "x-ses-")
_FOR_US_WHOLE: Final = frozenset({"x-smtpapi"})


class Repaired(msgspec.Struct, frozen=True):
    """The message, and what was read in it."""

    content: bytes
    sender: Mailbox  # The first in From.
    also_from: Sequence[Address]  # The others in From, and the one in Sender if it is none of From.
    subject: str  # For people, decoded; "" if there is none.
    reply_to: Sequence[str]  # The values of Reply-To, for `roll.read`; [] if it does not say.
    controls: Sequence[tuple[str, str]]  # Those for us: names in lower case, values unfolded, in order.


class _Field(msgspec.Struct):
    name: str  # As it is written.
    octets: bytes  # All of it, with its CRLF.

    @property
    def key(self) -> str:
        return self.name.lower()

    @property
    def value(self) -> str:
        raw = self.octets.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("latin-1")  # What old programs write mostly is.


def received(host_name: str, protocol: str, trace_id: str, at: datetime) -> bytes:
    """Write the trace field of a message that came in now. It does not say from where: that is the sender's own matter.

    Source: RFC 5321 §4.4; RFC 3848 (protocols).
    """
    stamp = build.date_field(at)[len("Date: ") :]
    return b"Received: by %b (Outrider) with %b id %b;\r\n %b" % (
        host_name.encode("ascii"),
        protocol.encode("ascii"),
        trace_id.encode("ascii"),
        stamp,
    )


def repair(content: bytes, *, trace: bytes, at: datetime, id_left: str) -> Repaired:
    """Return the message as it may be sent.

    Args:
        content: lines end in CRLF (`encode.with_crlf`).
        trace: the Received field to put on top.
        at: for Date, if it has none.
        id_left: what stands before the @ of its Message-ID, if it has none; behind it stands the sender's domain.

    Raises:
        CallerError: for the field at fault.
    """
    found, body = _split(content)
    if sum(field.key == "received" for field in found) > limits.SUBMISSION_HOPS_COUNT_MAX:
        raise CallerError("This mail goes round.", field="Received")
    if sum(field.key == "from" for field in found) != 1:
        raise CallerError("A mail has one From field.", field="From")
    controls = [(field.key, field.value) for field in found if _is_for_us(field.key)]
    kept = _once([field for field in found if field.key not in _TAKEN_OUT and not _is_for_us(field.key)])
    senders, others = _senders(kept)
    message_id = f"{id_left}@{senders[0].address.domain}"
    fields = [trace, *map(_mended, kept), *_missing({field.key for field in kept}, at, message_id)]
    return Repaired(
        content=b"".join([*fields, b"\r\n", body]),
        sender=senders[0],
        also_from=_also_from(senders, others),
        subject=_first(kept, "subject"),
        reply_to=[field.value for field in kept if field.key == "reply-to"],
        controls=controls,
    )


def also_from(content: bytes) -> Sequence[Address]:
    """Return who else a repaired message says it is from, as `Repaired.also_from`."""
    return _also_from(*_senders(_split(content)[0]))


def with_from(content: bytes, sender: Mailbox, reply_to: Address) -> bytes:
    """Return a repaired message with another From; answers go to `reply_to` unless it says where they go.

    A Sender field goes: it named who wrote From.
    """
    fields, body = dkim.split(content)
    written: list[bytes] = []
    has_reply_to = False
    for field in fields:
        key = field.partition(b":")[0].strip().lower()
        has_reply_to = has_reply_to or key == b"reply-to"
        if key == b"from":
            written.append(headers.mailbox("From", sender.name, sender.address))
        elif key != b"sender":
            written.append(field)
    if not has_reply_to:
        written.append(headers.mailbox("Reply-To", "", reply_to))
    return b"".join([*written, b"\r\n", body])


def with_only(content: bytes, name: str, value: str) -> bytes:
    """Return a repaired message whose only field of that name says `value`, in ASCII; "": it has none."""
    fields, body = dkim.split(content)
    key = name.lower().encode("ascii")
    written = [field for field in fields if field.partition(b":")[0].strip().lower() != key]
    if value:
        written.append(headers.unstructured(name, value))
    elif len(written) == len(fields):
        return content
    return b"".join([*written, b"\r\n", body])


def _split(content: bytes) -> tuple[list[_Field], bytes]:
    if content.startswith((b"From ", b">From ")):  # Of an mbox file.
        content = content[content.find(b"\r\n") + 2 :] if b"\r\n" in content else b""
    fields, body = dkim.split(content)
    if len(fields) > limits.SUBMISSION_FIELDS_COUNT_MAX:
        raise CallerError(f"Over {limits.SUBMISSION_FIELDS_COUNT_MAX} header fields.", field="header")
    if sum(map(len, fields)) > limits.SUBMISSION_HEADER_BYTES_MAX:
        raise CallerError(f"A header of over {limits.SUBMISSION_HEADER_BYTES_MAX} octets.", field="header")
    found: list[_Field] = []
    for octets in fields:
        named = _is_field(octets)
        if named is None:
            raise CallerError("The header has a line that is no field; an empty line ends it.", field="header")
        name = named[1].decode("ascii")
        if named.end() > len(name) + 1:  # RFC 5322 §4.5 lets white space stand before the colon; few readers do.
            octets = named[1] + octets[named.end() - 1 :]
        found.append(_Field(name, octets.replace(b"\0", b"")))
    return found, body


def _is_for_us(key: str) -> bool:
    return key.startswith(_FOR_US) or key in _FOR_US_WHOLE


def _once(fields: Sequence[_Field]) -> list[_Field]:
    """Leave one of each field that may be there once."""
    kept: list[_Field] = []
    first: dict[str, _Field] = {}
    for field in fields:
        known = first.get(field.key)
        if field.key not in _ONCE or known is None:
            first.setdefault(field.key, field)
            kept.append(field)
        elif field.key in _JOINED and field.value:
            known.octets = b"%b,\r\n %b" % (known.octets.removesuffix(b"\r\n"), _after_colon(field.octets))
    return kept


def _after_colon(octets: bytes) -> bytes:
    """Return a field's value, folded as it is, with its CRLF; never a line of white space alone."""
    return octets.partition(b":")[2].lstrip(b" \t\r\n")


def _first(fields: Sequence[_Field], key: str) -> str:
    """Return the first field of that name for people: decoded, printable; "" for none."""
    value = next((parse.decode_words(field.value) for field in fields if field.key == key), "")
    return "".join(char if char.isprintable() else " " for char in value).strip()


def _senders(fields: Sequence[_Field]) -> tuple[Sequence[Mailbox], Sequence[Mailbox]]:
    """Return who is in From, at least one, and who in Sender. What is not plain is written anew."""
    boxes: dict[str, Sequence[Mailbox]] = {"from": (), "sender": ()}
    for field in fields:
        if field.key not in boxes:
            continue
        name = "From" if field.key == "from" else "Sender"
        read = roll.read(field.value, field=name)
        if not read.boxes or (name == "Sender" and len(read.boxes) > 1):
            raise CallerError(f"{name} holds no address, or too many.", field=name)
        boxes[field.key] = read.boxes
        if not read.is_plain:
            field.octets = headers.mailboxes(name, [(box.name, box.address) for box in read.boxes])
    return boxes["from"], boxes["sender"]


def _also_from(senders: Sequence[Mailbox], others: Sequence[Mailbox]) -> Sequence[Address]:
    """Leave out a Sender that From names already. RFC 5322 §3.6.2 wants none then; many programs write one."""
    known = {box.address.key for box in senders}
    return [box.address for box in (*senders[1:], *[box for box in others if box.address.key not in known])]


def _mended(field: _Field) -> bytes:
    """Return the field in ASCII, but for addresses that are not."""
    if field.octets.isascii():
        return field.octets
    if field.key in _LISTS:
        boxes = _boxes(field)
        if boxes:
            return headers.mailboxes(field.name, [(box.name, box.address) for box in boxes])
    if field.key.startswith("content-"):
        return field.octets  # A parameter; every reader takes it, and no server looks.
    printable = "".join(char if char.isprintable() else " " for char in field.value)
    return headers.unstructured(field.name, printable)


def _boxes(field: _Field) -> Sequence[Mailbox]:
    """Return the mailboxes of a list for people's eyes, none if it cannot be read; From and Sender were read before."""
    try:
        return roll.read(field.value, field=field.name).boxes
    except CallerError:
        return ()


def _missing(keys: set[str], at: datetime, message_id: str) -> list[bytes]:
    """Return the fields that a mail must have and this one has not."""
    fields: list[bytes] = []
    if "date" not in keys:
        fields.append(build.date_field(at))
    if "message-id" not in keys:
        fields.append(headers.message_id(message_id))
    if "content-type" in keys and "mime-version" not in keys:
        fields.append(b"MIME-Version: 1.0\r\n")
    if not keys & {"to", "cc"}:
        fields.append(b"To: undisclosed-recipients:;\r\n")
    return fields
