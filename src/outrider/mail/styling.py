"""MJML and CSS worked out in a translated text, with its tags kept as they are. Pure; MRML and css-inline do the work.

Both read HTML and know nothing of templates. So each tag is put away first: as a comment where text stands, as a word
in an attribute, in a style sheet or in a title, and several between attributes as one. Afterwards each must be there
again, those of blocks once and in order; else the author hears of it. A text without style sheets is not touched.

Neither may read anything: includes of MJML are off, style sheets at an address are left to the reader's program. Both
call themselves for each level of nesting, in C's stack, so that the depth is bounded here, before them.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import css_inline
import mjml

from outrider.base import limits
from outrider.base.errors import TemplateError
from outrider.mail import markup, plain
from outrider.mail.markup import Kind
from outrider.mail.translate import MADE, TAG, TAGS, VALUE

_DOCTYPE: Final = re.compile(r"\s*<!doctype[^>]*>\s*", re.IGNORECASE)
_BODY: Final = re.compile(r"<body(?:[^>\"']|\"[^\"]{0,2000}\"|'[^']{0,2000}'){0,200}>", re.IGNORECASE)
_PREFIX: Final = re.compile("otr[a-p]{5}")
_QUOTED: Final = re.compile("\"[^\"]*\"|'[^']*'")
_LOOSE: Final = frozenset(
    ["p", "li", "td", "th", "tr", "option", "dt", "dd", "html", "head", "body", "tbody", "thead", "tfoot"]
)
HIDDEN: Final = (
    '<div style="display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden">',
    "</div>",
)


class Tags:
    """The tags of one text, put away and put back."""

    def __init__(self, text: str) -> None:
        self._kept: Final[dict[str, str]] = {}  # Word, what it stands for.
        self._words: Final[dict[str, str]] = {}
        self._needed: list[str] = []
        taken = {*_PREFIX.findall(text.lower())}
        self._prefix: Final = next(each for each in _prefixes() if each not in taken)
        self._word: Final = re.compile(self._prefix + r"\d+z")
        self.text: Final = TAGS.sub(lambda found: self._put_away(found[0]), text)

    def marked(self, *, is_mjml: bool) -> str:
        """Return the text with words where tags were, each fit for its place."""
        made: list[str] = []
        at = 0
        for piece in markup.scan(self.text):
            made.append(self.text[at : piece.start])
            at = piece.stop
            part = self.text[piece.start : piece.stop]
            if piece.kind is Kind.START and self._word.search(piece.raw):
                part = self._gathered(part)
            elif piece.kind is Kind.TEXT and not piece.is_raw:
                part = self._word.sub(lambda found: self._as_comment(found[0], is_mjml=is_mjml), part)
            made.append(part)
        marked = "".join([*made, self.text[at:]])
        self._needed = self._word.findall(marked)
        return marked

    def put_back(self, text: str) -> str:
        """Return `text` with the tags in it. Raises TemplateError when one was lost, or a block's is out of order."""
        text = re.sub(f'({self._word.pattern})=""', r"\1", text)
        found = self._word.findall(text)
        if [*filter(self._is_block, found)] != [*filter(self._is_block, self._needed)] or {*self._needed} - {*found}:
            raise TemplateError(
                "A tag stands where MJML or CSS cannot keep it: a style sheet may hold values only, and tags around "
                "parts of MJML stand between those."
            )
        return self.put_back_those(text)

    def put_back_those(self, text: str) -> str:
        """Return `text` with those tags in it whose words it has."""
        text = re.sub(f"<!--({self._word.pattern})-->", r"\1", text)
        return self._word.sub(lambda word: self._kept[word[0]], text)

    def is_block(self, comment: str) -> bool | None:
        """Return whether this comment stands for a block's tag (True), a value's (False) or none (None)."""
        return self._is_block(comment) if comment in self._kept else None

    def nesting(self, comment: str) -> int | None:
        """Return 1 if this comment stands for a tag that opens a block, -1 if it ends one, None if it shows a value."""
        tag = self._kept.get(comment)
        if tag is None:
            return 0
        if not tag.startswith(TAG[0]):
            return None
        word = tag[1:].split(None, 1)[0]
        if word.startswith("end"):
            return -1
        return int(word in ("if", "for", "with", "macro") or (word == "set" and "=" not in tag))

    def _is_block(self, word: str) -> bool:
        return TAG[0] in self._kept[word]

    def _put_away(self, tag: str) -> str:
        if tag in self._words:
            return self._words[tag]
        word = f"{self._prefix}{len(self._kept)}z"
        self._kept[word] = tag
        if not tag.startswith(TAG[0]):  # A value may be there twice, and one that two names of elements share is one.
            self._words[tag] = word
        return word

    def _as_comment(self, word: str, *, is_mjml: bool) -> str:
        # MJML's titles and previews are text alone; HTML's tables push text out, but no comment.
        return word if is_mjml and not self._is_block(word) else f"<!--{word}-->"

    def _gathered(self, tag: str) -> str:
        """Make one word of all that stands from the first to the last block's tag outside of quotes."""
        bare = _QUOTED.sub(lambda quoted: "\0" * len(quoted[0]), tag)
        places = [found.span() for found in self._word.finditer(bare) if self._is_block(found[0])]
        if not places:
            return tag
        start, stop = places[0][0], places[-1][1]
        word = f"{self._prefix}{len(self._kept)}z"
        self._kept[word] = self._word.sub(lambda found: self._kept[found[0]], tag[start:stop])
        return tag[:start] + word + tag[stop:]


