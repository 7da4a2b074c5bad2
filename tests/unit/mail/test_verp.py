"""A return path comes back as it was given, or not at all. For all of them: tests/fuzz/test_mail_verp.py."""

from datetime import date, timedelta
from typing import Final
from uuid import UUID

import pytest

from outrider.base import limits
from outrider.mail import verp
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


@pytest.mark.parametrize("purpose", [Purpose.BOUNCE, Purpose.UNSUBSCRIBE])
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


def test_no_token_is_for_feedback() -> None:
    """What comes to the fixed address is about the token inside it."""
    with pytest.raises(AssertionError):
        Signer(KEY).mint(ReturnPath(BOUNCE.recipient_id, Purpose.FEEDBACK, BOUNCE.expires_on), DOMAIN)


def test_a_feedback_address_is_fixed_and_read_in_any_case() -> None:
    assert verp.feedback_address("Bounce.Shop.Example") == "feedback@bounce.shop.example"
    assert verp.feedback_domain("FeedBack@Bounce.Shop.EXAMPLE") == DOMAIN
    others = [
        f"feedback+x@{DOMAIN}",
        f"<feedback@{DOMAIN}>",
        f"xfeedback@{DOMAIN}",
        "feedback@",
        "feedback",
        "",
        DOMAIN,
    ]
    assert {verp.feedback_domain(text) for text in others} == {""}
    assert verp.feedback_domain("feedbac\N{KELVIN SIGN}@x.example") == "", "which lower() makes a k"
    assert verp.feedback_domain("feedback@a@b\r\nX: y") == "a@b\r\nx: y", "no bounce domain: nobody has it"


def test_candidates_are_found_in_any_text_once_each_and_so_many() -> None:
    one = Signer(KEY).mint(BOUNCE, DOMAIN)
    two = Signer(OTHER_KEY).mint(BOUNCE, DOMAIN)
    text = f"\xff\0<{one}>, mailto:{two.upper()}?subject=x {one}. {one}-- prvs=1={one} feedback-{one[7:]}"
    assert verp.candidates(text.encode()) == [one, two]
    assert verp.candidates(text.encode(), count_max=1) == [one]
    assert verp.candidates(b"bounce-" + b"0" * 47 + b"@x.example") == []
    many = b" ".join(b"bounce-%048d@x.example" % number for number in range(10_000))
    assert len(verp.candidates(many)) == limits.REPORT_RETURN_PATHS_COUNT_MAX


def test_what_is_logged_of_a_return_path_is_no_secret() -> None:
    one = Signer(KEY).mint(BOUNCE, DOMAIN)
    assert (
        verp.masked(f"550 <{one.upper()}> and {one}: no")
        == f"550 <BOUNCE-***@{DOMAIN.upper()}> and bounce-***@{DOMAIN}: no"
    )
    assert verp.masked("feedback@bounce.shop.example") == "feedback@bounce.shop.example"


@pytest.mark.parametrize("key", [b"", b"short", bytes(31)])
def test_a_short_key_is_a_mistake_of_ours(key: bytes) -> None:
    with pytest.raises(AssertionError):
        Signer(key)
    with pytest.raises(AssertionError):
        Signer(KEY, [key])
