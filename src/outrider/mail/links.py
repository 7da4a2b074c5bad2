"""Links of a mail written anew, without touching anything else of it: HTML by `mail.markup`'s pieces, and plain text.

    plan = plan_html(source, rewriting)      once per content: literal pieces, and slots between them
    plan.written([url, ...])                 per recipient: one URL for each slot, in their order

Rewritten are http and https links of <a>, <area> and VML shapes (Outlook's buttons), those in conditional comments
(`<!--[if mso]>`) too: Outlook shows them. Relative ones are resolved where a <base> says against what.

Left alone are other relative ones, other schemes, `#anchors`, tags with the attribute `data-no-track`, excluded hosts,
links to our own pages and the mark for one, what a token cannot hold or a redirect not lead to, and what is in a tag
that is never closed. The first of two equal attributes counts, as in browsers. Each pass is linear for any input.

A link in plain text is cut out with care: what is replaced is gone. It has characters of URIs, and letters of the
scripts that put blanks between words. Where another letter follows at once, the link may go on or the sentence:
nobody can tell, so it stays as it is.

UTM parameters stand before the `#fragment` and never over one that is there; they are appended without tracking, too.
The pixel and the honey link stand before the last `</body>`. Links are numbered from 1 in the order they stand in;
plain text has numbers of its own. Source: HTML Living Standard §4.6.1, §2.4.3; URL Standard §4.4; RFC 3986 §2.
"""

import html
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote, urljoin

import msgspec

from outrider.mail import markup, references
from outrider.mail.link_tokens import HONEY_NUMBER, TARGET_BYTES_MAX
from outrider.mail.locations import host_of, location_of
from outrider.mail.markup import Kind, Piece
from outrider.mail.translate import UNSUBSCRIBE_MARK

NO_TRACK: Final = "data-no-track"  # The attribute that leaves a link alone.
_TAGS: Final = frozenset({"a", "area"})
_VML: Final = "v:"  # Shapes of Outlook: <v:roundrect href="...">.
_CONDITIONAL: Final = re.compile(r"\s*\[if\s[^\]]*\]>", re.IGNORECASE)
_WEB: Final = re.compile(r"https?://[^/?#\\]", re.IGNORECASE)
_IN_URL: Final = re.compile(r"[\t\n\r]")  # Browsers drop them from URLs.
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_EDGE: Final = "".join(map(chr, range(0x21)))  # C0 controls and space.
# RFC 3986 §2.2, §2.3; and letters of Latin, Greek and Cyrillic, with accents: no word begins right behind them.
_OF_URL: Final = (
    r"A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%"
    r"\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u0300-\u036f\u0386\u0388-\u03ff\u0400-\u0481\u048a-\u052f\u1e00-\u1eff"
)
_TEXT_URL: Final = re.compile(rf"(?<![A-Za-z0-9])(?i:https?)://[{_OF_URL}]+")
# A letter or digit of any other script, what emoji are made of, or a brace, as in "/users/{id}".
_GOING_ON: Final = re.compile(rf"(?:[^\W\x00-\x7f]|[{{\u2600-\u27bf\U0001f000-\U0001faff])[{_OF_URL}\w]*")
_PUNCTUATION: Final = frozenset(".,;:!?'*_")
_BRACKETS: Final = {")": "(", "]": "["}

_PIXEL: Final = (
    '<img src="',
    '" width="1" height="1" alt="" style="display:block;width:1px;height:1px;border:0;overflow:hidden">',
)
_HONEY: Final = ('<a href="', '" style="display:none" aria-hidden="true" tabindex="-1" rel="nofollow"></a>')
_FOOTER: Final = (
    '<div style="padding:16px;font-family:sans-serif;font-size:12px;line-height:18px;text-align:center">'
    f'<a href="{UNSUBSCRIBE_MARK}">Unsubscribe</a></div>'
)
_TEXT_FOOTER: Final = f"\n-- \nUnsubscribe: {UNSUBSCRIBE_MARK}\n"


class Rewriting(msgspec.Struct, frozen=True, kw_only=True):
    """What is written anew."""

    clicks: bool = False  # Links get slots.
    pixel: bool = False
    honey: bool = False  # Where there is a link at all.
    utm: tuple[tuple[str, str], ...] = ()
    excluded_hosts: tuple[str, ...] = ()  # As `policy.tracking.host_pattern` writes them.
    own_urls: tuple[str, ...] = ()  # What begins with one of them leads to our own pages.


