"""BIMI records: https alone, and nothing that a tag list cannot hold."""

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.mail import bimi, txt

LOGO = "https://shop.example/logo.svg"


@pytest.mark.parametrize("url", ["", LOGO, "https://cdn.shop.example:443/a%2Cb/logo.svg?v=2"])
def test_an_https_url_stays_as_it_is(url: str) -> None:
    assert bimi.parse_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/logo.svg",
        "HTTPS//shop.example",
        "https://",
        "https://shop",
        "https://shop.example./l.svg",
        "https://192.0.2.1/l.svg",
        "https://user@shop.example/l.svg",
        "https://shop.example:8443/l.svg",
        "https://shop.example/l.svg#part",
        "https://shop.example/a;b",
        "https://shop.example/a,b",
        "https://shop.example/a b",
        "https://shop.example/é",
        "https://shop.example/a\r\nb",
        "https://[::1/l.svg",
        "https://shop.example:port/l.svg",
        "data:image/svg+xml,x",
        "https://shop.example/" + "a" * limits.BIMI_URL_CHARS_MAX,
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(CallerError):
        bimi.parse_url(url)


def test_a_record_is_read_back() -> None:
    assert txt.read_tags(bimi.record(LOGO, "")) == {"v": "BIMI1", "l": LOGO}
    assert txt.read_tags(bimi.record(LOGO, "https://shop.example/l.pem"))["a"] == "https://shop.example/l.pem"
