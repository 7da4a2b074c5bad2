r"""Delivery status notifications: what a machine says became of a mail, for machines. Pure; reading never raises.

    read(text)      the fields of a delivery-status part, or of any text that holds them: Status
    build(...)      a whole notification, as bytes; `read` of it gives back what was put in

A status has one group of fields about the message and one for each recipient. Read as they come: groups that no blank
line keeps apart, lines that are not folded but go on, an Action without Status and a Status without Action, `rfc822;`
written in any way or left out. Original-Recipient is the ORCPT that the sender gave (RFC 3461 §4.2), Final-Recipient
what became of it on the way, so both are kept. Of Status and Diagnostic-Code the one that says more gives the code.

What the words around say, and bounces without such a part, is `bounce`'s; what kind of report it is, `report`'s.

Bounded: `REPORT_DIAGNOSES_COUNT_MAX` recipients, of each `REPLY_TEXT_CHARS_KEPT_MAX` of text. Sources: RFC 3464,
RFC 3461 §4 and §6.3 (xtext), RFC 3463, RFC 6522, RFC 6533 (utf-8 addresses, message/global-delivery-status).
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Final

import msgspec

from outrider.base import limits

ASIDE: Final = " | "  # In a `Diagnosis.text`: what the server said, then what whoever reports it says.
KINDS: Final = ("message/delivery-status", "message/global-delivery-status")  # RFC 3464 §2, RFC 6533 §5.
LOCAL: Final = r"""(?:[^\s<>()\[\],;:"'@\\|]{1,64}|"[^"\s]{1,64}")"""  # Looser than any RFC: docomo has "a..b.@".
HOST: Final = r"[A-Za-z0-9\u00a1-\U0010ffff*](?:[\w.*-]{0,250}[\w*])?"
# The same in running text, where Chinese and Japanese leave no blank between an address and a word.
LOCAL_IN_TEXT: Final = r"""(?:[A-Za-z0-9_!#$%&*+/=?^`{}~.\u00c0-\u058f-]{1,64}|"[^"\s]{1,64}")"""
HOST_IN_TEXT: Final = (
    r"[A-Za-z0-9*](?:[A-Za-z0-9_.*-]{0,250}[A-Za-z0-9_*])?(?![A-Za-z0-9_*\u00c0-\u058f]|[.-][A-Za-z0-9_*])"
)

_FIELD: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,40})[ \t]*:[ \t]*(.*)")
_NAMES: Final = frozenset({
    "final-recipient", "original-recipient", "action", "status", "diagnostic-code", "remote-mta", "reporting-mta",
    "original-envelope-id", "arrival-date", "last-attempt-date", "will-retry-until", "final-log-id", "dsn-gateway",
    "received-from-mta", "localized-reporting-mta",
})  # fmt: skip
_ABOUT_ONE: Final = frozenset({"final-recipient", "original-recipient", "x-actual-recipient", "action"})
_ADDRESS: Final = re.compile(rf"(?<![^\s<>()\[\],;:'\"|]){LOCAL}@{HOST}")
_ENHANCED: Final = re.compile(r"(?<![\w.])(?<!\D-)([245]\.\d{1,3}\.\d{1,3})(?![\w-]|\.\d)")
_IN_TEXT: Final = re.compile(rf"(?<![A-Za-z0-9_.+-]){LOCAL_IN_TEXT}@{HOST_IN_TEXT}")
_CODE: Final = re.compile(r"(?<![\w./-])(?<!\d:)([245][0-5]\d)(?=[ ,;:'\"-]|$|\.(?!\d))")
_LEAD: Final = re.compile(
    r"^[\s#<(]*(?:(?<!\d)[245][0-5]\d(?:[ -]+|$))?[#(]?(?:[245]\.\d{1,3}\.\d{1,3}\)?(?:[ :-]+|$))?"
)
_DIGIT: Final = re.compile(r"\d")
# It is searched for, so that each repetition begins behind a word of its own and gives nothing back: linear.
_TYPE: Final = re.compile(r"(?<![\w.-])(?:smtp|x-[\w.-]++|rfc822|utf-8|dns|local|unknown|x400)\s*+;\s*", re.IGNORECASE)
_UNITEXT: Final = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")  # RFC 6533 §3.
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9])?")
_VALUE_CHARS_MAX: Final = 4 * limits.REPLY_TEXT_CHARS_KEPT_MAX


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one recipient. All texts are printable and bounded; "" and 0 are what was not said."""

    address: str = ""  # Final-Recipient: what the address had become when it failed.
    original_address: str = ""  # Original-Recipient: what we had sent to, if they know.
    action: str = ""  # failed, delayed, delivered, relayed, expanded. RFC 3464 §2.3.3.
    status: str = ""  # "5.1.1"
    code: int = 0  # 550
    text: str = ""  # In one line, code and status at its beginning removed.
    remote_mta: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery status."""

    reporting_mta: str = ""
    envelope_id: str = ""  # ENVID of the sender, decoded. RFC 3461 §4.4.
    original_message_id: str = ""  # Of X-Original-Message-ID, without angle brackets; Gmail says it.
    diagnoses: tuple[Diagnosis, ...] = ()


