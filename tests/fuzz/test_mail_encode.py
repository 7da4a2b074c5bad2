"""Whatever the message: what a leaf decodes to stays, any server can take it, and it costs little."""

import email
import email.policy
import time
from email.message import Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.mail import encode

LINES = st.sampled_from(
    [
        b"a",
        b" ",
        b"",
        b".",
        b"\t",
        b"=",
        b"=3D",
        b"--",
        b"--b",
        b"--c",
        b"-- ",
        "Grüße".encode(),
        b"\xff\xfe",
        b"\0",
        b"x" * 74 + b"--b",
        b"y" * 1500,
        b"From x",
        b"X: y",
        b"\xe4" * 400,
    ]
)
# Bodies as SMTP carries them: lines. Delimiters of the structure around are not among them.
BODIES = st.lists(LINES, max_size=8).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines if line not in (b"--b", b"--c"))
)
TYPES = st.sampled_from(
    [
        b"",
        b"Content-Type: text/plain; charset=iso-8859-1\r\n",
        b"Content-Type: text/html;\r\n charset=utf-8\r\n",
        b"Content-Type: image/png; name=x\r\n",
        b"content-type: application/json\r\n",
    ]
)
LABELS = st.sampled_from(
    [
        b"",
        b"Content-Transfer-Encoding: 8bit\r\n",
        b"content-transfer-encoding: BINARY\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"X-Other: y\r\n",
    ]
)
LEAVES = st.builds(lambda kind, label, body: kind + label + b"\r\n" + body, TYPES, LABELS, BODIES)
# Pieces of structure in any order: no MIME that anybody would write.
PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b'Content-Type: multipart/digest;\r\n boundary="c d"\r\n',
        b"Content-Type: message/rfc822\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"--b\r\n",
        b"--b--\r\n",
        b"--c d\r\n",
        b"--c d--  \r\n",
        b"\xff\r\n",
        b"\0",
        b"\r",
        b"\n",
        b"z" * 1200,
        b"no field\r\n",
        "Subject: Grüße\r\n".encode(),
        b"MIME-Version: 1.0\r\n",
        b"aGVsbG8=\r\n",
        b"Content-Type: multipart/mixed\r\n",
        b" \t" * 600,
        b"--",
        b"-",
        b":",
        b"X:" + b"\xc3\xa4" * 600 + b"\r\n",
    ]
)
HOSTILE = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=30).map(b"".join))


def multipart(boundary: bytes, parts: list[bytes]) -> bytes:
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    return head + b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def enclosed(message: bytes) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n" + message


INNER = st.one_of(
    LEAVES, LEAVES.map(enclosed), st.lists(LEAVES, min_size=1, max_size=3).map(lambda p: multipart(b"c", p))
)
MESSAGES = st.one_of(LEAVES, st.lists(INNER, min_size=1, max_size=3).map(lambda parts: multipart(b"b", parts))).map(
    lambda rest: b"Subject: x\r\nMIME-Version: 1.0\r\n" + rest
)


def contents(message: bytes) -> list[tuple[str, Any]]:
    """What a reader gets to see: type and decoded octets of each entity, in order."""
    root: Message[str, str] = email.message_from_bytes(message, policy=email.policy.compat32)
    return [
        (part.get_content_type(), None if part.is_multipart() else part.get_payload(decode=True))
        for part in root.walk()
    ]


def check_fits(fitted: encode.Fitted) -> None:
    content = fitted.content
    assert content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n")
    assert b"\0" not in content
    assert max(map(len, content.split(b"\r\n"))) <= 998


@given(MESSAGES)
def test_what_a_reader_decodes_is_what_it_was(message: bytes) -> None:
    fitted = encode.fit(message, has_8bitmime=False)
    check_fits(fitted)
    assert fitted.content.isascii()
    assert not fitted.is_8bit
    assert not fitted.needs_smtputf8
    assert contents(fitted.content) == contents(message)
    assert encode.fit(fitted.content, has_8bitmime=False) == fitted


@given(MESSAGES)
def test_with_8bitmime_only_what_no_server_takes_is_touched(message: bytes) -> None:
    fitted = encode.fit(message, has_8bitmime=True)
    check_fits(fitted)
    assert contents(fitted.content) == contents(message)
    assert fitted.is_8bit == (not fitted.content.isascii())
    if b"\0" not in message and not encode.has_long_line(message):
        assert fitted.content == message


@given(HOSTILE, st.booleans())
def test_it_is_total_and_keeps_its_promises_on_any_octets(octets: bytes, has_8bitmime: bool) -> None:
    fitted = encode.fit(octets, has_8bitmime=has_8bitmime)
    check_fits(fitted)
    assert fitted.is_8bit == (not fitted.content.isascii())
    assert has_8bitmime or fitted.needs_smtputf8 or fitted.content.isascii()
    again = encode.fit(fitted.content, has_8bitmime=has_8bitmime)
    assert again == fitted


@given(HOSTILE)
def test_ascii_that_fits_is_not_touched(octets: bytes) -> None:
    clean = encode.with_crlf(octets.translate(None, bytes([0, *range(0x80, 0x100)])))
    if not encode.has_long_line(clean):
        assert encode.fit(clean, has_8bitmime=False).content == clean


@given(st.lists(st.integers(0, 1005), max_size=6), st.booleans())
def test_a_long_line_is_found_wherever_it_is(sizes: list[int], is_ended: bool) -> None:
    octets = b"\r\n".join(b"x" * size for size in sizes) + b"\r\n" * is_ended
    assert encode.has_long_line(octets) == (max(map(len, octets.split(b"\r\n"))) > 998)


PART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
NESTED = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(4000))


@pytest.mark.slow
@pytest.mark.parametrize(
    "message",
    [
        PART + b"--b\r\n\r\n\xff\r\n" * 10_000,
        PART + b"--b\r\nno field\r\n" * 10_000 + b"\xff",
        NESTED + b"\r\n\xff",
        (PART + b"--b\r\n") * 4000 + b"\r\n\xff",
        b"Content-Type: message/rfc822\r\n\r\n" * 8000 + b"\xff",
        PART + b"--b\r\n\r\n" + b"--\r\n" * 100_000 + b"\xff",
        b"Subject: x\r\n\r\n" + b"\xff" * 10_000_000,
        b"Subject: " + b"a" * 10_000_000 + b"\r\n\r\n\xff",
        b"Subject: a" + b" " * 10_000_000 + b"a\r\n\r\n\xff",
        b"A: b\r\n" * 300_000 + b"\r\n\xff",
        b"Content-Type: multipart/mixed" + b';a="\\"' * 100_000 + b"\r\n\r\n\xff",
    ],
    ids=["parts", "no-fields", "nested", "same", "rfc822", "dashes", "line", "field", "spaces", "fields", "parameters"],
)
def test_a_hostile_message_costs_seconds_of_nobody(message: bytes) -> None:
    started_s = time.process_time()
    check_fits(encode.fit(message, has_8bitmime=False))
    assert time.process_time() - started_s < 3  # Quadratic would be minutes.