class Slot(msgspec.Struct, frozen=True):
    """A place for a URL of the recipient's own."""

    number: int  # From 1; 0 for the pixel, `HONEY_NUMBER` for the honey link.
    target: str  # Where it leads; "" for the pixel.


class Plan(msgspec.Struct, frozen=True):
    """A content, cut where URLs are each recipient's own."""

    literals: tuple[str, ...]  # One more than slots.
    slots: tuple[Slot, ...]

    def written(self, urls: Sequence[str]) -> str:
        """Return the content with a URL for each slot, in order; they hold nothing that HTML would mind."""
        assert len(urls) == len(self.slots)
        parts = [self.literals[0]]
        for url, literal in zip(urls, self.literals[1:], strict=True):
            parts += (url, literal)
        return "".join(parts)


class _Change(msgspec.Struct, frozen=True):
    """What stands instead of source[start:stop]."""

    start: int
    stop: int
    before: str = ""
    slot: Slot | None = None  # Its URL stands between `before` and `after`.
    after: str = ""


def plan_html(source: str, rewriting: Rewriting) -> Plan:
    """Return the plan of an HTML content. Cost: some ms for 100 KB, linear; once per content."""
    pieces = list(markup.scan(source))
    base = _base_of(pieces)
    changes: list[_Change] = []
    targets: list[str] = []
    if rewriting.clicks or rewriting.utm:
        for piece in _with_conditionals(source, pieces):
            change = _change_of(source, piece, base, rewriting, len(targets) + 1)
            if change is not None:
                changes.append(change)
            if change is not None and change.slot is not None:
                targets.append(change.slot.target)
    at = _body_end(source, pieces)
    extra: list[_Change] = []
    if rewriting.honey and targets:
        extra.append(_Change(at, at, _HONEY[0], Slot(HONEY_NUMBER, targets[0]), _HONEY[1]))
    if rewriting.pixel:
        extra.append(_Change(at, at, _PIXEL[0], Slot(0, ""), _PIXEL[1]))
    split = next((index for index, change in enumerate(changes) if change.start >= at), len(changes))
    return _planned(source, [*changes[:split], *extra, *changes[split:]])


def plan_text(source: str, rewriting: Rewriting, *, is_on: bool) -> Plan:
    """Return the plan of a plain text; `is_on`: its links are written anew at all."""
    changes: list[_Change] = []
    count = 0
    for start, url in _urls_in(source) if is_on else ():
        target = _wanted(url, rewriting)
        if target is None:
            continue
        stop = start + len(url)
        if rewriting.clicks and count + 1 < HONEY_NUMBER and _is_fit(target):
            count += 1
            changes.append(_Change(start, stop, slot=Slot(count, target)))
        elif target != url:
            changes.append(_Change(start, stop, target))
    return _planned(source, changes)


def with_footer(source: str) -> str:
    """Return an HTML content with a line that has the mark for the link to unsubscribe, before the last `</body>`."""
    at = _body_end(source, list(markup.scan(source)))
    return f"{source[:at]}{_FOOTER}{source[at:]}"


def with_text_footer(source: str) -> str:
    """Return a plain text with a last line that has the mark for the link to unsubscribe."""
    return source + _TEXT_FOOTER


