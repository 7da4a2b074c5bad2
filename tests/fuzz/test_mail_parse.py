"""Nothing that somebody feeds to an SMTP port makes the page fail, and what it shows can be written in UTF-8."""

import email.policy
from email.message import EmailMessage

from hypothesis import example, given
from hypothesis import strategies as st

from outrider.base import limits
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
LINES = st.sampled_from([
    b"Content-Type: multipart/mixed; boundary=x", b"Content-Type: multipart/digest; boundary=y",
    b"Content-Type: message/rfc822", b"Content-Type: message/partial", b"Content-Type: text/html; charset=utf-7",
    b"Content-Type: text/plain; charset*0*=a'b'c; charset*1=d", b"Content-Type: /",
    b"Content-Disposition: attachment; filename*=utf-8''%ff%", b"Content-Disposition: ;;;=",
    b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: uuencode",
    b"Content-Transfer-Encoding: quoted-printable", b"begin 644 x", b"=?utf-8?q?x?=", b"--x", b"--x--", b"--y", b"",
    b" folded", b"\xff\xfe: \x00",
]) | st.binary(max_size=40)
# fmt: on
MESSAGES = st.one_of(
    st.binary(max_size=200),
    st.lists(PIECES, max_size=30).map(b"".join),
    st.lists(LINES, max_size=30).map(b"\r\n".join),
    st.lists(LINES, max_size=30).map(b"\n".join),
)
HEADS = st.binary(max_size=300) | st.text(alphabet="=?utf-8qQbB _:\r\n\taä", max_size=200).map(str.encode)
PROSE = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")) | st.just("\n"), max_size=200)
CHARSETS = st.text(max_size=12) | st.sampled_from(["utf-16", "big5", "gb18030", "iso-9999", "mac", "iso2022_kr", "hz"])


@given(MESSAGES)
@example(b"Content-Type: text/plain; charset=undefined\r\n\r\nx")
@example(b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-")
@example(b"Content-Type: a; name*=utf-7''+2AA-\r\n\r\nx")
@example(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: uuencode\r\n\r\nbegin 644 x\r\n!!!\r\n")
def test_any_message_can_be_shown(message: bytes) -> None:
    found = parse.parse(message)
    for text in (found.text, found.html):
        (text or "").encode()
    for attachment in found.attachments:
        assert attachment.name.isprintable()
        attachment.type.encode()
        assert attachment.size_bytes >= 0


@given(HEADS | MESSAGES)
def test_any_header_can_be_shown(head: bytes) -> None:
    found = parse.read_header(head).fields
    assert found == parse.parse(head).fields
    for name, value in found:
        assert name == name.lower().strip()
        assert name.isprintable()
        assert len(value.encode().decode()) <= limits.CAUGHT_FIELD_CHARS_MAX
        assert value == value.strip()
        assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in value)


@given(HEADS.filter(lambda head: b"\n" not in head))
def test_words_are_decoded_as_far_as_the_header_goes(value: bytes) -> None:
    """One field stays one field, whatever it holds."""
    assert len(parse.read_header(b"S: " + value).fields) == 1


@given(st.binary(max_size=100), CHARSETS)
def test_any_charset_gives_text(octets: bytes, charset: str) -> None:
    parse.decode_text(octets, charset).encode()


@given(PROSE, PROSE)
def test_what_the_library_builds_is_read_back(text: str, html: str) -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message.set_content(text, cte="base64")
    message.add_alternative(html, subtype="html", cte="base64")
    found = parse.parse(message.as_bytes())
    for read, written in ((found.text, text), (found.html, html)):
        assert (read or "").rstrip("\n") == written.rstrip("\n")
