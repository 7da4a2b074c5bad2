"""The text that is made of HTML."""

import pytest

from outrider.mail.plain import to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two<br>Three</p>", "One\n\nTwo\nThree\n"),
        ("<h1>A &amp; b</h1>\n  <div>c  d</div><div>e</div>", "A & b\n\nc d\ne\n"),
        ('<a href="https://x.example/?a=1&amp;b=2">here</a>', "here (https://x.example/?a=1&b=2)\n"),
        ('<a href="https://x.example">https://x.example</a>', "https://x.example\n"),
        ('<a href="mailto:a@b.example">a@b.example</a>', "a@b.example\n"),
        ('<a href="#top">up</a><a name="x">y</a>', "upy\n"),
        ('<a href="https://x.example"><img src="y" alt="Logo"></a>', "Logo (https://x.example)\n"),
        ("<ul><li>a</li><li>b<ol><li>c</li><li>d</li></ol></li></ul>", "- a\n- b\n  1. c\n  2. d\n"),
        ("<table><tr><td>a</td><td>1</td></tr><tr><td>b</td></tr></table>", "a 1\nb\n"),
        ("<pre>a\n  b</pre>", "a\n  b\n"),
        ("a<hr>b", "a\n\n---\n\nb\n"),
        ("<head><title>t</title></head><style>x</style><script>y</script>z", "z\n"),
        ('<div style="display: none">a<div>b</div></div>c', "c\n"),
        ("a<!-- b -->c<!--[if mso]>d<![endif]-->", "ac\n"),
        ("a\u200b\xa0b", "a b\n"),
        ("", ""),
    ],
)
def test_html_is_read_aloud(html: str, text: str) -> None:
    assert to_text(html) == text


def test_comments_that_are_more_are_kept_even_where_they_are_hidden() -> None:
    html = "a<!--block--><!--value--><div style='display:none'><!--block--><!--value--></div>"
    assert to_text(html, keeps=lambda comment: comment == "block") == "ablockvalueblock\n"
