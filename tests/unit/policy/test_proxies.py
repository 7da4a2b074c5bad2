"""Which addresses are a proxy's."""

import pytest

from outrider.policy import proxies


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("104.16.0.0", "Cloudflare"),
        ("104.27.255.255", "Cloudflare"),
        ("172.67.1.1", "Cloudflare"),
        ("2606:4700::1", "Cloudflare"),
        ("104.28.0.0", ""),
        ("192.0.2.1", ""),
        ("2001:db8::1", ""),
    ],
)
def test_whose_an_address_is(address: str, name: str) -> None:
    assert proxies.name_of(address) == name
