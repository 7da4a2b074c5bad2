"""Where the return paths of a report are looked for, and that no octets make it costly."""

import base64
import quopri
from datetime import UTC, date, datetime
from time import process_time
from uuid import UUID

import pytest

from outrider.base import limits
from outrider.mail import arf, reported
from outrider.mail.arf import Feedback
from outrider.mail.verp import Purpose, ReturnPath, Signer

DOMAIN = "bounces.shop.example"
SIGNER = Signer(bytes(32))


def token(number: int, purpose: Purpose = Purpose.BOUNCE) -> str:
    return SIGNER.mint(ReturnPath(UUID(int=number), purpose, date(2030, 1, 1)), DOMAIN)


ONE, TWO, LEAVE = token(1), token(2), token(1, Purpose.UNSUBSCRIBE)


def complaint(original: bytes, mail_from: str = "") -> bytes:
    return arf.build(
        feedback=Feedback(original_mail_from=mail_from),
        sender="fbl@isp.example",
        to=f"feedback@{DOMAIN}",
        date=datetime(2026, 12, 1, tzinfo=UTC),
        message_id="1@isp.example",
        original=original,
    )


def part(kind: str, encoding: str, body: bytes) -> bytes:
    head = f"Content-Type: multipart/mixed; boundary=xx\r\n\r\n--xx\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body + b"\r\n--xx--\r\n"


@pytest.mark.parametrize(
    ("message", "first", "second"),
    [
        (complaint(b"Subject: x\r\n\r\n", ONE), [ONE], []),
        (complaint(f"Return-Path: <{ONE}>\r\nTo: redacted\r\n\r\n".encode()), [ONE], []),
        (complaint(f"Return-Path:\r\n <{ONE.upper()}>\r\n\r\n".encode()), [ONE], []),
        (complaint(f"List-Unsubscribe: <mailto:{LEAVE}?subject=unsubscribe>\r\n\r\n".encode()), [LEAVE], []),
        (complaint(f"List-Unsubscribe: <mailto:{LEAVE}>\r\n\r\nquoted {TWO}".encode(), ONE), [ONE, LEAVE], [TWO]),
        (complaint(f"Subject: x\r\n\r\nquoted {TWO}".encode(), ONE), [ONE], [TWO]),
        (complaint(f"Subject: {ONE}\r\nX-Odd: <{TWO}>\r\n\r\n".encode()), [], [ONE, TWO]),
        (f"Subject: x\r\n\r\nTheir mail from {ONE}.".encode(), [], [ONE]),
        (f"Return-Path: <{ONE}>\r\nX-HmXmrOriginalRecipient: a@x.example\r\n\r\n".encode(), [], [ONE]),
        (part("text/plain", "base64", base64.encodebytes(f"from {ONE}".encode())), [], [ONE]),
        (part("message/rfc822", "base64", base64.encodebytes(f"Return-Path: <{ONE}>\r\n\r\n".encode())), [ONE], []),
        (part("text/plain", "quoted-printable", quopri.encodestring(f"{'x' * 40} {ONE}".encode())), [], [ONE]),
        (part("application/zip", "base64", base64.encodebytes(ONE.encode())), [], []),
        (b"", [], []),
        (b"\0\xff\r\n\r\n" * 99, [], []),
    ],
)  # fmt: skip
def test_the_places_and_their_ranks(message: bytes, first: list[str], second: list[str]) -> None:
    assert reported.return_paths_in(message) == [first, second]


def test_a_line_break_in_a_field_makes_no_field() -> None:
    """What a provider's field is made to say stays of the second rank."""
    message = complaint(f"Subject: hi\r\n\tReturn-Path: <{TWO}>\r\nReturn-Path: <{ONE}>\r\n\r\n".encode())
    assert reported.return_paths_in(message) == [[ONE], [TWO]]


@pytest.mark.parametrize(
    "filler",
    [
        b"x" * 76 + b"\r\n",
        b"bounce-",
        b"bounce-%s" % (b"0" * 48),
        b"bounce-%s@" % (b"0" * 48) + b"a." * 100,
        b"=\r\n",
        b"--xx\r\nContent-Type: text/plain\r\n\r\n",
        b"Return-Path: <a@x.example>\r\n",
    ],
)
def test_ten_megabytes_without_a_token_take_no_time(filler: bytes) -> None:
    count = 10_000_000 // len(filler)
    heads = (b"Subject: x\r\n\r\n", b"", b"Content-Type: multipart/mixed; boundary=xx\r\n\r\n")
    for message in (head + filler * count + ONE.encode() for head in heads):
        started_s = process_time()
        ranks = reported.return_paths_in(message)
        assert process_time() - started_s < 2.0
        assert all(len(rank) <= limits.REPORT_RETURN_PATHS_COUNT_MAX for rank in ranks)
        assert ONE not in [address for rank in ranks for address in rank], "it is past what is looked at"
