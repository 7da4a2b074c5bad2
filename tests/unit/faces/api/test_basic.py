import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import UnauthenticatedError
from outrider.faces.api.basic import parse_basic


def header(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize("scheme", [b"Basic ", b"basic ", b"BASIC  "])
def test_a_pair_is_found_whatever_the_case_of_the_scheme(scheme: bytes) -> None:
    assert parse_basic(scheme + base64.b64encode(b"abc:def")) == ("abc", "def")


def test_a_secret_may_hold_colons_and_non_ascii() -> None:
    assert parse_basic(header("abc:d:é:")) == ("abc", "d:é:")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Basic",
        b"Basic ",
        b"Bearer abc",
        b"Basic !!!!",
        b"Basic YWJj",  # abc: no colon.
        b"Basic YWJjOg",  # Not padded.
        b"Basic YWJj\nOmRlZg==",
        b"Digest username=abc",
        b"abc:def",
        b"Basic abc:def",
        header(":def"),
        header("abc:"),
        header("abc:d\x00f"),
        header("a\nc:def"),
        b"Basic " + base64.b64encode(b"abc:\xff\xfe"),
        b"Basic " + base64.b64encode(b"abc:" + b"d" * 2000),
    ],
)
def test_anything_else_is_unauthenticated(value: bytes) -> None:
    with pytest.raises(UnauthenticatedError):
        parse_basic(value)


@given(st.binary(max_size=80), st.booleans())
def test_no_header_breaks_it(octets: bytes, is_encoded: bool) -> None:
    value = b"Basic " + (binascii.b2a_base64(octets, newline=False) if is_encoded else octets)
    try:
        user_id, password = parse_basic(value)
    except UnauthenticatedError:
        return
    assert f"{user_id}:{password}".encode() == (octets if is_encoded else base64.b64decode(octets))
