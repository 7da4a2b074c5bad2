import pytest

from outrider.faces.api.markup import SEARCHED_CHARS_MAX, looks_like_html


@pytest.mark.parametrize(
    "content",
    [
        "<p>Your invoice is ready.</p>",
        "<P>loud</P>",
        "<html><body>hi</body></html>",
        "<!DOCTYPE html>",
        "<!doctype html PUBLIC '-//W3C//DTD XHTML 1.0'>",
        "line one<br>line two",
        "line one<br/>line two",
        "line one<BR />line two",
        'See <a href="https://shop.example/?a=1&b=2">your order</a>',
        "<a href=https://shop.example>x",
        "<a\n  href='x'>",
        '<img src="cid:logo" alt="a > b">',
        "<td width=10>",
        "text </b> closing only",
        "</o:p>",
        "<!-- preheader -->",
        "<h1>Hi</h1>",
        "<hr>",
        "<table\n><tr>",
        "a < b <b>and</b> c > d",
    ],
)
def test_html_is_seen(content: str) -> None:
    assert looks_like_html(content)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "Thank you for your order. Your order ID is #12345.",
        "a < b and c > d",
        "a <b and c> d",
        "1 <2",
        "1<2 and 3>2",
        "<john@x.example>",
        "John <john@x.example>, Ann <ann@x.example>",
        "see <https://shop.example/a/b>",
        "I <3 you",
        "<< old <<",
        "-> <- <->",
        "List<String> items",
        "vector<int>",
        "use <your name> here",
        "<notatag>",
        "</ not closed",
        "<p",
        "< p >",
        "if a<i && i>b",
        "&lt;p&gt;",
        "<p and so on",
        "<a b>",
    ],
)
def test_plain_text_stays_plain(content: str) -> None:
    assert not looks_like_html(content)


@pytest.mark.parametrize("piece", ["<a ", "<p x=", "<p \t\n", "<a b", "</a", "<!-", "<", "<a href"])
def test_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    assert not looks_like_html(piece * (2 * SEARCHED_CHARS_MAX // len(piece)))


def test_markup_is_looked_for_at_the_beginning_only() -> None:
    assert not looks_like_html("x" * SEARCHED_CHARS_MAX + "<p>")
