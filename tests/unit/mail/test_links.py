"""Links: what is written anew and what is not; that nothing else changes; that no input costs more than its size."""

import re
import time
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from outrider.mail.link_tokens import HONEY_NUMBER, TARGET_BYTES_MAX
from outrider.mail.links import Plan, Rewriting, plan_html, plan_text, with_footer, with_text_footer
from outrider.mail.translate import UNSUBSCRIBE_MARK

CLICKS = Rewriting(clicks=True)
MAILS = sorted((Path(__file__).parents[2] / "data" / "mails").glob("*.html"))


def targets(plan: Plan) -> list[str]:
    return [slot.target for slot in plan.slots]


class Tokens(HTMLParser):
    """All that a parser of others sees, hrefs that are slots left out."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self.seen: list[object] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, [(name, None if name == "href" else value) for name, value in attrs]))

    def handle_endtag(self, tag: str) -> None:
        self.seen.append(("/", tag))

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    def handle_comment(self, data: str) -> None:
        self.seen.append(("comment", re.sub(r"href=\S+", "", data)))

    def handle_entityref(self, name: str) -> None:
        self.seen.append(("entity", name))


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_of_real_mails_only_links_change(path: Path) -> None:
    source = path.read_text("utf-8")
    plan = plan_html(source, CLICKS)
    wanted = re.search(r"<!-- targets: (\d+) -->", source)
    assert wanted is not None
    assert len(plan.slots) == int(wanted[1])
    assert [slot.number for slot in plan.slots] == list(range(1, len(plan.slots) + 1))
    marks = [f"https://t.example/t/{number}-" for number in range(len(plan.slots))]
    written = plan.written(marks)
    assert Tokens(written).seen == Tokens(source).seen
    at, literals = 0, list(plan.literals)
    for literal in literals:  # What is kept stands in the source, in order, octet for octet.
        at = source.index(literal, at) + len(literal)
    assert source.endswith(literals[-1])


def test_there_are_mails_to_try() -> None:
    assert len(MAILS) >= 15


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ('<a href="https://a.example/?x=1&amp;y=2">', ["https://a.example/?x=1&y=2"]),
        ("<A HREF='HTTP://a.example'>", ["HTTP://a.example"]),
        ("<a href=https://a.example/x class=y>", ["https://a.example/x"]),
        ('<a href=" https://a.example/\n x ">', ["https://a.example/ x"]),
        ('<area shape="rect" href="https://a.example">', ["https://a.example"]),
        ('<a href="https://a.example" href="https://b.example">', ["https://a.example"]),
        ('<base href="https://a.example/d/"><a href="../x">', ["https://a.example/x"]),
        ('<!--[if mso]><v:roundrect href="https://a.example"><![endif]-->', ["https://a.example"]),
        ('<!--[if !mso]><!--><a href="https://a.example"><!--<![endif]-->', ["https://a.example"]),
        ('<!-- <a href="https://a.example"> -->', []),
        ('<style>a{} /* <a href="https://a.example"> */</style>', []),
        ('<a data-no-track href="https://a.example">', []),
        ('<a data-href="https://a.example">', []),
        ('<link href="https://a.example"><img src="https://a.example">', []),
        ('<a href="#x"><a href="mailto:a@b.example"><a href="tel:1"><a href="javascript:x()"><a href="cid:1">', []),
        ('<a href="/relative"><a href=""><a href><a href="https://">', []),
        (f'<a href="{UNSUBSCRIBE_MARK}"><base href="https://a.example">', []),
        ('<a href="https://a.example/\x00x">', []),
        (f'<a href="https://a.example/{"x" * TARGET_BYTES_MAX}">', []),
        ('<a href="https://a.example', []),
        ('<p>1 < 2 <a href="https://a.example">', ["https://a.example"]),
        # Where a redirect can lead, and where it cannot.
        ('<a href="https://user@m\u00fcller.example/x">', ["https://user@m\u00fcller.example/x"]),
        ('<a href="https://m\u00fc..example"><a href="https://\U0001f355.example"><a href="https://u@/x">', []),
        ('<a href="https://a.example/?a=1&copy=2&notify=3">', ["https://a.example/?a=1&copy=2&notify=3"]),
        (f'<a href="https://a.example/?&#{"9" * 5000}">', ["https://a.example/?\ufffd"]),
    ],
)
def test_what_is_a_link(source: str, wanted: Sequence[str]) -> None:
    assert targets(plan_html(source, CLICKS)) == wanted


def test_excluded_hosts_and_our_own_pages_stay() -> None:
    rewriting = Rewriting(
        clicks=True,
        excluded_hosts=("no.example", "*.below.example", "[2001:db8::1]", "xn--mller-kva.example"),
        own_urls=("https://us.example",),
    )
    hosts = [
        "no.example",
        "NO.example.:8080",
        "m\u00fcller.example",
        "u@M\u00dcLLER.example:1",
        "xn--mller-kva.example",
        "x@no.example",
        "a.below.example",
        "[2001:DB8::1]:80",
        "us.example/unsubscribe?token=1",
    ]
    assert targets(plan_html("".join(f'<a href="https://{host}">' for host in hosts), rewriting)) == []
    others = ["https://a.no.example", "https://below.example", "https://us.example.evil"]
    assert targets(plan_html("".join(f'<a href="{url}">' for url in others), rewriting)) == others


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://a.example", "https://a.example?utm_source=a%20b"),
        ("https://a.example/?x#f", "https://a.example/?x&utm_source=a%20b#f"),
        ("https://a.example/?utm_source=theirs", "https://a.example/?utm_source=theirs"),
        ("https://a.example/?x=1&", "https://a.example/?x=1&utm_source=a%20b"),
    ],
)
def test_parameters_are_appended_with_and_without_tracking(url: str, wanted: str) -> None:
    utm = (("utm_source", "a b"),)
    assert targets(plan_html(f'<a href="{url}">', Rewriting(clicks=True, utm=utm))) == [wanted]
    plan = plan_html(f'<a href="{url}">', Rewriting(utm=utm))
    assert plan.written([]) == f'<a href="{wanted.replace("&", "&amp;")}">'


def test_pixel_and_honey_link_stand_before_the_end_of_the_body() -> None:
    source = '<body><a href="https://a.example">x</a><!-- </body> --></body></html>'
    plan = plan_html(source, Rewriting(clicks=True, pixel=True, honey=True))
    assert [slot.number for slot in plan.slots] == [1, HONEY_NUMBER, 0]
    written = plan.written(["U1", "U2", "U3"])
    assert written.startswith('<body><a href="U1">x</a><!-- </body> --><a href="U2" style="display:none"')
    assert re.search(r'<img src="U3"[^>]*></body></html>\Z', written)
    assert plan_html("<p>x", Rewriting(pixel=True)).written(["U"]).startswith('<p>x<img src="U"')
    assert plan_html("<p>x", Rewriting(clicks=True, honey=True)).slots == ()


def test_links_behind_the_body_keep_their_places() -> None:
    source = '<a href="https://a.example"></body><a href="https://b.example">'
    plan = plan_html(source, Rewriting(clicks=True, pixel=True))
    assert [slot.number for slot in plan.slots] == [1, 0, 2]
    assert plan.written(["1", "P", "2"]).endswith('</body><a href="2">')


def test_links_in_text_end_where_the_sentence_goes_on() -> None:
    source = "See (https://a.example/x_(y)). <https://b.example>, https://c.example!"
    plan = plan_text(source, CLICKS, is_on=True)
    assert targets(plan) == ["https://a.example/x_(y)", "https://b.example", "https://c.example"]
    assert plan.written(["1", "2", "3"]) == "See (1). <2>, 3!"
    assert plan_text(source, CLICKS, is_on=False).written([]) == source


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        # A sentence in other signs than ASCII's goes on at once.
        ("请访问：https://shop.example/x。谢谢您的支持，再见", "请访问：{}。谢谢您的支持，再见"),
        ("请访问https://shop.example/x，谢谢", "请访问{}，谢谢"),
        ("（https://shop.example/x）和https://shop.example/x。", "（{}）和{}。"),
        ("Voir «https://shop.example/x» maintenant", "Voir «{}» maintenant"),
        ("Siehe “https://shop.example/x” bald", "Siehe “{}” bald"),
        ("See https://shop.example/x… now", "See {}… now"),
        ("See https://shop.example/x—it is good", "See {}—it is good"),
        ("https://shop.example/x\u200bb https://shop.example/x\u00a0b", "{}\u200bb {}\u00a0b"),
        ("a https://shop.example/x|b `https://shop.example/x`", "a {}|b `{}`"),
        ("https://shop.example/x｜https://shop.example/x", "{}｜{}"),
        ("_https://shop.example/x_ **https://shop.example/x**", "_{}_ **{}**"),
        ("[here](https://shop.example/x), {https://shop.example/x}", "[here]({}), {{{}}}"),
        ("xhttps://shop.example/x 1https://shop.example/x", "xhttps://shop.example/x 1https://shop.example/x"),
        # Where letters of another script follow, or emoji, nobody can tell where the link ends.
        ("https://zh.wiki.example/wiki/日本", "https://zh.wiki.example/wiki/日本"),
        ("https://例え.jp/x https://www.例え.jp/x", "https://例え.jp/x https://www.例え.jp/x"),
        ("https://a.example和https://shop.example/x", "https://a.example和https://shop.example/x"),
        ("https://a.example/日本?u=https://shop.example/x", "https://a.example/日本?u=https://shop.example/x"),
        ("https://i❤.example/x https://a🍕.example", "https://i❤.example/x https://a🍕.example"),
        ("https://api.example/users/{id}", "https://api.example/users/{{id}}"),
        ("http\u017f://shop.example/x", "http\u017f://shop.example/x"),
    ],
)
def test_nothing_of_a_text_is_lost(source: str, wanted: str) -> None:
    plan = plan_text(source, CLICKS, is_on=True)
    assert set(targets(plan)) <= {"https://shop.example/x"}
    urls = [f"<{number}>" for number in range(len(plan.slots))]
    assert plan.written(urls) == wanted.format(*urls)


@pytest.mark.parametrize(
    "url",
    [
        "https://müller.example/x",
        "https://de.wiki.example/wiki/Köln",
        "https://пример.рф/путь",
        "https://shop.example",
        "https://shop.example/?a[]=1&b=%20#c",
        "https://user@[::1]:80/",
    ],
)
def test_links_in_text_may_have_letters_of_scripts_with_blanks_between_words(url: str) -> None:
    plan = plan_text(f"“{url}” ({url})。", CLICKS, is_on=True)
    assert targets(plan) == [url, url]
    assert plan.written(["1", "2"]) == "“1” (2)。"


@pytest.mark.parametrize("swallowing", ["<!-- x", '<a href="x', "<title>", "<script>x", "</p"])
def test_pixel_and_footer_are_not_swallowed_by_what_is_never_closed(swallowing: str) -> None:
    assert with_footer(f"<p>x</p>{swallowing}").endswith(f"</a></div>{swallowing}")
    written = plan_html(f"<p>x</p>{swallowing}", Rewriting(pixel=True)).written(["U"])
    assert re.fullmatch(rf'<p>x</p><img src="U"[^>]*>{re.escape(swallowing)}', written)
    assert with_footer(swallowing).endswith(swallowing)


def test_a_footer_has_the_mark() -> None:
    assert with_footer("<body>x</body>").endswith(f'<a href="{UNSUBSCRIBE_MARK}">Unsubscribe</a></div></body>')
    assert with_text_footer("x") == f"x\n-- \nUnsubscribe: {UNSUBSCRIBE_MARK}\n"


HOSTILE = {
    "open_tags": "<a ",
    "open_values": '<a href="',
    "quotes_in_turn": "<a href='\"",
    "values_without_quotes": "<a href=x ",
    "spaces": "<a" + " " * 200,
    "slashes": "<a" + "/" * 200,
    "equals": "<a =" + "=" * 200,
    "names": "<a" + " b" * 100,
    "less_than": "<",
    "less_than_slash": "</",
    "end_tags_that_are_none": "</ >",
    "comments": "<!--",
    "comments_of_dashes": "<!--" + "-" * 200 + "!",
    "comments_that_end_at_once": "<!-->",
    "declarations": "<!x",
    "cdata": "<![CDATA[",
    "cdata_in_svg": "<svg><![CDATA[",
    "svg_in_svg": "<svg>",
    "ends_in_svg": "<svg><desc></p></x>",
    "svg_left_and_entered": "<svg><desc><svg></desc><p>",
    "conditionals": "<!--[if mso]>",
    "conditionals_closed": '<!--[if mso]><a href="https://a.example/"><!-->',
    "conditional_words": "<!--[if " + "x" * 200,
    "styles": "<style>",
    "styles_closed": "<style></style>",
    "style_ends": "<style></styles>",
    "scripts": "<script>",
    "scripts_in_comments": "<script><!--<script>",
    "dashes_in_a_script": "<script><!--" + "-" * 200,
    "references": "<a href=https://x?" + "&amp;" * 40 + ">",
    "ampersands": '<a href="https://x/' + "&" * 200 + '">',
    "numbers": '<a href="https://x/&#' + "1" * 400 + '">',
    "long_names": '<a href="https://x/&' + "a" * 400 + '">',
    "line_breaks": '<a href="https://x/' + "\n" * 200 + '">',
    "links": '<a href="https://a.example/">',
    "bases": "<base href=https://a.example/>",
    "dots_and_a_base": '<base href="https://a.example/a/"><a href="' + "../" * 100 + '">',
    "brackets": '<a href="https://[[[[/">',
    "users": '<a href="https://' + "a@" * 200 + '">',
    "ports": '<a href="https://x' + ":1" * 200 + '">',
    "parameters": '<a href="https://x/?' + "a&" * 200 + '">',
    "bodies": "</body>",
}
# What is one thing in the whole mail: its size grows, not its number.
HOSTILE_WHOLE = {
    "one_tag": ("<a ", "b=c ", ">"),
    "one_tag_of_quotes": ("<a ", 'b="\'" ', ">"),
    "one_tag_never_closed": ("<a ", "b=c ", ""),
    "one_value_never_closed": ('<a href="', "<a href='x'>", ""),
    "one_value": ('<a href="https://x/', "&amp;&", '">'),
    "one_number": ('<a href="https://x/&#', "1", '">'),
    "one_host": ('<a href="https://', "a.", '">'),
    "one_comment": ("<!--", "--", ">"),
    "one_conditional": ("<!--[if mso]>", "<a href=https://x/>", "-->"),
    "one_style": ("<style>", "</", ""),
    "one_script": ("<script>", "<!-- <script>", ""),
}


def cost_s(source: str) -> float:
    tries = []
    for _ in range(2):
        began = time.thread_time()
        plan_html(source, Rewriting(clicks=True, pixel=True, honey=True, utm=(("utm_source", "x"),)))
        with_footer(source)
        tries.append(time.thread_time() - began)
    return min(tries)


@pytest.mark.parametrize("name", [*HOSTILE, *HOSTILE_WHOLE])
def test_no_markup_costs_more_than_its_size(name: str) -> None:
    before, piece, after = HOSTILE_WHOLE.get(name) or ("", HOSTILE[name], "")

    def sized(chars: int) -> str:
        return before + piece * (chars // len(piece)) + after

    assert cost_s(sized(160_000)) < 8 * cost_s(sized(40_000)) + 0.02, (
        "4 times the size; squared it is 16 times the work"
    )


@pytest.mark.parametrize(
    "piece",
    [
        "https://",
        "https://a.example/((((",
        "))))",
        "https://a.example/....",
        "(https://x)",
        "https://日",
        "日",
        "https://日 ",
    ],
)
def test_no_text_costs_more_than_its_size(piece: str) -> None:
    assert len(plan_text(piece * (400_000 // len(piece)), CLICKS, is_on=True).literals) > 0
