"""A return path comes back as it was given, or not at all. For all of them: tests/fuzz/test_mail_verp.py."""

from datetime import date, timedelta
from typing import Final
from uuid import UUID

import pytest

from outrider.base import limits
from outrider.mail.verp import ExpiredError, ForgedError, Purpose, ReturnPath, ReturnPathError, Signer

KEY: Final = bytes(range(32))
OTHER_KEY: Final = bytes(range(1, 33))
DOMAIN: Final = "bounce.shop.example"
TODAY: Final = date(2026, 11, 27)
BOUNCE: Final = ReturnPath(UUID("01933a1e-7c00-7000-8000-00000000002a"), Purpose.BOUNCE, date(2026, 12, 27))


def test_a_token_never_changes_its_form() -> None:
    """Tokens of years ago come back: what was minted once must be read for ever."""
    address = Signer(KEY).mint(BOUNCE, DOMAIN)
    assert address == "bounce-005kl281ict1sv00e00800000000001anr8itmkpbtjhu05g@bounce.shop.example"
    assert Signer(KEY).read(address, today=TODAY) == BOUNCE


@pytest.mark.parametrize("purpose", Purpose)
def test_every_purpose_fits_into_a_local_part(purpose: Purpose) -> None:
    path = ReturnPath(BOUNCE.recipient_id, purpose, BOUNCE.expires_on)
    address = Signer(KEY).mint(path, DOMAIN)
    local, _, domain = address.partition("@")
    assert len(local) <= limits.LOCAL_PART_BYTES_MAX
    assert set(local) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert domain == DOMAIN
    assert Signer(KEY).read(address, today=TODAY) == path


def test_it_counts_to_the_end_of_its_last_day() -> None:
    signer = Signer(KEY)
    address = signer.mint(BOUNCE, DOMAIN)
    assert signer.read(address, today=BOUNCE.expires_on) == BOUNCE
    with pytest.raises(ExpiredError):
        signer.read(address, today=BOUNCE.expires_on + timedelta(days=1))


def test_a_stale_forgery_is_a_forgery() -> None:
    address = Signer(OTHER_KEY).mint(BOUNCE, DOMAIN)
    with pytest.raises(ForgedError):
        Signer(KEY).read(address, today=date.max)


def test_keys_are_changed_one_after_the_other() -> None:
    old, new = Signer(KEY), Signer(OTHER_KEY, [KEY])
    assert new.read(old.mint(BOUNCE, DOMAIN), today=TODAY) == BOUNCE
    assert new.read(new.mint(BOUNCE, DOMAIN), today=TODAY) == BOUNCE
    with pytest.raises(ForgedError):
        old.read(new.mint(BOUNCE, DOMAIN), today=TODAY)


def test_a_domain_in_capitals_is_the_same() -> None:
    address = Signer(KEY).mint(BOUNCE, DOMAIN.upper())
    assert address.endswith(f"@{DOMAIN}")
    assert Signer(KEY).read(address.upper(), today=TODAY) == BOUNCE


def test_what_is_not_a_return_path_is_refused() -> None:
    signer = Signer(KEY)
    address = signer.mint(BOUNCE, DOMAIN)
    local, _, domain = address.partition("@")
    forms = [
        "",
        local,
        domain,
        f"<{address}>",
        f" {address}",
        f"{address}\n",
        f"{address}.",
        f"prvs=1234567890={address}",  # BATV.
        f"SRS0=abcd=EF={domain}={local}@forwarder.example",
        f"SRS1=abcd=forwarder.example==EF={domain}={local}@forwarder.example",
        f"{local}+x@{domain}",
        address.replace("bounce-", "feedback-", 1),
        address.replace("bounce-", "unsubscribe-", 1),
        address.replace("k", "\N{KELVIN SIGN}"),
        f"{local}@other.example",
        f"{local}@evil.{domain}",
        "postmaster@bounce.shop.example",
        f"bounce-{'0' * 48}@{DOMAIN}",
        f"bounce-{'_' * 48}@{DOMAIN}",
    ]
    for form in forms:
        if form != address:
            with pytest.raises(ForgedError) as refused:
                signer.read(form, today=TODAY)
            assert refused.value.smtp == ReturnPathError.smtp
            assert domain not in refused.value.public


@pytest.mark.parametrize("key", [b"", b"short", bytes(31)])
def test_a_short_key_is_a_mistake_of_ours(key: bytes) -> None:
    with pytest.raises(AssertionError):
        Signer(key)
    with pytest.raises(AssertionError):
        Signer(KEY, [key])
