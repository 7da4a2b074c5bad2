"""A report is cut into its parts however wrong it is put together. Bounds: tests/fuzz/test_mail_report.py."""

import base64
from typing import Final

import pytest

from outrider.base import limits
from outrider.mail import parse, parts

WHOLE: Final = b"""\
Content-Type: multipart/report; report-type=delivery-status;
 boundary="a b"

This is a MIME message.
--a b
Content-Type: multipart/alternative; boundary=inner

--inner

plain
--inner
Content-Type: text/html; charset=utf-8

<p>html
--inner--
--a b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
--a b
Content-Type: message/rfc822

Content-Type: multipart/mixed; boundary=theirs

--theirs

not looked at
--theirs--
--a b--
--a b

behind the end
"""


def kinds(message: bytes) -> list[str]:
    return [part.kind for part in parts.cut(message)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_leaves_come_in_order_and_a_message_is_one_of_them(line_end: bytes) -> None:
    found = parts.cut(WHOLE.replace(b"\n", line_end))
    assert [part.kind for part in found] == ["text/plain", "text/html", "message/delivery-status", "message/rfc822"]
    assert [part.text().strip() for part in found[:3]] == ["plain", "html", "Reporting-MTA: dns; mx.example"]
    assert [(part.is_text, part.is_message) for part in found] == [(1, 0), (1, 0), (0, 0), (0, 1)]
    assert parts.report_type(parse.read_header(WHOLE)) == "delivery-status"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", ["text/plain"]),
        (b"no header\n", ["text/plain"]),
        (b"\n\nbody", ["text/plain"]),
        (b"Content-Type: TEXT/HTML\n\nx", ["text/html"]),
        (b"Content-Type: nonsense\n\nx", ["text/plain"]),
        (b"Content-Type: multipart/mixed\n\n--x\nContent-Type: text/html\n\ny\n--x--", ["text/html"]),
        (b"Content-Type: multipart/mixed; boundary=x\n\nno part", ["text/plain"]),
        (b"Content-Type: multipart/mixed; boundary=x\n\nin --x line", ["text/plain"]),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--xy\nb\n--x", ["text/plain", "text/plain"]),
        (b"Content-Type: multipart/mixed; boundary='x'\n\n--x\nContent-Type: a/b\n\n--x--", ["a/b"]),
        (b"A: b\n\n--x\nContent-Type: message/rfc822\n\nB: c\n--x--", ["message/rfc822"]),
    ],
)
def test_broken_messages_are_cut_as_far_as_they_go(message: bytes, expected: list[str]) -> None:
    assert kinds(message) == expected
    assert kinds(message.replace(b"\n", b"\r\n")) == expected


@pytest.mark.parametrize(
    ("content_type", "encoding", "body", "text"),
    [
        ("text/plain", "", b"a\r\nb\rc\x00", "a\nb\nc"),
        ("text/plain", "", "Grüße".encode(), "Grüße"),
        ("text/plain", "", "Grüße".encode("latin-1"), "Grüße"),
        ("text/plain; charset=us-ascii", "8bit", "Grüße".encode(), "Grüße"),
        ("text/plain; charset=iso-8859-1", "quoted-printable", b"Gr=FC=DFe", "Grüße"),
        ("text/plain; charset=gb2312", "base64", base64.b64encode("退信镕".encode("gb18030")), "退信镕"),
        ("text/plain; charset=us-ascii", "7bit", "配信不能".encode("iso-2022-jp"), "配信不能"),
        ("text/plain; charset=klingon", "", "Ü".encode(), "Ü"),
        ("text/plain; charset*=utf-8''utf-8", "", "Ü".encode(), "Ü"),
        ("text/plain", "BASE64", b"aGVsbG8gd29ybGQ", "hello world"),
        ("text/plain", "base64", b"!", ""),
        ("text/html", "", b"<style>p{}</style><p>a&lt;b@c&gt;<br>d <e@f.example></p>", "\na<b@c>\nd <e@f.example>\n"),
        ("text/html", "", b"<p>&#" + b"9" * 5000 + b";x", "\nx"),
        ("text/html", "", "<style>İ".encode(), "İ"),
    ],
)
def test_words_are_decoded_whatever_is_said_of_them(content_type: str, encoding: str, body: bytes, text: str) -> None:
    head = f"Content-Type: {content_type}\nContent-Transfer-Encoding: {encoding}\n\n"
    (part,) = parts.cut(head.encode() + body)
    assert part.text() == text


def test_a_footer_behind_base64_costs_only_itself() -> None:
    encoded = base64.encodebytes(b"The mail could not be delivered to anybody here. " * 5)
    (part,) = parts.cut(b"Content-Transfer-Encoding: base64\n\n" + encoded + b"_______\nlist footer, with words\n")
    assert part.text().startswith("The mail could not be delivered")


def test_parts_and_levels_are_counted() -> None:
    many = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\ny\n" * 10_000
    assert len(parts.cut(many)) < limits.REPORT_PARTS_COUNT_MAX
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (at, at) for at in range(1000))
    (leaf,) = parts.cut(deep)
    assert leaf.kind == "text/plain"


def test_only_the_beginning_is_looked_at() -> None:
    large = b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\n" + b"y" * limits.REPORT_BYTES_MAX + b"\n--x\n\nz"
    (part,) = parts.cut(large)
    assert len(part.body) < limits.REPORT_BYTES_MAX
    assert len(part.text()) == limits.REPORT_TEXT_CHARS_MAX
