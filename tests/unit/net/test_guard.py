"""Which addresses strangers may make us connect to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.net import guard

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82a::2003",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]
PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # Clouds keep their secrets here.
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    # Packed: 127.0.0.1 and 10.0.0.1 in other clothes.
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::7f00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2001:0:808:808::f5ff:fffe",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert guard.is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_do_not(address: str) -> None:
    assert not guard.is_public(address)


@pytest.mark.parametrize(
    "text", ["", "mx.example", "127.1", "0x7f000001", "2130706433", "8.8.8.8:25", " 8.8.8.8", "[::1]"]
)
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not guard.is_public(text)


@given(st.ip_addresses(v=4))
def test_packing_an_address_never_makes_it_public(address: ipaddress.IPv4Address) -> None:
    plain = guard.is_public(str(address))
    number = int(address)
    for packed in (number | 0xFFFF << 32, 0x2002 << 112 | number << 80, 0x0064FF9B << 96 | number):
        assert plain or not guard.is_public(str(ipaddress.IPv6Address(packed)))