def read(text: str) -> Status:
    """Return what the fields in `text` say; lines that are none are passed over. Cost: one pass."""
    about_all: dict[str, str] = {}
    found: list[Diagnosis] = []
    for group in _groups(text):
        if not _ABOUT_ONE & group.keys():
            about_all |= group
        elif len(found) < limits.REPORT_DIAGNOSES_COUNT_MAX:
            found.append(_diagnosis(group))
            about_all = group | about_all
    return Status(
        reporting_mta=_host(about_all.get("reporting-mta", "")),
        envelope_id=printable(_from_xtext(about_all.get("original-envelope-id", ""))),
        original_message_id=bare_id(about_all.get("x-original-message-id", "")),
        diagnoses=tuple(found),
    )


def diagnose(text: str, *, address: str = "", action: str = "", remote_mta: str = "") -> Diagnosis:
    """Return what a text around an SMTP reply says of `address`."""
    text = printable(text)
    code = _CODE.search(text)
    return Diagnosis(
        address=address,
        action=action,
        status=enhanced_in(text),
        code=int(code[1]) if code else 0,
        text=_without_codes(text)[: limits.REPLY_TEXT_CHARS_KEPT_MAX],
        remote_mta=remote_mta,
    )


def enhanced_in(text: str) -> str:
    """Return the enhanced status code that says most in `text`: the first that is not X.0.0. "" if there is none."""
    every = _ENHANCED.findall(text[:_VALUE_CHARS_MAX])
    return next((code for code in every if not code.endswith(".0.0")), every[0] if every else "")


def address_in(text: str) -> str:
    """Return the first mail address in `text`, as it stands there; "" if there is none."""
    match = _ADDRESS.search(text)
    return match[0].rstrip(".-") if match else ""


def addresses_in(text: str) -> list[str]:
    """Return the addresses in running text, in order."""
    return [match[0].rstrip(".-") for match in _IN_TEXT.finditer(text)]


def bare_id(text: str) -> str:
    """Return a Message-ID without its angle brackets, "" if it is none."""
    text = printable(text)[: limits.LINE_BYTES_MAX]
    inner = text[text.find("<") + 1 :].partition(">")[0] if "<" in text else text.partition(" ")[0]
    return inner.strip()


def printable(text: str) -> str:
    """Return `text` in one line, without what is not printable, white space run together."""
    text = text[: 2 * _VALUE_CHARS_MAX]
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def build(
    *,
    reporting_mta: str,
    sender: str,
    to: str,
    date: datetime,
    message_id: str,
    diagnoses: Sequence[Diagnosis],
    original: bytes = b"",
    envelope_id: str = "",
    subject: str = "Delivery status notification",
    arrived_at: datetime | None = None,
    attempted_at: datetime | None = None,
    text: str = "This is the mail system. What became of your message is below.",
) -> bytes:
    r"""Return a whole notification. For those who asked for it, for the simulator, and for tests.

    Args:
        arrived_at, attempted_at: when we took the message, and when this became of it; None: it is not said.
        original: header, or header and body, of the message it is about; CRLF or LF.
        message_id: without angle brackets.

    Source: RFC 6522 §3, RFC 3464 §2; RFC 6533 §5 where an address is not ASCII.
    """
    assert diagnoses
    is_global = not all((d.address + d.original_address).isascii() for d in diagnoses)
    fields = [[f"Reporting-MTA: dns; {reporting_mta}"]]
    if envelope_id:
        fields[0].append(f"Original-Envelope-Id: {to_xtext(envelope_id)}")
    if arrived_at is not None:
        fields[0].append(f"Arrival-Date: {format_datetime(arrived_at)}")
    tried = [] if attempted_at is None else [f"Last-Attempt-Date: {format_datetime(attempted_at)}"]
    fields += [[*_fields_of(diagnosis), *tried] for diagnosis in diagnoses]
    status = "\r\n\r\n".join("\r\n".join(group) for group in fields) + "\r\n"
    header_end = re.search(rb"\r?\n\r?\n", original)
    has_body = header_end is not None and bool(original[header_end.end() :].strip())
    returned = (
        ("global" if has_body else "global-headers") if is_global else ("rfc822" if has_body else "rfc822-headers")
    )
    returned_kind = f"{'message' if has_body or is_global else 'text'}/{returned}"
    bodies = [("text/plain; charset=utf-8", f"{text}\r\n"), (KINDS[is_global], status)]
    return wrap(
        {"From": sender, "To": to, "Subject": subject, "Date": format_datetime(date), "Message-ID": f"<{message_id}>"},
        "delivery-status",
        [*((kind, body.encode()) for kind, body in bodies), *([(returned_kind, original)] if original else [])],
    )


