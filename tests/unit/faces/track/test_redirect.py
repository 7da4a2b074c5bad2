"""A Location field leads to web pages only, in ASCII, and can hold no second field."""

import pytest

from outrider.faces.track.redirect import location_of


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("https://shop.example/a?b=c&d=%20#e", "https://shop.example/a?b=c&d=%20#e"),
        ("HTTP://shop.example", "HTTP://shop.example"),
        ("https://shop.example/caf\u00e9 au", "https://shop.example/caf%C3%A9%20au"),
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
        ("https://shop.example/\r\nSet-Cookie: a=b", "https://shop.example/%0D%0ASet-Cookie:%20a=b"),
        ("https://shop.example\\@evil.example/", "https://shop.example%5C@evil.example/"),
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
    ],
)
def test_nothing_else_is(target: str) -> None:
    assert location_of(target) == ""