def _prefixes() -> Iterator[str]:
    """Yield more of them than a text has room for, each as `_PREFIX` finds it: no text makes us look for long."""
    return ("otr" + "".join(letters) for letters in itertools.product("abcdefghijklmnop", repeat=5))


def work_mjml(text: str) -> str:
    """Return the HTML of a translated MJML text. Raises TemplateError."""
    tags = Tags(text)
    source = tags.marked(is_mjml=True)
    _check_depth(source, is_mjml=True)
    source, styles = _without_inline_styles(source)
    try:
        made = mjml.mjml2html(source, fonts={})
    except ValueError as error:
        raise TemplateError(f"MJML: {error}.") from None
    if styles:
        made = _inlined(made, extra=styles)
    return tags.put_back(made)


def _without_inline_styles(source: str) -> tuple[str, str]:
    """Return MJML without its <mj-style inline="inline">, and the rules that those hold."""
    made: list[str] = []
    styles: list[str] = []
    at, opened = 0, None
    for piece in markup.scan(source):
        if piece.name != "mj-style":
            continue
        if opened is None and piece.kind is Kind.START and not piece.raw.endswith("/"):
            opened = piece if piece.attributes.get("inline") == "inline" else None
        elif opened is not None and piece.kind is Kind.END:
            made.append(source[at : opened.start])
            styles.append(source[opened.stop : piece.start])
            at, opened = piece.stop, None
    return "".join([*made, source[at:]]), "\n".join(styles)


def inline_css(text: str) -> str:
    """Return translated HTML with the rules of its <style> at the elements; what cannot stand there stays in <style>.

    Without a <style> the text comes back as it is. Raises TemplateError.
    """
    if "<style" not in text.lower():
        return text
    tags = Tags(text)
    source = _with_table_bodies(tags.marked(is_mjml=False))
    if not any(piece.kind is Kind.START and piece.name == "style" for piece in markup.scan(source)):
        return text  # In a comment for Outlook alone.
    source = _with_body(source, tags)
    _check_depth(source, is_mjml=False)
    if source.count("{") * source.count("<") > _MATCHES_MAX:
        raise TemplateError("Its style sheets have too many rules for so many elements.")
    made = tags.put_back(_inlined(source))
    doctype, made_doctype = _DOCTYPE.match(text), _DOCTYPE.match(made)
    if doctype:  # Ours knows but one.
        made = doctype[0].lstrip() + (made[made_doctype.end() :] if made_doctype else made)
    return made


def _with_body(source: str, tags: Tags) -> str:
    """Return it with a <head> around the style sheets and their like that it begins with, and a <body> behind them.

    The parser's own <body> would begin at the first element: what tags show before that would stand in the head, and
    a condition or loop around that element would go around `</head><body>`, too.
    """
    head_stop = 0  # Of one that the author has marked.
    for piece in markup.scan(source) if _MARKED.search(source) else ():
        if piece.name == "body" and piece.kind is Kind.START:
            return source
        if piece.name == "head" and piece.kind is Kind.END:
            head_stop = head_stop or piece.stop
    if head_stop:
        return f"{source[:head_stop]}<body>{source[head_stop:]}"
    start, stop = _head_of(source, tags)
    return f"{source[:start]}<head>{source[start:stop]}</head><body>{source[stop:]}"


_MARKED: Final = re.compile("<body|</head", re.IGNORECASE)
_IN_HEAD: Final = frozenset(["base", "link", "meta", "script", "style", "title"])