def wrap(fields: Mapping[str, str], kind: str, bodies: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a multipart/report of that type. RFC 6522 §3."""
    assert all(value.isprintable() for value in fields.values())
    boundary = "report-" + hashlib.sha256(b"\0".join(body for _, body in bodies)).hexdigest()[:32]
    head = [f"{name}: {value}\r\n" for name, value in fields.items()]
    head += ["Auto-Submitted: auto-replied\r\n", "MIME-Version: 1.0\r\n"]  # RFC 3834 §5.
    head.append(f'Content-Type: multipart/report; report-type={kind};\r\n boundary="{boundary}"\r\n\r\n')
    pieces = ["".join(head).encode()]
    for content_type, body in bodies:
        encoding = "" if body.isascii() else "Content-Transfer-Encoding: 8bit\r\n"
        pieces += [f"--{boundary}\r\nContent-Type: {content_type}\r\n{encoding}\r\n".encode(), body, b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def to_xtext(text: str) -> str:
    """Encode for ORCPT and ENVID. RFC 3461 §4."""
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}" for octet in text.encode()
    )


def _fields_of(diagnosis: Diagnosis) -> list[str]:
    lines = []
    for name, address in (("Original", diagnosis.original_address), ("Final", diagnosis.address)):
        if address:
            lines.append(f"{name}-Recipient: {'rfc822' if address.isascii() else 'utf-8'}; {address}")
    lines += [f"Action: {diagnosis.action}", f"Status: {diagnosis.status}"]
    if diagnosis.remote_mta:
        lines.append(f"Remote-MTA: dns; {diagnosis.remote_mta}")
    if diagnosis.code:
        lines.append(f"Diagnostic-Code: smtp; {diagnosis.code} {diagnosis.status} {diagnosis.text}")
    elif diagnosis.text:
        lines.append(f"Diagnostic-Code: x-outrider; {diagnosis.text}")
    assert all(line.isprintable() for line in lines)
    return lines


def _groups(text: str) -> list[dict[str, str]]:
    """Return the groups of fields, in order; names in lower case."""
    groups: list[dict[str, str]] = [{}]
    name = ""
    for line in text[: limits.REPORT_TEXT_CHARS_MAX].split("\n"):
        match = _FIELD.match(line.lstrip(">| ") if not line[:1].isspace() else line)
        is_known = match is not None and (match[1].lower() in _NAMES or match[1].lower().startswith("x-"))
        if not line.strip():
            name = ""
            if groups[-1]:
                groups.append({})
        elif match is not None and is_known:
            name = match[1].lower()
            if name in groups[-1] and name in _NAMES:  # No blank line between two recipients.
                groups.append({})
            groups[-1].setdefault(name, match[2])
        elif name and len(groups[-1][name]) < _VALUE_CHARS_MAX:  # Folded, or should have been.
            groups[-1][name] += f" {line.strip()}"
    return groups[: limits.REPORT_PARTS_COUNT_MAX + limits.REPORT_DIAGNOSES_COUNT_MAX]


def _diagnosis(group: Mapping[str, str]) -> Diagnosis:
    said = _TYPE.sub("", group.get("diagnostic-code", ""), count=1)
    found = diagnose(said)
    original = _address(group.get("original-recipient", ""))
    final = _address(group.get("final-recipient", "")) or _address(group.get("x-actual-recipient", "")) or original
    status = enhanced_in(group.get("status", ""))
    if status.startswith("2") and found.code >= 400:
        status = ""  # AOL wrote so; the reply is what was said.
    if found.status and (not status or (status.endswith(".0.0") and status[0] == found.status[0])):
        status = found.status
    return msgspec.structs.replace(
        found,
        address=final,
        original_address=original,
        action=_action(group.get("action", ""), status),
        status=status,
        remote_mta=_host(group.get("remote-mta", "")),
    )


def _action(text: str, status: str) -> str:
    word = re.match(r"[a-z-]+", text.strip().lower())
    if word and word[0] in ("failed", "delayed", "delivered", "relayed", "expanded"):
        return word[0]
    if word and word[0].startswith(("fail", "deliverable-fail", "undeliver", "expired")):
        return "failed"
    return {"2": "delivered", "4": "delayed"}.get(status[:1], "failed")


def _address(value: str) -> str:
    value = printable(_TYPE.sub("", value, count=1))
    value = _UNITEXT.sub(lambda match: _char(int(match[1], 16)), value)
    if "@" not in value:
        value = _from_xtext(value)
    return printable(address_in(value))


def _char(number: int) -> str:
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else ""


def _from_xtext(value: str) -> str:
    octets = re.sub(rb"\+([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), value.strip().encode("utf-8"))
    return octets.decode("utf-8", "replace")


def _host(value: str) -> str:
    match = _HOST_NAME.search(_TYPE.sub("", value, count=1))
    return match[0] if match else ""


def _without_codes(text: str) -> str:
    """Return a reply without its codes: at the beginning, and where each of its lines began with them."""
    lead = _LEAD.match(text)
    if lead is None or not _DIGIT.search(lead[0]):
        return text
    rest = text[lead.end() :]
    mark = lead[0].strip()
    if _CODE.match(mark) and len(mark) > len("550"):
        rest = re.sub(rf"(?<!\S){mark[:3]}[ -]{re.escape(mark[4:])}(?:\s|$)", "", rest)
    return " ".join(rest.split())