def _with_conditionals(source: str, pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Yield start tags, and those in conditional comments, with their places in `source`."""
    for piece in pieces:
        if piece.kind is Kind.START:
            yield piece
        elif piece.kind is Kind.COMMENT and (opened := _CONDITIONAL.match(piece.raw)):
            offset = piece.start + 4 + opened.end()
            for inner in markup.scan(source[offset : piece.start + 4 + len(piece.raw)]):
                if inner.kind is Kind.START:
                    yield msgspec.structs.replace(inner, start=inner.start + offset, stop=inner.stop + offset)


def _change_of(source: str, piece: Piece, base: str, rewriting: Rewriting, number: int) -> _Change | None:
    if piece.name not in _TAGS and not piece.name.startswith(_VML):
        return None
    start = stop = -2
    for name, value_start, value_stop in piece.places():
        if name == NO_TRACK:
            return None
        if name == "href" and start == -2:
            start, stop = value_start, value_stop
    if start < 0:
        return None
    href = _IN_URL.sub("", references.in_attribute(source[start:stop]).strip(_EDGE))
    href = _resolved(href, base)
    target = _wanted(href, rewriting)
    if target is None:
        return None
    if rewriting.clicks and number < HONEY_NUMBER and _is_fit(target):
        return _Change(start, stop, slot=Slot(number, target))
    return None if target == href else _Change(start, stop, html.escape(target.replace(" ", "%20")))


def _wanted(url: str, rewriting: Rewriting) -> str | None:
    """Return where a link is to lead, with UTM parameters; None: it is left alone."""
    web = _WEB.match(url)
    if web is None or UNSUBSCRIBE_MARK in url or _UNFIT.search(url):
        return None
    if any(url == own or url.startswith((own + "/", own + "?", own + "#")) for own in rewriting.own_urls):
        return None
    if rewriting.excluded_hosts and _is_excluded(host_of(url), rewriting.excluded_hosts):
        return None
    return _with_utm(url, rewriting.utm)


def _is_excluded(host: str, patterns: Sequence[str]) -> bool:
    return any(host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern for pattern in patterns)


def _with_utm(url: str, utm: Sequence[tuple[str, str]]) -> str:
    if not utm:
        return url
    rest, mark, fragment = url.partition("#")
    path, asked, query = rest.partition("?")
    there = {pair.partition("=")[0] for pair in query.split("&")}
    more = "&".join(f"{name}={quote(value, safe='')}" for name, value in utm if name not in there)
    if not more:
        return url
    joint = "" if not query or query.endswith("&") else "&"
    return f"{path}{asked or '?'}{query}{joint}{more}{mark}{fragment}"


def _resolved(href: str, base: str) -> str:
    if not base or not href or href.startswith("#") or UNSUBSCRIBE_MARK in href:
        return href
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", href):
        return href
    try:
        return urljoin(base, href)
    except ValueError:  # A bracket where an address should be.
        return href


def _base_of(pieces: Sequence[Piece]) -> str:
    """Return what relative links are resolved against, "" if nothing says so: the first <base> with an href counts."""
    for piece in pieces:
        if piece.kind is Kind.START and piece.name == "base" and "href" in piece.attributes:
            href = _IN_URL.sub("", piece.attributes["href"].strip(_EDGE))
            return href if _WEB.match(href) else ""
    return ""


def _body_end(source: str, pieces: Sequence[Piece]) -> int:
    ends = (piece.start for piece in reversed(pieces) if piece.kind is Kind.END and piece.name == "body")
    return next(ends, _heard_end(source, pieces))


def _heard_end(source: str, pieces: Sequence[Piece]) -> int:
    """Return the last place that is not swallowed by what is never closed."""
    if not pieces:
        return 0 if "<" in source else len(source)
    last = pieces[-1]
    return last.start if last.kind is Kind.START and last.name in markup.RAW else last.stop


def _is_fit(target: str) -> bool:
    return len(target.encode("utf-8")) <= TARGET_BYTES_MAX and location_of(target) != ""


def _urls_in(source: str) -> Iterator[tuple[int, str]]:
    """Yield the web links of a plain text that end for certain, with their places."""
    at = 0
    while found := _TEXT_URL.search(source, at):
        at = found.end()
        if rest := _GOING_ON.match(source, at):
            at = rest.end()  # What looks like a link in there may be a part of this one.
        else:
            yield found.start(), _trimmed(found.group())


def _trimmed(url: str) -> str:
    """Return a URL found in text without what belongs to the sentence around it."""
    stop = len(url)
    spare = {close: url.count(close) - url.count(opened) for close, opened in _BRACKETS.items()}
    while stop:
        last = url[stop - 1]
        if spare.get(last, 0) > 0:
            spare[last] -= 1
        elif last not in _PUNCTUATION:
            break
        stop -= 1
    return url[:stop]


def _planned(source: str, changes: Sequence[_Change]) -> Plan:
    """Return the plan of `source` with changes, in order."""
    literals: list[str] = []
    slots: list[Slot] = []
    parts: list[str] = []  # Of the literal that is being written.
    at = 0
    for change in changes:
        parts += (source[at : change.start], change.before)
        if change.slot is not None:
            literals.append("".join(parts))
            slots.append(change.slot)
            parts = [change.after]
        at = change.stop
    parts.append(source[at:])
    literals.append("".join(parts))
    return Plan(tuple(literals), tuple(slots))
