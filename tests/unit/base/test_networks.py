"""Ranges of addresses: what names one, and who is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import networks

NAMED = [networks.parse(text) for text in ("192.0.2.0/24", "198.51.100.7", "2001:db8::/32")]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("::/0", "::/0"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_range_has_one_spelling(text: str, written: str) -> None:
    assert str(networks.parse(text)) == written


NO_RANGES = ("", "proxy", "192.0.2.0/33", "192.0.2", "fe80::1%eth0", "fe80::%1/64", "\x00", "1", "١٩٢.0.2.7")


@pytest.mark.parametrize("text", NO_RANGES)
def test_anything_else_names_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"zone|not appear"):
        networks.parse(text)


@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("2001:db8:ffff::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("192.0.2.7\r\n", False),
        ("192.0.2.7, 192.0.2.8", False),
        ("192.0.2.0/24", False),
    ],
)
def test_who_is_in_a_range(address: str, is_in: bool) -> None:
    assert networks.contain(NAMED, address) is is_in
    assert not networks.contain([], address)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    assert networks.contain(NAMED, text) in (True, False)


def test_who_calls_is_the_first_from_the_near_end_that_is_no_proxy() -> None:
    proxies = [networks.parse("10.0.0.0/8")]
    assert networks.caller("10.0.0.1", b"203.0.113.1, 203.0.113.2, 10.0.0.2", proxies) == "203.0.113.2"
    assert networks.caller("192.0.2.7", b"203.0.113.1", proxies) == "192.0.2.7"
