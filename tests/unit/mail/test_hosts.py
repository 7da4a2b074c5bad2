"""Hosts in any script become what DNS has, or nothing."""

import pytest

from outrider.mail import hosts


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("fa\u00df.de", "xn--fa-hia.de"),
        ("\uff33hop.example\u3002", "shop.example."),
        ("\U0001f355.example", None),
        ("a_b.\u00fc.example", None),
        ("\u00fc..example", None),
        ("\u00fc" * 62 + ".example", None),
        ("\u00fc." * 130, None),
        ("", None),
    ],
)
def test_hosts_become_alabels(host: str, wanted: str | None) -> None:
    assert hosts.to_alabels(host) == wanted
