"""A Location field leads to web pages only, in ASCII, and can hold no second field."""

import pytest

from outrider.mail.locations import host_of, location_of


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("https://shop.example/a?b=c&d=%20#e", "https://shop.example/a?b=c&d=%20#e"),
        ("HTTP://shop.example", "HTTP://shop.example"),
        ("https://shop.example/caf\u00e9 au", "https://shop.example/caf%C3%A9%20au"),
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
        ("https://shop.example/\r\nSet-Cookie: a=b", "https://shop.example/%0D%0ASet-Cookie:%20a=b"),
        # As browsers read them: neither leads to evil.example.
        ("https://shop.example\\@evil.example/", "https://shop.example/@evil.example/"),
        ("https://shop.example/a\\b?c\\d", "https://shop.example/a/b?c%5Cd"),
        ("https://fa\u00df.de/x", "https://xn--fa-hia.de/x"),
        ("https://user:pw@m\u00fcller.example:8443/x", "https://user:pw@xn--mller-kva.example:8443/x"),
        ("https://\u00fc@e@shop.example", "https://%C3%BC@e@shop.example"),
        ("https://\u65e5\u672c\u3002example", "https://xn--wgv71a.example"),
        ("https://shop_x.example/", "https://shop_x.example/"),
        ("https://[::1]:80/\u00fc", "https://[::1]:80/%C3%BC"),
    ],
)
def test_web_pages_are_led_to(target: str, location: str) -> None:
    assert location_of(target) == location


@pytest.mark.parametrize(
    "target",
    [
        *(
            "",
            "//evil.example/",
            "/path",
            "javascript:alert(1)",
            "data:text/html,x",
            "https:evil.example",
            "https:///x",
        ),
        *(" https://shop.example", "https://\r\nevil", "file:///etc/passwd", "ftp://x.example", "https://:80/"),
        "http\u017f://shop.example/",
        "https://\u00fc" + "x" * 70 + ".example/",
        "https://" + "\u00fc." * 200 + "example/",
        "https://m\u00fc..example/",
        "https://\U0001f355.example/",
        "https://a_b.m\u00fcller.example/",
        "https://m\u00fcller.example:8o/",
        "https://user@/x",
        "https://a b.example/",
    ],
)
def test_nothing_else_is(target: str) -> None:
    assert location_of(target) == ""


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("https://Shop.Example.:8443/x@y", "shop.example"),
        ("https://a:b@M\u00fcller.example/", "xn--mller-kva.example"),
        ("https://m\u00fcller.example\u3002", "xn--mller-kva.example"),
        ("https://[2001:DB8::1]:80", "[2001:db8::1]"),
        ("https://shop.example\\@evil.example", "shop.example"),
        ("https://\U0001f355.example", ""),
        ("https://:80/", ""),
        ("mailto:a@b.example", ""),
    ],
)
def test_a_host_is_what_dns_is_asked_for(target: str, host: str) -> None:
    assert host_of(target) == host
