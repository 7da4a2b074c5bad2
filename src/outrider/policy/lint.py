"""What is plainly wrong with a mail's content, before anybody gets it: cheap and certain. Pure, linear, no network.

    error      readers get something broken or forbidden: scripts, forms, links to nowhere, tags that were left over
    warning    it arrives, but worse than it could: no text part, clipped by Gmail, pictures without words

A fault is told once, with the first place and how many there are. What is a matter of taste or of reputation is a junk
filter's business (`policy.content`), and nothing here follows a link.

Sources: what clients strip (script, iframe, form, object, embed, event handlers): caniemail.com; Gmail clips what is
over 102 KB (support threads and every sender's guide; Google states no number); Gmail's rules for bulk senders of
February 2024 on unsubscribing.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from outrider.base import limits
from outrider.base.vocab import Stream
from outrider.mail import markup, orgdomain
from outrider.mail.markup import Kind, Piece

_ELEMENTS: Final = frozenset(["script", "iframe", "form", "object", "embed", "applet", "frame", "frameset"])
_LINKS: Final = frozenset(["a", "area"])
_SCRIPTED: Final = re.compile(r"(?:^|[\s/\"'])on[a-z]{3,20}\s*=", re.IGNORECASE)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]{0,30}):", re.IGNORECASE)
_SCRIPTS: Final = frozenset(["javascript", "vbscript", "data", "file"])
_LEFT: Final = re.compile(r"\{\{[^{}]{0,100}\}\}|\{%[^{}%]{0,100}%\}|%%[A-Za-z_]{3,60}%%|\*\|[A-Z_:]{1,60}\|\*")
_HOST_SHOWN: Final = re.compile(
    r"\s*(https?://)?((?:[a-z0-9-]{1,63}\.){1,5}[a-z]{2,24})(?:[/:?#]\S*)?\s*\Z", re.IGNORECASE
)
# Ours: suffixes that far more files have than hosts. `.pl`, `.md` and their like are countries': hosts first.
_FILE_SUFFIXES: Final = (".zip", ".mov")
_WORDS: Final = re.compile(r"\w")
_PLACE_CHARS_MAX: Final = 80  # Ours: of the place that a fault names.


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong."""

    code: str
    is_error: bool  # False: a warning.
    sentence: str
    where: str = ""  # The part, or the first place in it; "" for the whole.


def check(
    *, subject: str, html: str | None, text: str | None, stream: Stream, has_unsubscribe: bool
) -> Sequence[Fault]:
    """Return the faults of a mail, errors first, each once.

    Args:
        has_unsubscribe: whether it has a List-Unsubscribe field or shows our link; a link that says so is found here.
    """
    found = _Found()
    _check_subject(subject, found)
    page = _Page(found)
    if html is not None:
        page.read(html)
        if not text or not text.strip():
            found.add("text_missing", "There is no text part: some readers and many filters look for it.")
        if len(html.encode("utf-8", "replace")) > limits.GMAIL_CLIP_BYTES_MAX:
            found.add("size_clipped", "The HTML is over 102 KB: Gmail cuts it, with the link to unsubscribe.")
    if text and (left := _LEFT.search(text)):
        found.add("tag_left", "A tag of a template is left over.", left[0], is_error=True)
    if stream is Stream.MARKETING and not (has_unsubscribe or page.shows_way_out or _says_way_out(text or "")):
        found.add("unsubscribe_missing", "Marketing mail needs a way to unsubscribe.", is_error=True)
    return found.faults()


class _Found:
    """The faults so far."""

    def __init__(self) -> None:
        self._first: Final[dict[str, Fault]] = {}
        self._count: Final[dict[str, int]] = {}

    def add(self, code: str, sentence: str, where: str = "", *, is_error: bool = False) -> None:
        self._count[code] = self._count.get(code, 0) + 1
        if code not in self._first:
            where = " ".join(where[: 2 * _PLACE_CHARS_MAX].split())[:_PLACE_CHARS_MAX]
            self._first[code] = Fault(code=code, is_error=is_error, sentence=sentence, where=where)

    def faults(self) -> Sequence[Fault]:
        told = [
            msgspec.structs.replace(fault, sentence=f"{fault.sentence} ({count} times)") if count > 1 else fault
            for fault, count in ((fault, self._count[code]) for code, fault in self._first.items())
        ]
        return sorted(told, key=lambda fault: not fault.is_error)


def _check_subject(subject: str, found: _Found) -> None:
    letters = [letter for letter in subject if letter.isalpha()]
    if not subject.strip():
        found.add("subject_missing", "There is no subject.", is_error=True)
    if len(letters) >= _SHOUT_LETTERS_MIN and subject.isupper():
        found.add("subject_shouts", "The subject is all in capitals.", subject)
    if "!!" in subject or subject.count("!") >= _MARKS_MIN or "$$" in subject:
        found.add("subject_shouts", "The subject has too many exclamation marks.", subject)
    if left := _LEFT.search(subject):
        found.add("tag_left", "A tag of a template is left over.", left[0], is_error=True)


_SHOUT_LETTERS_MIN: Final = 8  # Ours: "OTP", "DHL" and "INVOICE" are no shouting.
_MARKS_MIN: Final = 3  # Ours.


