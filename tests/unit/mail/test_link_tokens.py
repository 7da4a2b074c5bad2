"""Tokens of links and pixels: what they say, and that nobody else can make or read one."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.mail.link_tokens import NUMBER_MAX, TARGET_BYTES_MAX, TOKEN_CHARS_MAX, ForgedLinkError, Kind, Tokens, Told

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
ANN = UUID("0193a5c8-0000-7000-8000-00000000a001")
OFFER = "https://shop.example/offer?for=ann@one.example&x=ü"
targets = st.text(max_size=300).filter(lambda text: text.isprintable())


@given(st.uuids(), st.integers(0, NUMBER_MAX), targets, st.sampled_from(["", "track.shop.example"]))
def test_what_goes_in_comes_out(recipient_id: UUID, number: int, target: str, host: str) -> None:
    token = Tokens(KEY).link(recipient_id, number, target, host=host)
    assert token.replace("-", "").replace("_", "").isalnum() or not token.strip("-_")
    assert Tokens(KEY).read(token, Kind.LINK, host=host) == Told(recipient_id, number, target)


def test_the_same_link_is_the_same_octets_and_says_nothing() -> None:
    token = Tokens(KEY).link(ANN, 1, OFFER, host="")
    assert token == Tokens(KEY).link(ANN, 1, OFFER, host="")
    assert Tokens(KEY).link(ANN, 2, OFFER, host="") != token
    assert len(Tokens(KEY).pixel(ANN, host="")) == 47


def test_every_change_of_a_character_is_refused() -> None:
    tokens = Tokens(KEY)
    token = tokens.link(ANN, 1, "https://a.example/", host="")
    for at, char in enumerate(token):
        # The last character has bits that stand for nothing; they must be as they were, too, or lead to the same.
        for other in {"A", "z", "_"} - {char}:
            try:
                told = tokens.read(token[:at] + other + token[at + 1 :], Kind.LINK, host="")
            except ForgedLinkError:
                continue
            assert at == len(token) - 1
            assert told == tokens.read(token, Kind.LINK, host="")


def test_a_token_counts_for_its_use_and_its_host() -> None:
    tokens = Tokens(KEY)
    link, pixel = tokens.link(ANN, 1, OFFER, host="track.a.example"), tokens.pixel(ANN, host="track.a.example")
    assert tokens.read(link, Kind.LINK, host="TRACK.a.example").target == OFFER
    for token, kind, host in (
        (link, Kind.PIXEL, "track.a.example"),
        (pixel, Kind.LINK, "track.a.example"),
        (link, Kind.LINK, "track.b.example"),
        (link, Kind.LINK, ""),
    ):
        with pytest.raises(ForgedLinkError):
            tokens.read(token, kind, host=host)
    shared = tokens.link(ANN, 1, OFFER, host="")
    assert tokens.read(shared, Kind.LINK, host="anything.example").target == OFFER


def test_another_key_made_it() -> None:
    token = Tokens(OTHER).pixel(ANN, host="")
    with pytest.raises(ForgedLinkError):
        Tokens(KEY).read(token, Kind.PIXEL, host="")
    assert Tokens(KEY, [OTHER]).read(token, Kind.PIXEL, host="").recipient_id == ANN
    assert Tokens(KEY, read_keys=lambda: [KEY, OTHER]).read(token, Kind.PIXEL, host="").recipient_id == ANN


@given(st.text(max_size=200) | st.text("AZaz09-_", min_size=47, max_size=200))
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(ForgedLinkError):
        Tokens(KEY).read(token, Kind.LINK, host="")


def test_the_longest_target_fits() -> None:
    token = Tokens(KEY).link(ANN, NUMBER_MAX, "x" * TARGET_BYTES_MAX, host="")
    assert len(token) <= TOKEN_CHARS_MAX
    assert len(Tokens(KEY).read(token, Kind.LINK, host="").target) == TARGET_BYTES_MAX
