"""What the lint finds, and that a mail in order has nothing to be told of."""

from time import process_time

import pytest

from outrider.base.vocab import Stream
from outrider.policy import lint

WORDS = "Thank you for your order at our shop, it will be with you on Thursday."
LINKS = '<a href="https://shop.example/o/1">shop.example</a> <a href="#top">Up</a>'
GOOD = f'<p>{WORDS}</p><p>{LINKS}<img src="cid:a" alt=""></p>'


def codes(html: str | None = GOOD, **wishes: object) -> list[str]:
    mail: dict[str, object] = {
        "subject": "Your order",
        "text": WORDS,
        "stream": Stream.TRANSACTIONAL,
        "has_unsubscribe": False,
    }
    return [fault.code for fault in lint.check(html=html, **{**mail, **wishes})]  # type: ignore[arg-type]


def test_a_mail_in_order_has_no_faults() -> None:
    assert codes() == []
    assert codes(None) == []
    assert codes(stream=Stream.MARKETING, has_unsubscribe=True) == []


@pytest.mark.parametrize(
    ("added", "code"),
    [
        ("<script>x</script>", "element_forbidden"),
        ("<iframe src='https://x.example'></iframe>", "element_forbidden"),
        ("<form></form>", "element_forbidden"),
        ("<object></object>", "element_forbidden"),
        ("<embed>", "element_forbidden"),
        ("<p onclick='x()'>a</p>", "handler"),
        ("<a href='JavaScript:x()'>a</a>", "link_script"),
        ("<a href='data:text/html,x'>a</a>", "link_script"),
        ("<a href=''>a</a>", "link_empty"),
        ("<a href='#'>a</a>", "link_empty"),
        ("<a href='https://'>a</a>", "link_empty"),
        ("<a href='/o/1'>a</a>", "link_relative"),
        ("<a href='www.shop.example'>a</a>", "link_relative"),
        ("<a href='http://localhost:8080/x'>a</a>", "link_local"),
        ("<a href='http://10.0.0.1/x'>a</a>", "link_local"),
        ("<a href='http://[::1]/x'>a</a>", "link_local"),
        ("<a href='https://shop.example/{{ id }}'>a</a>", "tag_left"),
        ("Hi {{ name }}", "tag_left"),
        ("Hi %%first_name%%", "tag_left"),
        ("Hi *|FNAME|*", "tag_left"),
        ("<a href='https://evil.test/'>https://bank.example/login</a>", "link_mismatch"),
        ("<a href='https://evil.test/'>bank.com</a>", "link_mismatch"),
        ("<a href='https://evil.test/'> Bank.co.uk/login </a>", "link_mismatch"),
        ("<a href='https://evil.test/bank.pl'>bank.pl</a>", "link_mismatch"),
        ("<a href='https://evil.test/'>www.bank.example</a>", "link_mismatch"),
        ("<a href='https://evil.test/'>https://bank.zip</a>", "link_mismatch"),
        ("<img src='https://shop.example/a.png'>", "alt_missing"),
        ("<img alt='' src='data:image/png;base64,AAAA'>", "image_inline"),
        ("<img alt='' src='/a.png'>", "image_broken"),
        ("<i>x</i>" * 15_000, "size_clipped"),
    ],
)
def test_each_fault_is_found_by_itself(added: str, code: str) -> None:
    assert codes(GOOD + added) == [code]


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ({"text": None}, "text_missing"),
        ({"text": " \n"}, "text_missing"),
        ({"subject": " "}, "subject_missing"),
        ({"subject": "BUY NOW AND SAVE"}, "subject_shouts"),
        ({"subject": "Hello!!!"}, "subject_shouts"),
        ({"subject": "Hi {{ name }}"}, "tag_left"),
        ({"stream": Stream.MARKETING}, "unsubscribe_missing"),
        ({"html": "<img src='https://x.example/a.png' alt='x'>"}, "images_only"),
    ],
)
def test_each_fault_of_the_whole_is_found_by_itself(wishes: dict[str, object], code: str) -> None:
    assert codes(**wishes) == [code]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "link",
    [
        "<a href='https://shop.example/x'>Unsubscribe</a>",
        "<a href='https://shop.example/unsubscribe?u=1'>here</a>",
        "<a href='https://shop.example/x'>Hier <b>abmelden</b></a>",
        "<a href='https://shop.example/x'>退订</a>",
    ],
)
def test_a_link_that_says_so_is_a_way_to_unsubscribe(link: str) -> None:
    assert codes(GOOD + link, stream=Stream.MARKETING) == []


@pytest.mark.parametrize("subject", ["OTP 12345", "DHL", "CSS and HTML", "Really!"])
def test_short_capitals_are_no_shouting(subject: str) -> None:
    assert codes(subject=subject) == []


@pytest.mark.parametrize(
    "link",
    [
        "<a href='https://click.shop.example/1'>www.shop.example</a>",
        "<a href='mailto:a@shop.example'>a@shop.example</a>",
        "<a href='tel:+1'>call</a>",
        "<a name='x'>y</a>",
        "<a href='https://files.shop.example/2026/invoice.pdf'>invoice.pdf</a>",
        "<a href='https://files.shop.example/?id=7'>report.2026.xlsx</a>",
        "<a href='https://files.shop.example/?id=7'>photos.zip</a>",
        "<a href='https://shop.example/'>Node.js</a>",
    ],
)
def test_ordinary_links_are_no_fault(link: str) -> None:
    assert codes(GOOD + link) == []


def test_errors_come_first_and_each_is_told_once_with_its_place() -> None:
    html = GOOD + "<img src='https://shop.example/a.png'><a href='/1'>x</a><a href='/2'>y</a>"
    faults = lint.check(subject="s", html=html, text="t", stream=Stream.TRANSACTIONAL, has_unsubscribe=False)
    assert [(fault.code, fault.is_error, fault.where) for fault in faults] == [
        ("link_relative", True, "/1"),
        ("alt_missing", False, "https://shop.example/a.png"),
    ]
    assert faults[0].sentence.endswith("(2 times)")


@pytest.mark.parametrize("piece", ["<a href=x>", "{{", "%%a", "*|A", "<img>", "a.", "<p on", "<a href='http://x.y'>a."])
def test_hostile_html_is_read_in_linear_time(piece: str) -> None:
    html = piece * (200_000 // len(piece))
    started_s = process_time()
    codes(html, text=html)
    assert process_time() - started_s < 2.0
