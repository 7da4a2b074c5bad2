"""Nothing that somebody feeds to an SMTP port makes the page fail, and what it shows can be written in UTF-8."""

from hypothesis import example, given
from hypothesis import strategies as st

from outrider.mail import parse

# fmt: off
PIECES = st.sampled_from([
    b"Subject: ", b"From: ", b"Content-Type: ", b"Content-Disposition: ", b"Content-Transfer-Encoding: ",
    b"MIME-Version: 1.0", b"text/plain", b"text/html", b"multipart/mixed", b"message/rfc822",
    b"message/delivery-status", b"attachment", b"; charset=", b"utf-8", b"utf-16", b"utf-7", b"idna",
    b"punycode", b"unicode_escape", b"rot13", b"undefined", b"\x00", b"; boundary=x", b"--x", b"--x--",
    b"; filename=", b"; filename*=", b"utf-7''+2AA-", b"; filename*0*=a''%ff", b'"', b";", b"=", b"base64",
    b"quoted-printable", b"uuencode", b"begin 644 x", b"end", b"YWJj", b"=?utf-8?b?YWJj?=",
    b"=?utf-7?q?+2AA-?=", b"=?", b"?=", b"=?x-unknown?q?a?=", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t",
    b"\xff", b"\xc3\xbc", b":", b"a", b"((((((((((((((((((((",
])
# fmt: on
MESSAGES = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=30).map(b"".join))


@given(MESSAGES)
@example(b"Content-Type: text/plain; charset=undefined\r\n\r\nx")
@example(b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-")
@example(b"Content-Type: a; name*=utf-7''+2AA-\r\n\r\nx")
@example(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: uuencode\r\n\r\nbegin 644 x\r\n!!!\r\n")
def test_any_message_can_be_shown(message: bytes) -> None:
    found = parse.parse(message)
    shown = [found.subject, found.sender, found.to, found.date, found.message_id, found.text or "", found.html or ""]
    for attachment in found.attachments:
        shown += [attachment.name, attachment.type]
        assert attachment.size_bytes >= 0
    for text in shown:
        text.encode()
    assert all(char not in text for text in shown[:5] for char in "\r\n\0")
