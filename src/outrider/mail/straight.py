"""Parts of a template that are text with variables in it and nothing else, filled in without minijinja. Pure.

    "Hi {{ name }}, your code is {{ code }}."      straight
    "{% if ... %}", "{{ name|upper }}", "{{ a.b }}"   not: minijinja's

Most parts of most templates are straight, and a mail of such parts takes 7 µs instead of 17 with minijinja (3 KB, five
variables; 2026-11). What comes out is the same (tests/fuzz/test_mail_straight.py); what could differ is left to
minijinja: a value that is not text or not there, and results so long that their bound matters.
"""

import html
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from outrider.mail.guard import unfold
from outrider.mail.translate import MADE, RESERVED, TAG, VALUE

_RESULT_CHARS_MAX: Final = 256 * 1024  # Ours: longer ones are minijinja's to bound; Gmail clips mail at 102 KB.
_VALUES_CHARS_MAX: Final = 16 * 1024  # Ours: and a quarter of what they may have.
_VALUES_COUNT_MAX: Final = 500
_HALF: Final = re.compile("[\ud800-\udfff]")
_NAME: Final = re.compile(f"{VALUE[0]} ([A-Za-z_][A-Za-z0-9_]*) {VALUE[1]}")
# "{% if preheader %}...{{ preheader }}...{% endif %}", which `mail.templating` puts into every HTML part.
_WHEN: Final = re.compile(
    f"{TAG[0]} if ([A-Za-z_][A-Za-z0-9_]*) {TAG[1]}([^{VALUE[0]}-\ufdd5]*){VALUE[0]} \\1 {VALUE[1]}"
    f"([^{VALUE[0]}-\ufdd5]*){TAG[0]} endif {TAG[1]}"
)
_MADE_UP: Final = frozenset({"true", "false", "none", "True", "False", "None", "loop", "self", "super"})


class Straight:
    """One part. Made by `read`."""

    __slots__ = ("_chars", "_names", "_pieces", "_whens")

    def __init__(self, pieces: list[str], names: list[tuple[int, str]], whens: list[int]) -> None:
        self._pieces: Final = pieces  # With an empty one wherever a value belongs.
        self._names: Final = names
        self._whens: Final = whens  # Where a value with what is around it goes, if it is not empty: before, behind.
        self._chars: Final = sum(map(len, pieces))

    def renamed(self) -> "Straight":
        """Return it for values by the names that their authors gave them."""
        return Straight(self._pieces, [(at, unfold(name)) for at, name in self._names], self._whens)

    def fill(self, values: Mapping[str, object], *, is_html: bool) -> str | None:
        """Return the part with these values in it, escaped for HTML; None: ask minijinja."""
        pieces, chars = self._pieces.copy(), self._chars
        for at, name in self._names:
            value = values.get(name)
            if type(value) is not str:
                return None
            chars += len(value)
            pieces[at] = html.escape(value) if is_html else value
        for at in self._whens:
            if not pieces[at + 1]:
                pieces[at] = pieces[at + 2] = ""
        return "".join(pieces) if chars <= _RESULT_CHARS_MAX else None


class Filled(NamedTuple):
    """What a letter became."""

    subject: str
    html: str | None
    text: str | None


class Letter:
    """A mail all of whose parts are straight. Made by `read_letter`."""

    __slots__ = ("_html", "_preheader", "_subject", "_text")

    def __init__(self, subject: Straight, preheader: Straight, html: Straight | None, text: Straight | None) -> None:
        self._subject: Final = subject
        self._preheader: Final = preheader
        self._html: Final = html
        self._text: Final = text

    def fill(self, variables: Mapping[str, object], own: Mapping[str, str], *, preheader: str) -> Filled | None:
        """Return the parts filled in; None: ask minijinja.

        Args:
            variables: as they came.
            own: values that go over them, such as the link to unsubscribe.
            preheader: the name by which the HTML shows that.
        """
        chars = 0
        for name, value in variables.items():
            if type(value) is not str or not (value.isascii() or _HALF.search(value) is None):
                return None
            chars += len(name) + len(value)
        if chars > _VALUES_CHARS_MAX or len(variables) > _VALUES_COUNT_MAX:
            return None
        values = {**variables, **own}
        subject = self._subject.fill(values, is_html=False)
        before = self._preheader.fill(values, is_html=False)
        if subject is None or before is None:
            return None
        values[preheader] = before
        html_part = None if self._html is None else self._html.fill(values, is_html=True)
        text_part = None if self._text is None else self._text.fill(values, is_html=False)
        if (html_part is None) != (self._html is None) or (text_part is None) != (self._text is None):
            return None
        return Filled(subject, html_part, text_part)


def read_letter(subject: str, preheader: str, html: str | None, text: str | None) -> Letter | None:
    """Return finished parts ready to be filled in together, None if one of them is not straight."""
    found = [None if part is None else read(part.removeprefix(MADE)) for part in (subject, preheader, html, text)]
    line, before, html_part, text_part = [None if one is None else one.renamed() for one in found]
    if line is None or before is None:
        return None
    if (html_part is None) != (html is None) or (text_part is None) != (text is None):
        return None
    return Letter(line, before, html_part, text_part)


def read(source: str) -> Straight | None:
    """Return a finished part (`mail.templating`) ready to be filled in, None if it is not straight."""
    pieces: list[str] = []
    names: list[tuple[int, str]] = []
    whens: list[int] = []
    at = 0
    while (start := _next_tag(source, at)) >= 0:
        pieces.append(source[at:start])
        if found := _NAME.match(source, start):
            names.append((len(pieces), found[1]))
            pieces.append("")
        elif found := _WHEN.match(source, start):
            whens.append(len(pieces))
            names.append((len(pieces) + 1, found[1]))
            pieces += (found[2], "", found[3])
        else:
            return None
        if found[1] in _MADE_UP:
            return None
        at = found.end()
    pieces.append(source[at:])
    return Straight(pieces, names, whens)


def _next_tag(source: str, at: int) -> int:
    found = RESERVED.search(source, at)
    return -1 if found is None else found.start()
