"""From headers and body to credentials: each form, the order of forms, whom a proxy is believed to call for."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import networks
from outrider.base.errors import UnauthenticatedError
from outrider.faces.api import credentials
from outrider.services.access import Credentials

PAIR = Credentials(access_key_id="id", access_key_secret="secret")
SIGNED = [(b"x-access-key-id", b"id"), (b"x-signature", b"ab"), (b"x-timestamp", b"12"), (b"x-nonce", b"n")]
PROXIES = [networks.parse("10.0.0.0/8"), networks.parse("2001:db8::/32")]


def authorization(value: bytes) -> Credentials:
    return credentials.read([(b"host", b"x"), (b"authorization", value)])


@pytest.mark.parametrize(
    "value", [b"Basic " + base64.b64encode(b"id:secret"), b"Bearer id.secret", b"bEaReR  id.secret "]
)
def test_a_pair_is_a_pair(value: bytes) -> None:
    assert authorization(value) == PAIR


def test_what_has_two_dots_is_a_token() -> None:
    assert authorization(b"Bearer a.b.c") == Credentials(token="a.b.c")
    assert credentials.read([(b"x-accesstoken", b"a.b.c")]) == Credentials(token="a.b.c")


def test_a_signature_comes_with_its_companions_and_wants_the_body() -> None:
    shown = credentials.read(SIGNED)
    assert shown == Credentials(access_key_id="id", signature="ab", timestamp="12", nonce="n")
    assert shown.needs_body
    assert credentials.with_body(shown, b'{"PublicKey": "other", "Signature": "x"}').access_key_id == "id"
    assert credentials.with_body(shown, b"{}").body == b"{}"


def test_one_form_counts() -> None:
    everything = [*SIGNED, (b"x-accesstoken", b"a.b.c"), (b"authorization", b"Bearer id.secret")]
    assert credentials.read(everything) == PAIR
    assert credentials.read(everything[:-1]) == Credentials(token="a.b.c")
    assert not PAIR.needs_body


def test_who_shows_nothing_has_no_body_read() -> None:
    for headers in ([], [(b"x-access-key-id", b"id")], [(b"x-nonce", b"n")]):
        assert not credentials.read(headers).needs_body


def test_php_names_its_key_in_the_body() -> None:
    shown = credentials.read([(b"x-timestamp", b"12"), (b"x-nonce", b"n")])
    assert shown.needs_body
    body = b'{"Action": "SendEmail", "PublicKey": "id", "Signature": "ab"}'
    expected = Credentials(access_key_id="id", signature="ab", timestamp="12", nonce="n", body=body)
    assert credentials.with_body(shown, body) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"PublicKey": "id"}', b'{"PublicKey": 1, "Signature": "ab"}', b"\xff", b'{"PublicKey":"\xff"'],
)
def test_a_body_that_names_no_key_shows_nothing(body: bytes) -> None:
    assert credentials.with_body(Credentials(), body) == Credentials()


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer ",
        b"Bearer id",
        b"Bearer .",
        b"Bearer id.",
        b"Bearer .secret",
        b"Digest x",
        b"Bearer " + b"x." * 2000,
    ],
)
def test_what_is_malformed_is_refused_with_advice(value: bytes) -> None:
    with pytest.raises(UnauthenticatedError, match="Basic"):
        authorization(value)


def test_nothing_of_a_secret_is_shown_by_accident() -> None:
    shown = Credentials(access_key_id="id", access_key_secret="s3cret", token="t0ken", signature="s1g", body=b"b0dy")
    assert not [part for part in ("s3cret", "t0ken", "s1g", "b0dy") if part in repr(shown)]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [b"10.0.0.9"], "192.0.2.1"),  # A stranger says so.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", [b"198.51.100.1, 192.0.2.1"], "192.0.2.1"),  # The first was written by the second.
        ("10.0.0.1", [b"198.51.100.1", b"192.0.2.1 , 10.0.0.2"], "192.0.2.1"),  # Two proxies, two header fields.
        ("::ffff:10.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
        ("2001:db8::1", [b"2001:db9::1"], "2001:db9::1"),
        ("10.0.0.1", [b"10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"unknown"], "unknown"),
        ("10.0.0.1", [b""], ""),
        ("10.0.0.1", [b"192.0.2.1," + b"10.0.0.2," * 10_000 + b"10.0.0.3"], "10.0.0.2"),  # Bounded.
        ("", [b"192.0.2.1"], ""),
    ],
)
def test_a_proxy_of_ours_is_believed_and_nobody_else(peer: str, forwarded: list[bytes], client: str) -> None:
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    assert credentials.read(headers, peer, PROXIES).client == client
    assert credentials.read(headers, peer).client == peer


@given(
    st.lists(
        st.tuples(
            st.sampled_from([name for name, _ in SIGNED] + [b"authorization", b"x-accesstoken"]), st.binary(max_size=60)
        )
    )
)
def test_any_headers_are_read_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        shown = credentials.read(headers, "192.0.2.1", PROXIES)
    except UnauthenticatedError:
        return
    assert isinstance(credentials.with_body(shown, msgspec.json.encode({})), Credentials)
