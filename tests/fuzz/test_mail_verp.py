"""Nobody but us makes a return path, and no server on the way can spoil one by its case."""

from datetime import date, timedelta
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.mail.verp import ExpiredError, ForgedError, Purpose, ReturnPath, ReturnPathError, Signer

SIGNER: Final = Signer(b"k" * 32, [b"o" * 32])
TODAY: Final = date(2026, 11, 27)
DOMAIN: Final = "bounce.shop.example"
PATHS: Final = st.builds(
    ReturnPath, st.uuids(), st.sampled_from([Purpose.BOUNCE, Purpose.UNSUBSCRIBE]), st.dates(min_value=TODAY)
)
DOMAINS: Final = st.sampled_from([DOMAIN, "b.example", "xn--bcher-kva.example", f"{'a' * 63}.example"])
LETTERS: Final = st.characters(codec="ascii") | st.characters()


@given(PATHS, DOMAINS)
def test_what_is_minted_is_read(path: ReturnPath, domain: str) -> None:
    address = SIGNER.mint(path, domain)
    assert SIGNER.read(address, today=TODAY) == path
    assert SIGNER.read(address, today=path.expires_on) == path
    assert len(address.partition("@")[0]) <= limits.LOCAL_PART_BYTES_MAX


@given(PATHS, st.integers())
def test_case_survives(path: ReturnPath, chance: int) -> None:
    address = SIGNER.mint(path, DOMAIN)
    spelled = "".join(char.upper() if chance >> at & 1 else char for at, char in enumerate(address))
    assert SIGNER.read(spelled, today=TODAY) == path


@given(PATHS, st.data())
def test_any_other_character_anywhere_is_refused(path: ReturnPath, data: st.DataObject) -> None:
    address = SIGNER.mint(path, DOMAIN)
    at = data.draw(st.integers(0, len(address) - 1))
    char = data.draw(LETTERS.filter(lambda char: char.lower() != address[at] or not char.isascii()))
    for forged in (
        address[:at] + char + address[at + 1 :],
        address[:at] + char + address[at:],
        address[:at] + address[at + 1 :],
    ):
        if forged != address:
            with pytest.raises(ForgedError):
                SIGNER.read(forged, today=TODAY)


def test_every_change_of_one_character_of_a_token_is_refused() -> None:
    address = SIGNER.mint(ReturnPath(UUID(int=42), Purpose.BOUNCE, TODAY), DOMAIN)
    for at, kept in enumerate(address):
        for char in "abcdefghijklmnopqrstuvwxyz0123456789-.@_=+ ":
            if char != kept:
                with pytest.raises(ForgedError):
                    SIGNER.read(address[:at] + char + address[at + 1 :], today=TODAY)


@given(PATHS, DOMAINS, DOMAINS)
def test_a_token_counts_at_its_domain_only(path: ReturnPath, domain: str, other: str) -> None:
    local = SIGNER.mint(path, domain).partition("@")[0]
    if domain != other:
        with pytest.raises(ForgedError):
            SIGNER.read(f"{local}@{other}", today=TODAY)


@given(PATHS.filter(lambda path: path.expires_on < date.max), st.integers(1, 10_000))
def test_a_token_ends(path: ReturnPath, days: int) -> None:
    after = path.expires_on + timedelta(days=min(days, (date.max - path.expires_on).days))
    with pytest.raises(ExpiredError):
        SIGNER.read(SIGNER.mint(path, DOMAIN), today=after)


@given(st.text(max_size=120) | st.from_regex(r"(bounce|feedback)-[0-9a-v]{48}@[a-z.]{1,20}", fullmatch=True))
def test_what_others_make_up_is_refused(address: str) -> None:
    with pytest.raises(ReturnPathError):
        SIGNER.read(address, today=TODAY)
