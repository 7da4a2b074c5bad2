"""The wall: which URLs name something that we may talk to, and which addresses a name may lead to."""

import socket

import pytest

from outrider.base import networks
from outrider.base.errors import CallerError
from outrider.net import wall
from outrider.net.wall import Named
from outrider.testing.hookroom import Names


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("https://shop.example/a?b", Named("https", "shop.example", 443, False)),
        ("http://shop.example:8080", Named("http", "shop.example", 8080, False)),
        ("https://127.0.0.1/", Named("https", "127.0.0.1", 443, True)),
        ("https://[::1]:444/", Named("https", "::1", 444, True)),
        ("HTTPS://SHOP.example/", Named("https", "shop.example", 443, False)),
        ("https://0x7f.example/", Named("https", "0x7f.example", 443, False)),
        ("https://1.2.example.:/", Named("https", "1.2.example.", 443, False)),
    ],
)
def test_a_url_says_what_it_names(url: str, named: Named) -> None:
    assert wall.read(url, "url", what="It is called") == named


@pytest.mark.parametrize(
    "url",
    ["", "shop.example", "ftp://shop.example", "https://", "https://a:b@shop.example", "https://①②⑦.⓪.⓪.①/",
     "https://shop.example\n", "https://shop.example:99999", "https://" + "a" * 2000],
)  # fmt: skip
def test_what_no_honest_url_is_is_refused(url: str) -> None:
    with pytest.raises(CallerError) as caught:
        wall.read(url, "url", what="It is called")
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        *((f"http://{host}:9999/", "is a number") for host in (
            "127.1", "2130706433", "0x7f000001", "0X7F.1", "127.0.0.0x1", "017700000001", "127.0.0.1.", "0x", "a.1")),
        ("https://shop.example:0/", "port"),
    ],
)  # fmt: skip
def test_a_number_that_is_no_address_and_port_0_are_refused_and_the_sentence_says_so(url: str, why: str) -> None:
    with pytest.raises(CallerError, match=why):
        wall.read(url, "url", what="It is called")


@pytest.mark.parametrize(
    ("address", "more", "is_open"),
    [
        ("8.8.8.8", {}, True),
        ("127.0.0.1", {}, False),
        ("169.254.169.254", {"with_loopback": True}, False),
        ("127.0.0.1", {"with_loopback": True}, True),
        ("10.1.2.3", {"with_loopback": True}, False),
        ("10.1.2.3", {"with_private": True}, True),
        ("10.1.2.3", {"networks": (networks.parse("10.1.0.0/16"),)}, True),
        ("10.2.2.3", {"networks": (networks.parse("10.1.0.0/16"),)}, False),
        ("::ffff:10.1.2.3", {}, False),
        ("nonsense", {"with_private": True}, False),
    ],
)
def test_addresses_are_open_as_is_said(address: str, more: dict[str, object], is_open: bool) -> None:
    assert wall.is_open_to(**more)(address) is is_open  # type: ignore[arg-type]


async def test_a_name_leads_only_where_it_may() -> None:
    resolver = wall.GuardedResolver(Names({"a.example": ["8.8.8.8"], "b.example": ["10.0.0.1"]}), wall.is_open_to())
    assert [one["host"] for one in await resolver.resolve("a.example", 443)] == ["8.8.8.8"]
    with pytest.raises(OSError, match="no address"):
        await resolver.resolve("b.example", 443)
    await resolver.close()


async def test_the_system_is_asked_in_threads_of_our_own() -> None:
    resolver = wall.SystemResolver()
    found = await resolver.resolve("localhost", 80, socket.AF_INET)
    assert {one["host"] for one in found} == {"127.0.0.1"}
    await resolver.close()
