"""Texts of whole messages: which are found and which never, and that they come back as they stood."""

import email
import email.policy
import time
from email.message import EmailMessage

import pytest

from outrider.mail import leaves
from outrider.mail.leaves import NOTHING, Found, Leaf

HEAD = b"From: a@shop.example\r\nTo: b@partner.example\r\nSubject: Hi\r\nMIME-Version: 1.0\r\n"
HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Hi</p>\r\n"
PLAIN = b"Content-Type: text/plain\r\n\r\nHi\r\n"
PDF = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"


def multi(kind: str, *parts: bytes, boundary: str = "b1") -> bytes:
    """Return a multipart with its header fields."""
    mark = f"--{boundary}".encode()
    inner = b"".join(b"%b\r\n%b\r\n" % (mark, part) for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode() + inner + mark + b"--\r\n"


def contents(found: Found) -> tuple[str | None, str | None]:
    return found.html and found.html.content, found.text and found.text.content


def html_of(message: bytes) -> Leaf:
    leaf = leaves.find(message).html
    assert leaf is not None
    return leaf


DEEP = multi("mixed", multi("related", multi("alternative", PLAIN, HTML, boundary="b3"), PDF, boundary="b2"), PDF)


@pytest.mark.parametrize(
    ("body", "html", "text"),
    [
        (HTML, "<p>Hi</p>\n", None),
        (PLAIN, None, "Hi\n"),
        (b"\r\nHi\r\n", None, "Hi\n"),
        (b"\r\n", None, ""),
        (DEEP, "<p>Hi</p>\n", "Hi\n"),
        (multi("mixed", HTML, HTML.replace(b"Hi", b"Two"), PLAIN), "<p>Hi</p>\n", "Hi\n"),
        (multi("mixed", b"Content-Disposition: attachment\r\n" + HTML, PLAIN), None, "Hi\n"),
        (multi("mixed", b'Content-Disposition: inline; filename="a"\r\n' + HTML, PLAIN), None, "Hi\n"),
        (multi("mixed", b"Content-Disposition: inline\r\n" + HTML), "<p>Hi</p>\n", None),
        (multi("mixed", PLAIN.replace(b"plain", b"plain; name=a.txt"), HTML), "<p>Hi</p>\n", None),
        (multi("mixed", b"Content-Type: message/rfc822\r\n\r\n" + HEAD + HTML, PLAIN), None, "Hi\n"),
        (multi("mixed", multi("digest", HTML, boundary="b2"), PLAIN), None, "Hi\n"),
        (multi("report", HTML), None, None),
        (multi("mixed", b'Content-Type: application/pdf; name="\xfc\\".pdf"\r\n\r\nx', HTML), "<p>Hi</p>\n", None),
        (multi("mixed", b"Content-Type: nonsense\r\n\r\nx", HTML), "<p>Hi</p>\n", None),
        (multi("alternative", HTML, boundary="----=_Part_1").replace(b'"', b""), "<p>Hi</p>\n", None),
        (b"Content-Type: text/html; charset=iso-8859-1\r\n\r\n\xfc", "ü", None),
        (b"Content-Type: text/html; charset=gb2312\r\n\r\n\xc4\xe3", "你", None),
        (b"Content-Type: text/html\r\n\r\n\xc3\xbc", "ü", None),
        (b"Content-Type: text/html\r\nContent-Transfer-Encoding: BASE64\r\n\r\nPHA+\r\nCg==", "<p>\n", None),
        (b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC=\r\nx", "üx", None),
    ],
)
def test_what_readers_show_is_found(body: bytes, html: str | None, text: str | None) -> None:
    assert contents(leaves.find(HEAD + body)) == (html, text)


BOTH = multi("alternative", PLAIN, HTML)
SEALED_BODIES = [
    pytest.param(multi("signed", HTML, PDF), id="signed"),
    pytest.param(multi("encrypted", HTML, PDF), id="encrypted"),
    pytest.param(multi("mixed", multi("signed", HTML, PDF, boundary="b2"), PLAIN), id="signed-in-a-list"),
    pytest.param(multi("mixed", HTML, b"Content-Type: application/pkcs7-mime\r\n\r\nAAAA"), id="smime"),
    pytest.param(
        multi("mixed", HTML, b"Content-Type: application/octet-stream; name=smime.P7M\r\n\r\n"), id="smime-by-name"
    ),
    pytest.param(multi("mixed", HTML, b"Content-Type: application/pgp-encrypted (x)\r\n\r\n"), id="pgp-odd"),
    pytest.param(multi("mixed", PLAIN.replace(b"Hi", b"-----BEGIN PGP MESSAGE-----"), HTML), id="pgp-inline"),
]
UNCLEAR_BODIES = [
    pytest.param(BOTH.removesuffix(b"--b1--\r\n"), id="not-closed"),
    pytest.param(multi("mixed"), id="without-parts"),
    pytest.param(multi("mixed", BOTH), id="boundary-twice"),
    pytest.param(multi("mixed", multi("mixed", HTML, boundary="b2").replace(b"--b2--", b"")), id="inner-not-closed"),
    pytest.param(multi("mixed", HTML, boundary="b1--"), id="boundary-that-ends-itself"),
    pytest.param(BOTH.replace(b'boundary="b1"', b"boundary*=us-ascii''b1"), id="boundary-of-rfc2231"),
    pytest.param(BOTH.replace(b'boundary="b1"', b"boundary=b1; boundary=b2"), id="two-boundaries"),
    pytest.param(BOTH.replace(b'; boundary="b1"', b""), id="no-boundary"),
    pytest.param(BOTH.replace(b'"b1"', b'"b1" (x)', 1), id="comment"),
    pytest.param(b"Content-Transfer-Encoding: base64\r\n" + BOTH, id="encoded-multipart"),
    pytest.param(multi("mixed", b"Content-Type: text/plain\r\n" + HTML), id="type-twice"),
    pytest.param(multi("mixed", b"no field\r\n" + HTML), id="no-field"),
    pytest.param(multi("mixed", HTML, b"Content-Type: text/plain"), id="header-not-ended"),
    pytest.param(multi("mixed", *([PLAIN] * 600)), id="too-many"),
]


@pytest.mark.parametrize("body", [*SEALED_BODIES, *UNCLEAR_BODIES])
def test_what_is_sealed_or_unclear_is_not_touched(body: bytes) -> None:
    assert leaves.find(HEAD + body) == NOTHING


def test_levels_are_bounded() -> None:
    for depth, is_found in ((10, True), (11, False)):
        body = HTML
        for level in range(depth):
            body = multi("mixed", body, boundary=f"b{level}")
        assert (leaves.find(HEAD + body).html is not None) == is_found


@pytest.mark.parametrize(
    "leaf",
    [
        b"Content-Type: text/html; charset=utf-8\r\n\r\n\xff",
        b"Content-Type: text/html; charset=utf-7\r\n\r\nx",
        b"Content-Type: text/html; charset=nobody\r\n\r\nx",
        b"Content-Type: text/html; charset=utf-16\r\n\r\nx\0",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nx",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+x\r\n",
        b"Content-Type: text/html\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n\r\nx",
        b"Content-Type: text/html\r\n\r\n" + b"<p>Hi</p>\r\n" * 100_000,
    ],
    ids=["octets", "utf-7", "charset", "nul", "encoding", "base64", "md5", "large"],
)
def test_a_text_that_cannot_be_read_stays_and_others_do_not_suffer(leaf: bytes) -> None:
    assert contents(leaves.find(HEAD + multi("mixed", leaf, PLAIN))) == (None, "Hi\n")


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "us-ascii", "koi8-r", "iso-2022-jp"])
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_it_keeps_its_encoding_and_charset(charset: str, encoding: str) -> None:
    if charset == "iso-2022-jp" and encoding == "8bit":
        encoding = "7bit"
    words = {"koi8-r": "привет", "iso-2022-jp": "日本", "us-ascii": "hello"}.get(charset, "Grüße")
    made = EmailMessage(policy=email.policy.SMTP)
    made["Subject"] = "Hi"
    made.set_content("Hi\n")
    made.add_alternative(f"<p>{words}</p>\n", subtype="html", charset=charset, cte=encoding)
    raw = made.as_bytes()
    leaf = html_of(raw)
    new = leaves.rewritten(raw, [(leaf, f"{leaf.content}<a href='https://x.example/=3D'>{words}€</a>\n")])
    assert (new[: leaf.start], new[new.rindex(b"\r\n--") :]) == (raw[: leaf.start], raw[raw.rindex(b"\r\n--") :])
    parsed = email.message_from_bytes(new, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    part = parsed.get_body(("html",))
    assert part is not None
    euro = "€" if charset in ("utf-8", "us-ascii") else "&#8364;"
    shown = part.get_payload(decode=True)
    assert isinstance(shown, bytes)
    read_as = "utf-8" if charset == "us-ascii" else charset
    assert shown.decode(read_as).replace("\r\n", "\n") == (
        f"<p>{words}</p>\n<a href='https://x.example/=3D'>{words}{euro}</a>\n"
    )
    assert contents(leaves.find(new))[1] == "Hi\n"


def test_what_does_not_change_stays_octet_for_octet() -> None:
    odd = b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41=\r\n=42 \r\n"
    raw = HEAD + multi("mixed", odd, PLAIN)
    leaf = html_of(raw)
    assert leaves.rewritten(raw, [(leaf, leaf.content)]) is raw
    text = leaves.find(raw).text
    assert text is not None
    assert leaves.rewritten(raw, [(leaf, leaf.content), (text, "Ho\n")]) == raw.replace(b"\r\n\r\nHi", b"\r\n\r\nHo")


def test_line_ends_of_an_encoded_text_stay_what_they_are() -> None:
    for encoding, octets in ((b"base64", b"PHA+Cgo="), (b"quoted-printable", b"<p>=0A=0A")):
        raw = HEAD + b"Content-Type: text/html\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (encoding, octets)
        leaf = html_of(raw)
        assert leaf.content == "<p>\n\n"
        again = html_of(leaves.rewritten(raw, [(leaf, leaf.content + "x" * 100 + "\n")]))
        assert again.content == "<p>\n\n" + "x" * 100 + "\n"


def test_no_line_becomes_a_delimiter() -> None:
    leaf = b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nx\r\n"
    raw = HEAD + multi("mixed", leaf, PLAIN)
    for content in ("--b1\n--b1--\n", "y" * 75 + "--b1", "z\n--b1"):
        again = leaves.rewritten(raw, [(html_of(raw), content)])
        assert contents(leaves.find(again)) == (content, "Hi\n")


@pytest.mark.parametrize("piece", [b"--\r\n", b"--b1", b"a:\r\n", b"; ", b'"', b"--b1 \r\n", b"\r\n--b1--"])
def test_nothing_takes_long(piece: bytes) -> None:
    many = piece * (200_000 // len(piece))
    started_s = time.process_time()
    for raw in (
        HEAD + b"Content-Type: multipart/mixed; boundary=b1\r\n\r\n" + many,
        HEAD + b"Content-Type: text/html; a=" + many + b"\r\n\r\n",
        HEAD + many,
        HEAD + multi("mixed", many),
    ):
        leaves.find(raw)
    assert time.process_time() - started_s < 1.0