def _head_of(source: str, tags: Tags) -> tuple[int, int]:
    """Return where a head stands that is not marked as one; as many blocks' tags begin in it as end."""
    start = stop = depth = 0
    is_longer = False  # Whether the block that is open holds some of the head.
    for piece in markup.scan(source):
        if piece.kind is Kind.COMMENT:
            step = tags.nesting(piece.raw)
            if step is None:
                break
            depth += step
            if depth == 0 and is_longer:
                stop, is_longer = piece.stop, False
        elif piece.name in _IN_HEAD:
            if depth == 0:
                stop = piece.stop
            else:
                is_longer = True
        elif piece.kind is Kind.OTHER or piece.name in ("html", "head"):
            if depth == 0 and start == stop:  # A doctype and <html>.
                start = stop = piece.stop
        elif piece.kind is not Kind.TEXT or piece.raw.strip():
            break
    return start, stop


def _with_table_bodies(source: str) -> str:
    """Return it with a <tbody> at the head of each table that has a row first, as the parser makes it.

    The parser's own would stand behind a tag of ours: a loop around the rows would open one for each.
    """
    made: list[str] = []
    at = head = 0
    is_at_head = False
    for piece in markup.scan(source):
        if piece.kind is Kind.START:
            if is_at_head and piece.name == "tr":
                made += [source[at:head], "<tbody>"]
                at = head
            is_at_head, head = piece.name == "table", piece.stop
        elif piece.kind is not Kind.COMMENT and piece.raw.strip():
            is_at_head = False
    return "".join([*made, source[at:]])


_MATCHES_MAX: Final = 5_000_000  # Rules times elements; some seconds of css-inline.


def _inlined(source: str, *, extra: str | None = None) -> str:
    try:
        return css_inline.inline(
            source,
            inline_style_tags=extra is None,
            keep_style_tags=True,
            remove_inlined_selectors=True,
            keep_link_tags=True,
            load_remote_stylesheets=False,
            extra_css=extra,
        )
    except ValueError as error:
        raise TemplateError(f"CSS: {error}.") from None


def has_preheader(text: str) -> bool:
    """Whether the author has given the preheader its place in translated HTML: {{ preheader }}."""
    return f"{VALUE[0]} preheader" in text


def place_preheader(text: str, shown: str) -> str:
    """Return translated HTML with `shown` at the beginning of its body: what a list of mails shows."""
    body = _BODY.search(text)
    if body is None and "<html" in text[:2000].lower():
        return text  # A page without a body: nothing that a browser would not have to mend first.
    doctype = _DOCTYPE.match(text)
    at = body.end() if body else doctype.end() if doctype else 0
    return text[:at] + shown + text[at:]


def to_text(text: str) -> str:
    """Return the text part for translated HTML, with its tags; those of blocks also from what is hidden."""
    tags = Tags(text)
    return MADE + tags.put_back_those(plain.to_text(tags.marked(is_mjml=False), keeps=tags.is_block))


def _check_depth(source: str, *, is_mjml: bool) -> None:
    """Refuse what stands in each other too deep, or so wide and deep that HTML's mending makes too much of it.

    A parser whose stack ends takes the process with it. So what theirs may leave open where our reading does not say
    so is counted, too: in HTML a "/" closes nothing; MRML reads elements in <style> and its like, and of any name.
    """
    depth = deepest = count = 0
    unsure = len(_STARTS.findall(source)) if is_mjml else 0
    opened: Counter[str] = Counter()
    for piece in markup.scan(source):
        is_start = piece.kind is Kind.START
        unsure -= is_start and is_mjml
        if piece.name in markup.VOID or (piece.name in _LOOSE and not is_mjml):
            continue
        if is_start and piece.raw.endswith("/"):
            unsure += not is_mjml
        elif is_start:
            count += 1
            depth += 1
            opened[piece.name] += 1
            deepest = max(deepest, depth)
        elif piece.kind is Kind.END and (is_mjml or opened[piece.name] > 0):
            depth -= 1
            opened[piece.name] -= 1
    if (
        deepest > limits.TEMPLATE_DEPTH_COUNT_MAX
        or count > limits.TEMPLATE_ELEMENTS_COUNT_MAX
        or unsure > limits.TEMPLATE_UNSURE_COUNT_MAX
    ):
        raise TemplateError("Its elements stand in each other too deep, or are too many.")


_STARTS: Final = re.compile(r"<[^\s/!?]")
