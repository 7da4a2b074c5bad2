"""Who belongs together by the public suffix list."""

import pytest

from outrider.mail import orgdomain


@pytest.mark.parametrize(
    ("name", "organization"),
    [
        ("shop.example", "shop.example"),
        ("a.b.mail.shop.example", "shop.example"),
        ("mail.shop.co.uk", "shop.co.uk"),
        ("a.github.io", "a.github.io"),
        ("mail.a.github.io", "a.github.io"),
        ("x.xn--p1ai", "x.xn--p1ai"),
        ("mail.xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("co.uk", "co.uk"),  # A suffix is its own.
        ("example", "example"),
        ("localhost", "localhost"),
    ],
)
def test_the_organizational_domain(name: str, organization: str) -> None:
    assert orgdomain.of(name) == organization


def test_public_suffixes_are_nobodys() -> None:
    assert [name for name in ("co.uk", "github.io", "com", "shop.example") if orgdomain.is_public_suffix(name)] == [
        "co.uk",
        "github.io",
        "com",
    ]


def test_only_suffixes_of_the_list_are_known() -> None:
    names = ("shop.com", "shop.co.uk", "a.github.io", "photos.zip", "co.uk", "invoice.pdf", "shop.example", "localhost")
    assert [name for name in names if orgdomain.has_known_suffix(name)] == [
        "shop.com",
        "shop.co.uk",
        "a.github.io",
        "photos.zip",
        "co.uk",
    ]
