"""Access tokens: what was minted is read, whatever was changed is not, and no algorithm is anybody's choice."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import TokenInvalidError, TokenUnreadableError, UnauthenticatedError
from outrider.wire import jwt
from outrider.wire.jwt import Claims

KEY = b"k" * 32
CLAIMS = Claims("0123456789abcdef" * 2, 1_767_225_600, 1_767_229_200, "read send")


def encoded(value: object) -> str:
    octets = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def test_the_example_of_the_standard_has_our_signature() -> None:
    """RFC 7515 appendix A.1, whose header has line ends that ours has not: so it is told apart, not read."""
    key = base64.urlsafe_b64decode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
    )
    token = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNv"
        "bS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )
    signed, _, mac = token.rpartition(".")
    assert encoded(jwt._mac(signed.encode(), key)) == mac
    with pytest.raises(TokenInvalidError):
        jwt.read(token, key)


def test_it_is_a_json_web_token() -> None:
    token = jwt.mint(CLAIMS, KEY)
    header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(claims) == {
        "sub": CLAIMS.access_key_id,
        "iat": 1_767_225_600,
        "exp": 1_767_229_200,
        "scope": "read send",
        "iss": "outrider",
    }
    assert token.startswith("eyJ")
    assert "=" not in token


@given(
    st.text("0123456789abcdef", min_size=32, max_size=32), st.integers(0, 2**40), st.binary(min_size=32, max_size=64)
)
def test_what_was_minted_is_read(access_key_id: str, at_s: int, key: bytes) -> None:
    claims = Claims(access_key_id, at_s, at_s + 1)
    assert jwt.read(jwt.mint(claims, key), key) == claims


def test_any_other_character_anywhere_is_refused() -> None:
    token = jwt.mint(CLAIMS, KEY)
    for position, was in enumerate(token):
        for other in ("A", "b", "-", ".", "=", " ", "é", "\x00"):
            if other == was or (position == len(token) - 1 and other not in ".= é\x00"):
                continue  # The last character holds bits that mean nothing.
            with pytest.raises(UnauthenticatedError):
                jwt.read(token[:position] + other + token[position + 1 :], KEY)


def test_another_key_or_algorithm_is_not_ours() -> None:
    token = jwt.mint(CLAIMS, KEY)
    with pytest.raises(TokenInvalidError):
        jwt.read(token, b"o" * 32)
    _, claims, mac = token.split(".")
    for header in ({"alg": "none"}, {"alg": "HS512"}, {"alg": "HS256", "typ": "JWT", "kid": "1"}, {"alg": "RS256"}):
        for signature in (mac, ""):
            with pytest.raises(TokenInvalidError):
                jwt.read(f"{encoded(header)}.{claims}.{signature}", KEY)


UNREADABLE = (
    "",
    "x",
    "a.b",
    "a.b.c.d",
    "..",
    "é.é.é",
    "a.b.c",
    "x" * 5000,
    encoded([]) + ".e30.",
    encoded(b"\xff") + ".e30.",
    encoded(b"[" * 1000) + ".e30.",
    encoded({"alg": 1}) + ".e30.",
    "eyJ+.e30.x",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.==",
)


@pytest.mark.parametrize("token", UNREADABLE)
def test_what_is_no_token_is_unreadable(token: str) -> None:
    with pytest.raises(TokenUnreadableError):
        jwt.read(token, KEY)


@pytest.mark.parametrize("claims", [b"", b"[]", b'{"sub": 1}', b"\xff", b'{"iat": 1, "exp": 2}', b"[" * 900])
def test_our_own_signature_on_something_else_is_unreadable(claims: bytes) -> None:
    signed = jwt.mint(CLAIMS, KEY).split(".")[0] + "." + encoded(claims)
    token = signed + "." + encoded(jwt._mac(signed.encode(), KEY))
    with pytest.raises(TokenUnreadableError):
        jwt.read(token, KEY)


@given(st.text(max_size=300))
def test_anything_else_is_refused_as_the_docstring_says(text: str) -> None:
    with pytest.raises((TokenUnreadableError, TokenInvalidError)):
        jwt.read(text, KEY)