class _Page:
    """Reads the HTML, piece by piece."""

    def __init__(self, found: _Found) -> None:
        self._found: Final = found
        self._link = ""  # Target of the link we are in.
        self._shown: list[str] = []  # Its text.
        self._images = 0
        self._words = 0
        self.shows_way_out = False

    def read(self, html: str) -> None:
        """Find what is wrong in it."""
        for piece in markup.scan(html):
            match piece.kind:
                case Kind.START:
                    self._start(piece)
                case Kind.END if piece.name in _LINKS:
                    self._close_link()
                case Kind.TEXT if not piece.is_raw:
                    self._text(piece)
                case _:
                    pass
        self._close_link()
        if self._images and self._words < _WORDS_MIN:
            self._found.add(
                "images_only", "It is pictures with hardly a word: filters distrust that, and many see none."
            )

    def _start(self, piece: Piece) -> None:
        name = piece.name
        if name in _ELEMENTS:
            self._found.add(
                "element_forbidden",
                f"<{name}> is stripped or refused by every mail program.",
                f"<{name}>",
                is_error=True,
            )
        if "on" in piece.raw and _SCRIPTED.search(piece.raw) and (script := _script_at(piece.attributes)):
            self._found.add("handler", "Scripts at elements never run in mail.", f"{name} {script}", is_error=True)
        if name in _LINKS:
            self._close_link()
            self._open_link(piece.attributes)
        elif name == "img":
            self._image(piece.attributes)

    def _open_link(self, attributes: Mapping[str, str]) -> None:
        if "href" not in attributes:  # An anchor's name.
            return
        self._link = attributes["href"].strip()
        self._shown = [attributes.get("title", "")] if not self._link else []
        problem = _problem(self._link)
        if problem is not None:
            code, sentence, is_error = problem
            self._found.add(code, sentence, self._link or "href", is_error=is_error)
        if _says_way_out(self._link):
            self.shows_way_out = True

    def _image(self, attributes: Mapping[str, str]) -> None:
        source = attributes.get("src", "").strip()
        self._images += 1
        if "alt" not in attributes:
            self._found.add("alt_missing", "A picture has no alternative text.", source or "img")
        if source[:5].lower() == "data:":
            self._found.add("image_inline", "A picture is in the HTML as base64: Gmail and Outlook do not show it.")
        elif (problem := _problem(source)) is not None and problem[0] in ("link_local", "link_relative"):
            self._found.add("image_broken", "A picture's address means nothing outside.", source, is_error=True)

    def _text(self, piece: Piece) -> None:
        if "{" in piece.raw or "%" in piece.raw or "|" in piece.raw:
            for left in _lefts(piece.text):
                self._found.add("tag_left", "A tag of a template is left over.", left, is_error=True)
        if self._words < _WORDS_MIN:
            self._words += len(_WORDS.findall(piece.raw[:1000]))
        if self._link:
            self._shown.append(piece.text)

    def _close_link(self) -> None:
        link, self._link = self._link, ""
        if not link:
            return
        shown = "".join(self._shown)[:500]
        if _says_way_out(shown):
            self.shows_way_out = True
        seen = _host_shown(shown)
        target = _host(link) if seen else ""
        if seen and target and not _is_same(seen, target):
            self._found.add(
                "link_mismatch", "A link shows another host than it leads to, as phishing does.", shown.strip()
            )


_WORDS_MIN: Final = 40  # Letters. Ours: a line of text.


def _script_at(attributes: Mapping[str, str]) -> str:
    return next((name for name in attributes if name.startswith("on") and name[2:].isalpha()), "")


def _lefts(text: str) -> Iterator[str]:
    return (left[0] for left in _LEFT.finditer(text))


def _problem(target: str) -> tuple[str, str, bool] | None:
    """Return what is wrong with a link's target: code, sentence, whether it is an error."""
    scheme = _SCHEME.match(target)
    if scheme and scheme[1].lower() in _SCRIPTS:
        return "link_script", "A link runs a script or holds a page: mail programs refuse it.", True
    if _LEFT.search(target):
        return "tag_left", "A tag of a template is left over.", True
    if not target or target == "#":
        return "link_empty", "A link leads nowhere.", True
    if target.startswith("#"):
        return None
    if scheme is None:
        return "link_relative", "A link is relative: in a mail there is nothing that it starts from.", True
    if scheme[1].lower() in ("http", "https"):
        host = _host(target)
        if not host:
            return "link_empty", "A link leads nowhere.", True
        if _is_local(host):
            return "link_local", "A link leads to an address that only your own network knows.", True
    return None


def _host(target: str) -> str:
    try:
        return (urlsplit(target).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".lan")):
        return True
    if not (host[-1:].isdigit() or ":" in host):
        return False
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _host_shown(shown: str) -> str:
    """Return the host that readers of a link's text take it to lead to, "" for none: `invoice.pdf` is a file."""
    found = _HOST_SHOWN.match(shown) if "." in shown else None
    if found is None:
        return ""
    host = found[2].lower()
    if found[1] or host.startswith("www."):
        return host
    return host if orgdomain.has_known_suffix(host) and not host.endswith(_FILE_SUFFIXES) else ""


def _is_same(shown: str, target: str) -> bool:
    return shown == target or orgdomain.of(shown) == orgdomain.of(target)


_WAY_OUT: Final = re.compile(
    r"unsubscri|opt.?out|abmelden|abbestell|d[ée]sabonn|d[ée]sinscri|darse de baja|cancelar (?:la )?suscrip|disiscri|"
    r"afmelden|uitschrijven|avregistrer|avmeld|wypisz|отпис|退订|取消订阅|配信停止",
    re.IGNORECASE,
)


def _says_way_out(text: str) -> bool:
    return _WAY_OUT.search(text) is not None
