"""Links of real-shaped mails: only they change, and they are what a browser's parser sees; whatever the markup.

The other opinion is lexbor's (selectolax), a parser of HTML as browsers have. What Outlook shows besides, it reads from
conditional comments, each as a document of its own.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from outrider.mail import markup
from outrider.mail.link_tokens import HONEY_NUMBER
from outrider.mail.links import Plan, Rewriting, plan_html
from outrider.mail.markup import Kind
from tests.fuzz.mail_corpus import Mail, digest_of, mails, newsletter_of

CLICKS = Rewriting(clicks=True)
MAILS = mails()
LARGE = [newsletter_of(1_000_000), digest_of(10_000)]
Attributes = Mapping[str, str | None]


def elements(source: str) -> Iterator[tuple[str, Attributes]]:
    """Yield elements of a document, and those that only Outlook sees."""
    root = LexborHTMLParser(source).root
    for node in root.traverse(include_text=False) if root else ():
        tag = node.tag or ""
        if tag == "-comment":
            inner = re.fullmatch(r"<!--\s*\[if\s[^\]]*\]>(.*?)(?:-->)?", node.html or "", re.DOTALL)
            yield from elements(inner[1]) if inner else ()
        else:
            yield tag, node.attributes


def seen_links(source: str) -> set[str]:
    """Return where the web links of a mail lead, as others read it."""
    base, found = "", set()
    all_elements = list(elements(source))
    for tag, attributes in all_elements:
        if tag == "base" and "href" in attributes:
            base = attributes["href"] or ""
            break
    for tag, attributes in all_elements:
        if (
            (tag in ("a", "area") or tag.startswith("v:"))
            and "href" in attributes
            and "data-no-track" not in attributes
        ):
            href = (attributes["href"] or "").strip("".join(map(chr, range(33))))
            href = re.sub("[\t\r\n]", "", href)
            if base.startswith("https://") and href and not href.startswith("#"):
                href = urljoin(base, href)
            if re.match("https?://[^/?#]", href, re.IGNORECASE):
                found.add(href)
    return found


def without_links(source: str) -> list[object]:
    """Return all that others read in a mail but for the hrefs of its links, and its text."""
    bare: list[object] = [
        (tag, {name: value for name, value in attributes.items() if name != "href"})
        for tag, attributes in elements(source)
    ]
    body = LexborHTMLParser(source).body
    return [*bare, body.text() if body else ""]


def undo(plan: Plan, source: str) -> None:
    """Put back what stood in place of the slots, and see that nothing else has changed."""
    assert source.startswith(plan.literals[0])
    at, stood = len(plan.literals[0]), []
    for literal in plan.literals[1:]:
        start = source.index(literal, at) if literal else len(source)
        stood.append(source[at:start])
        at = start + len(literal)
    assert at == len(source)
    assert plan.written(stood) == source


def check(mail: Mail) -> None:
    plan = plan_html(mail.html, CLICKS)
    targets = [slot.target for slot in plan.slots]
    assert len(set(targets)) == len(targets), "a corpus whose targets differ"
    seen = seen_links(mail.html)
    assert set(targets) - seen == mail.ours, mail.why
    assert seen - set(targets) == mail.theirs, mail.why
    undo(plan, mail.html)
    marks = {slot.target: f"https://t.example/t/{slot.number}" for slot in plan.slots}
    written = plan.written(list(marks.values()))
    assert seen_links(written) == {mark for target, mark in marks.items() if target not in mail.ours} | mail.theirs
    assert without_links(written) == without_links(mail.html)


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.name)
def test_only_links_change_and_they_are_those_that_browsers_see(mail: Mail) -> None:
    check(mail)


@pytest.mark.slow
@pytest.mark.parametrize("mail", LARGE, ids=lambda mail: mail.name)
def test_large_mails_are_like_small_ones(mail: Mail) -> None:
    check(mail)


def test_there_are_sixty_mails_and_their_names_differ() -> None:
    assert len({mail.name for mail in MAILS}) == len(MAILS) >= 60
    assert [mail.name for mail in MAILS if (mail.ours or mail.theirs) and not mail.why] == []
    assert len(LARGE[0].html) > 1_000_000
    assert len(plan_html(LARGE[1].html, CLICKS).slots) == 10_000 < HONEY_NUMBER


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.name)
def test_pixel_and_honey_link_are_all_that_is_added(mail: Mail) -> None:
    plan = plan_html(mail.html, Rewriting(clicks=True, pixel=True, honey=True))
    urls = [f"https://t.example/{slot.number}" for slot in plan.slots]
    parser = LexborHTMLParser(plan.written(urls))
    assert len(parser.css('img[src="https://t.example/0"]')) == (mail.name != "frames")
    bare = plan_html(mail.html, CLICKS)
    assert [slot for slot in plan.slots if 0 < slot.number < HONEY_NUMBER] == list(bare.slots)


# What tokenizers stumble over. Not here, as only a tree knows: <svg>, <math>, <select>, <template>, frames.
_ATOMS = (
    *(
        "<",
        ">",
        '"',
        "'",
        "=",
        "/",
        "!",
        "-",
        "--",
        "-->",
        "--!>",
        "<!--",
        "<!-->",
        "<!--->",
        "<!",
        "<?",
        "</",
        "</>",
        "</ ",
    ),
    *("<a", "<a ", "</a>", "<A HREF=", "href", "href=", 'href="', "href='", " ", "\n", "\t", "x", "y=1", "<p>", "</p>"),
    *(
        "&amp;",
        "&copy=1",
        "&copy",
        "&#38;",
        "&#x26",
        "&",
        "<style>",
        "</style>",
        "</style ",
        "<style/>",
        "<title>",
        "</title>",
    ),
    *(
        "<script>",
        "</script>",
        "</scripty>",
        "<textarea>",
        "</textarea>",
        "<table>",
        "<tr>",
        "<td>",
        "</table>",
        "<br/>",
    ),
    *("<![CDATA[", "]]>", "<!--[if mso]>", "<![endif]-->", "<![if !mso]>", "\x0b", "\x0c", "\xa0", "<xmp>", "</xmp>"),
    *("<iframe>", "</iframe>", "<span title='", '<span title="', "<x-y z>", "<!doctype html>", "<body>", "</body>"),
)
_links = st.builds("<a href={0}u{1}{0}>".format, st.sampled_from(["", '"', "'"]), st.integers(1, 9))


@given(st.lists(st.sampled_from(_ATOMS) | _links, max_size=14))
def test_a_browser_cuts_any_markup_at_the_same_places(parts: list[str]) -> None:
    source = "".join([*parts, '<a href="last">'])
    ours = {
        piece.attributes["href"]
        for piece in markup.scan(source)
        if piece.kind is Kind.START and piece.name == "a" and "href" in piece.attributes
    }
    assert ours == {node.attributes["href"] or "" for node in LexborHTMLParser(source).css("a[href]")}
