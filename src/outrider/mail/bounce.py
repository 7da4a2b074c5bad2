r"""Bounces in words: what mail servers say to people about a mail that did not arrive. Pure; never raises.

    read(text, ours=...)     who failed and in which words: Diagnosis values
    split_returned(text)     what the server says, and the mail that it returned below a line such as "--- Original"

Each server has its own form, and there are hundreds; what they share is read instead: an address alone on its line, at
the beginning of one or behind a label ("RCPT TO:", "could not be delivered to"), and near it the reason, mostly with an
SMTP reply in it. What stands around an address until the next one is its reason; if that is nothing, all that was said
is. Several such places for one address are put together, those with a reply first. Addresses behind "From:" and the
like, those of daemons and our own (`ours`) are never a recipient, unless there is no other.

Whether a mail is a bounce at all is `report`'s, with the words of `phrases`; what the reason means is
`policy.classify`'s. Work: a few passes over at most `REPORT_TEXT_CHARS_MAX`. Sources: no standard; RFC 3464 §1 says
why there should be one. The forms are in tests/data/reports.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import msgspec

from outrider.base import limits
from outrider.mail import dsn, phrases
from outrider.mail.dsn import Diagnosis

_ADDRESS: Final = rf"(?<![A-Za-z0-9_.+-]){dsn.LOCAL_IN_TEXT}@{dsn.HOST_IN_TEXT}"
# An address that its line is about: alone on it, or at its beginning with a reason behind it.
_ABOUT: Final = re.compile(
    rf"^[\s>|*•·\"'-]{{0,40}}(?:\[?smtp:|mailto:)?[<\[\"(']{{0,9}}(?P<address>{_ADDRESS})[>\])\"']*"
    rf"(?:<mailto:[^<>\s]*>|<(?P=address)>|\s*\(mailto:[^()\s]*\)|\s*<[^<>\s]*@[^<>\s]*>)*+"
    rf"(?P<rest>\s*$|\s*[:;,\[(#…-].*|\.{{1,3}}.*|\s+(?:on|am|le|el|il|em|op|because|was|is|not|user|unknown|mailbox|over|"
    rf"delivery|failed|host|invalid|permanent|does|has|account|address|no|error|[45]\d\d)\b.*)",
    re.IGNORECASE,
)
_LABELLED: Final = re.compile(
    rf"(?:{'|'.join(phrases.BEFORE_RECIPIENT)})[\s:=<\[\"'(“„«»*]*(?:smtp:|mailto:|rfc822;)?\s*(?P<address>{_ADDRESS})",
    re.IGNORECASE,
)
_LABEL_ENDS: Final = re.compile(rf"(?:{'|'.join(phrases.BEFORE_RECIPIENT)})\s*:?\s*$", re.IGNORECASE)
_REPLIED: Final = re.compile(
    rf"(?<![\d.])[45][0-5]\d[ -](?:#?[45]\.\d{{1,3}}\.\d{{1,3}}\s+)?.{{0,200}}?[<\s('\"](?P<address>{_ADDRESS})",
    re.IGNORECASE,
)
_NOT_ABOUT: Final = re.compile(rf"^[\s>|*-]*(?:{'|'.join(phrases.NOT_RECIPIENT)})(?![\w.+-]*@)", re.IGNORECASE)
_DAEMON: Final = re.compile(
    r"(?:postmaster|mailer-?daemon|abuse|noc|hostmaster|support|helpdesk|mdaemon)@", re.IGNORECASE
)
_RETURNED: Final = re.compile(
    rf"^[ \t>]{{0,40}}+(?:[-=*_][-=*_ \t]{{1,100}}+(?:{'|'.join(phrases.RETURNED_RULED)})"
    rf"|{'|'.join(phrases.RETURNED)}).*$"
    r"|^(?:Received:[ \t]+(?:from|by)|Return-Path:[ \t]*<).*$",
    re.IGNORECASE | re.MULTILINE,
)
_WORDS: Final = re.compile(r"[^\W\d_]{2,}")
_REPLY: Final = re.compile(r"(?<![\d.])[45][0-5]\d[ -]|(?<![\w.])[45]\.\d{1,3}\.\d{1,3}(?![\w.])|<<<")
_TALKING: Final = re.compile(r"while talking to:?\s+([\w-]+(?:\.[\w-]+)+)", re.IGNORECASE)
_HOST_SAYS: Final = (
    re.compile(r"\bhost:?\s+([\w-]+(?:\.[\w-]+)+)", re.IGNORECASE),
    _TALKING,
    re.compile(
        r"\b(?:from|server|by|mta)(?: for the recipient domain \S+ by)?:?\s+<?([\w-]+(?:\.[\w-]+)+\.?)[\s>(:\[]",
        re.IGNORECASE,
    ),
    re.compile(r"(?:^|\s)([\w-]+(?:\.[\w-]+)+)\s?\[[\d.a-f:]+\]", re.IGNORECASE),
)
_LINES_MAX: Final = 12  # Of one reason.
_TEXT_LINES_MAX: Final = 2000
_LINE_CHARS_MAX: Final = 2 * limits.REPLY_TEXT_CHARS_KEPT_MAX


class _Place(msgspec.Struct):
    """Where an address is spoken of."""

    address: str
    line: int
    end: int = 0
    is_inline: bool = False


def split_returned(text: str) -> tuple[str, str]:
    """Return what is said, and the returned message that stands below it; "" if there is none."""
    for match in _RETURNED.finditer(text):
        if not text[: match.start()].strip():
            continue  # Nothing was said before it.
        is_field = match[0].lstrip().lower().startswith(("received:", "return-path:"))
        return text[: match.start()], text[match.start() if is_field else match.end() :].lstrip("\r\n \t")
    return text, ""


def read(text: str, *, ours: Collection[str], known: Sequence[str] = ()) -> list[Diagnosis]:
    """Return what `text` says of each recipient, in order; [] if it names none.

    Args:
        ours: addresses in lower case that are no recipient unless nothing else is.
        known: recipients that a header field has named: nobody else is looked for.
    """
    lines = _lines_of(text)
    places = _places(lines)
    addresses = list(known) or _recipients(places, lines, ours)
    is_only = len(addresses) == 1
    some = addresses[: limits.REPORT_DIAGNOSES_COUNT_MAX]
    whole = _telling(lines) if some else []
    talked_to = _TALKING.search(text)  # Which may stand far from the address.
    found: list[Diagnosis] = []
    for address in some:
        said = _said_of(address, lines, places)
        if not _REPLY.search(said) and (is_only or not _says(said, address)):
            said = " ".join([said, *(line for line in whole if line not in said)])
        host = remote_mta(said) or (talked_to[1] if talked_to else "")
        found.append(msgspec.structs.replace(judge(said, address), remote_mta=host))
    return found


def reason(text: str) -> str:
    """Return what a whole text gives as its reason: the lines that say why and what is near them, else all."""
    return " ".join(_telling(_lines_of(text)))


def _lines_of(text: str) -> list[str]:
    """Return the lines of a text, each cut where nobody would read on: what is tried at each place of one costs."""
    lines = text[: limits.REPORT_TEXT_CHARS_MAX].split("\n")[:_TEXT_LINES_MAX]
    return [line[:_LINE_CHARS_MAX] for line in lines]


def _telling(lines: Sequence[str]) -> list[str]:
    """Return the lines that say why, with what is near them; all if none does. At most twice what is kept of a text."""
    said = [dsn.printable(line) for line in lines]
    telling = [at for at, line in enumerate(said) if _REPLY.search(line) or phrases.says_why(line)]
    kept = {near for at in telling for near in (at, at + 1, at + 2)} if telling else range(len(said))
    chosen: list[str] = []
    room = 2 * limits.REPLY_TEXT_CHARS_KEPT_MAX
    for line in (line for at, line in enumerate(said) if at in kept and line):
        if room <= 0:
            break
        chosen.append(line[:room])
        room -= len(line)
    return chosen


def remote_mta(text: str) -> str:
    """Return the host that refused, as far as `text` says."""
    text = text[: 2 * limits.REPLY_TEXT_CHARS_KEPT_MAX]
    for pattern in _HOST_SAYS:
        if match := pattern.search(text):
            return match[1].rstrip(".")
    return ""


def _places(lines: Sequence[str]) -> list[_Place]:
    """Return where an address is spoken of, in order, each with the line where its reason ends."""
    found: list[_Place] = []
    for at, line in enumerate(lines):
        if "@" not in line or _NOT_ABOUT.match(line):
            continue
        if match := _ABOUT.match(line):
            found.append(_Place(match["address"].rstrip(".-"), at))
        elif match := _LABELLED.search(line) or _REPLIED.search(line):
            found.append(_Place(match["address"].rstrip(".-"), at, is_inline=True))
        elif at and _LABEL_ENDS.search(lines[at - 1]):
            found.append(_Place(next(iter(dsn.addresses_in(line)), ""), at))
        if len(found) > 4 * limits.REPORT_DIAGNOSES_COUNT_MAX:
            break
    found = [place for place in found if place.address]
    for place, following in itertools.pairwise([*found, _Place("", len(lines))]):
        place.end = _end_of(place, following, lines)
    return found


def _end_of(place: _Place, following: _Place, lines: Sequence[str]) -> int:
    """Return the line behind the reason: at the first blank one after something was said, or at the next address."""
    stop = min(place.line + _LINES_MAX, len(lines))
    if following.address.lower() != place.address.lower():
        stop = min(stop, following.line)
    has_said = place.is_inline or _says(lines[place.line], place.address)
    for at in range(place.line + 1, stop):
        if not lines[at].strip() and has_said:
            return at
        has_said = has_said or _says(lines[at], place.address)
    return stop


def _says(text: str, address: str) -> bool:
    """Tell whether there are words besides the address, more than a label's."""
    bare = text.replace(address, "")
    return len(_WORDS.findall(bare)) >= 2 or bool(_REPLY.search(bare)) or any(ord(char) > 0x2E80 for char in bare)


