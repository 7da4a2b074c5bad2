"""What the page behind the link to unsubscribe says, in the reader's language (RFC 9110 §12.5.4), from `words.toml`.

Each language has every sentence, or the start fails. What stands in a sentence for the address, the sender, the list is
escaped and isolated (`bdi`), so that neither markup nor the direction of a stranger's name does anything to the page.
"""

import importlib.resources
import tomllib
from collections.abc import Mapping
from typing import Final

import msgspec
from markupsafe import Markup

_LANGUAGES_ASKED_COUNT_MAX: Final = 20  # Ours: of one header; browsers send up to ten.


class Sentences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the page says, in one language. Where braces stand, `Words.fill` puts something in."""

    dir: str
    title: str
    ask: str
    ask_list: str
    ask_all: str
    why: str
    too_many: str
    not_relevant: str
    never_signed_up: str
    other: str
    said: str
    leave: str
    leave_all: str
    left: str
    left_list: str
    left_all: str
    left_but: str
    take_back: str
    take_back_all: str
    returned: str
    topics: str
    save: str
    saved: str
    blocked: str
    blocked_why: str


class Words(msgspec.Struct, frozen=True):
    """The words of one language."""

    lang: str
    say: Sentences


class Books:
    """All languages, read once."""

    def __init__(self) -> None:
        text = (importlib.resources.files("outrider.faces.console") / "words.toml").read_text("utf-8")
        sentences = msgspec.convert(tomllib.loads(text), dict[str, Sentences])
        self._known: Final[Mapping[str, Words]] = {lang: Words(lang, one) for lang, one in sentences.items()}
        self._first: Final = next(iter(self._known.values()))

    @property
    def all(self) -> Mapping[str, Words]:
        """The words by language; the first is for readers who ask for none of them."""
        return self._known

    def choose(self, accept_language: str) -> Words:
        """Return the words in the language that a header Accept-Language likes best, of those that there are. Total."""
        asked: list[tuple[float, str]] = []
        for part in accept_language.split(",")[:_LANGUAGES_ASKED_COUNT_MAX]:
            name, _, weight = part.partition(";")
            asked.append((_quality(weight), name.strip().partition("-")[0].lower()))
        for quality, lang in sorted(asked, key=lambda one: -one[0]):
            if quality > 0 and lang in self._known:
                return self._known[lang]
        return self._first


def fill(sentence: str, **parts: str) -> Markup:
    """Return a sentence as HTML, with each part in its place: escaped, isolated, and set off."""
    isolated = {name: Markup("<bdi>{}</bdi>").format(part) for name, part in parts.items()}
    return Markup(sentence).format(**isolated)  # noqa: S704 - a sentence of ours.


def _quality(text: str) -> float:
    """Return the weight of a language range, 1 without one, 0 where it cannot be read."""
    text = text.strip().lower().replace(" ", "")
    if not text:
        return 1.0
    try:
        quality = float(text.removeprefix("q="))
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
