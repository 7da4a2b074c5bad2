"""Whose mail a report is about, by the return paths of ours that are in it. Pure; never raises.

    return_paths_in(message)    [["bounce-...@bounces.shop.example"], ["unsubscribe-...@bounces.shop.example"]]

A feedback loop writes to one address for everybody's mail, and mostly blanks out who it was for; what it cannot well
blank out is what we have signed: the envelope sender and List-Unsubscribe. Where it stands says what it is worth:

    1   fields that name the envelope sender: Original-Mail-From of the report (RFC 5965), Return-Path of the message
        returned, and its List-Unsubscribe
    2   anywhere else: in any part, decoded, and in the octets as they came

The first rank with one that is ours decides; a mail of ours that the one complained of quotes is of the second. Nothing
here is verified: that is `verp.Signer.read`'s, and what to do about two recipients its caller's.

Bounded as all of `report` is: the first `REPORT_BYTES_MAX`, `REPORT_PARTS_COUNT_MAX` parts of it,
`REPORT_RETURN_PATHS_COUNT_MAX` addresses a rank. Measured (2026-11): 0.3 ms for a report of 8 KB, 14 to 30 ms for 1 MB,
whatever it is.
"""

from collections.abc import Sequence
from typing import Final

from outrider.base import limits
from outrider.mail import arf, parse, parts, verp
from outrider.mail.parse import Header
from outrider.mail.parts import Part

_ENVELOPE_FIELDS: Final = ("original-mail-from", "return-path", "list-unsubscribe")


def return_paths_in(message: bytes) -> list[Sequence[str]]:
    """Return what looks like a return path of ours, by rank, best first; none is in two ranks. Safe: on any octets."""
    octets = message[: limits.REPORT_BYTES_MAX]
    found = parts.cut(octets)
    headers = [parse.read_header(part.inner().lstrip()) for part in found if part.is_message or part.kind == arf.KIND]
    first = _candidates([value for header in headers for value in _values(header)])
    # Parts first: their text is whole where quoted-printable has cut the octets into lines.
    second = _candidates([*(_readable(part) for part in found), octets])
    return [first, [address for address in second if address not in first]]


def _values(header: Header) -> list[bytes]:
    return [value.encode("utf-8", "replace") for name in _ENVELOPE_FIELDS for value in header.every(name)]


def _readable(part: Part) -> bytes:
    """Return what a part says: the text a person would see, or its octets. What is neither stays shut."""
    return part.inner() if part.is_text or part.is_message or part.kind == arf.KIND else b""


def _candidates(texts: Sequence[bytes]) -> list[str]:
    found: dict[str, None] = {}
    for text in texts:
        found.update(dict.fromkeys(verp.candidates(text)))
    return list(found)[: limits.REPORT_RETURN_PATHS_COUNT_MAX]