def _recipients(places: Sequence[_Place], lines: Sequence[str], ours: Collection[str]) -> list[str]:
    """Return the addresses that failed, each once: those a line is about, else labelled ones, else any."""
    about = _once(place.address for place in places if not place.is_inline)
    inline = _once(place.address for place in places if place.is_inline)
    anywhere = (
        address for line in lines if "@" in line and not _NOT_ABOUT.match(line) for address in dsn.addresses_in(line)
    )
    for some in (about, inline, anywhere):
        if found := [a for a in _once(some) if a.lower() not in ours and not _DAEMON.match(a)]:
            return found if some is not anywhere else found[:1]
    return []


def _once(addresses: Iterator[str] | list[str]) -> list[str]:
    return list({address.lower(): address for address in reversed(list(addresses))}.values())[::-1]


def _said_of(address: str, lines: Sequence[str], places: Sequence[_Place]) -> str:
    """Return what is said where the address is spoken of, places with a reply first."""
    chunks: list[str] = []
    end = 0
    for place in (place for place in places if place.address.lower() == address.lower()):
        if place.end > end:
            chunks.append(" ".join(lines[max(place.line, end) : place.end]))
            end = place.end
    chunks.sort(key=lambda chunk: _REPLY.search(chunk) is None)  # Stable.
    return " ".join(chunks)[: 4 * limits.REPLY_TEXT_CHARS_KEPT_MAX]


def judge(said: str, address: str) -> Diagnosis:
    """Return a diagnosis of words in which an SMTP reply may stand anywhere: the text begins where it begins."""
    said = dsn.printable(said)
    found = dsn.diagnose(said, address=address, action="failed")
    begin = _REPLY.search(said)
    if begin is not None and begin.start():
        tail = dsn.diagnose(said[begin.start() :].removeprefix("<<<"))
        if _WORDS.search(tail.text):
            text = f"{tail.text}{dsn.ASIDE}{said[: begin.start()].strip()}"
            found = msgspec.structs.replace(found, text=text[: limits.REPLY_TEXT_CHARS_KEPT_MAX])
    return msgspec.structs.replace(found, code=found.code if found.code >= 400 else 0)
