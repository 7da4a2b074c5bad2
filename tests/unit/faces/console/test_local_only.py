import pytest

from outrider.faces.console.local_only import refusal

HERE = (b"host", b"127.0.0.1:8025")


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host",
    [b"127.0.0.1", b"127.0.0.1:8025", b"127.0.0.2:1", b"localhost", b"LocalHost:8025", b"[::1]", b"[::1]:8025"],
)
def test_a_browser_on_this_machine_may(peer: str, host: bytes) -> None:
    assert refusal(peer, [(b"host", host), (b"user-agent", b"x")]) == ""


@pytest.mark.parametrize("peer", [None, "", "192.0.2.1", "10.0.0.1", "::", "::ffff:192.0.2.1", "localhost", "0.0.0.0"])
def test_another_machine_may_not(peer: str | None) -> None:
    assert "another one" in refusal(peer, [HERE])


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"rebound.example",
        b"rebound.example:8025",
        b"127.0.0.1.rebound.example",
        b"localhost.rebound.example",
        b"localhost.",
        b"mailbox.localhost",
        b"192.0.2.1",
        b"0.0.0.0:8025",
        b"[::]",
        b"[::1",
        b"[::1].rebound.example",
        b"127.1",
        b"2130706433",
        b"\xff",
    ],
)
def test_another_name_may_not(host: bytes) -> None:
    assert "localhost" in refusal("127.0.0.1", [(b"host", host)])


def test_no_name_or_two_may_not() -> None:
    assert refusal("127.0.0.1", []) != ""
    assert refusal("127.0.0.1", [HERE, (b"host", b"rebound.example")]) != ""


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip", "via", "x-forwarded-host"])
@pytest.mark.parametrize("value", [b"", b"127.0.0.1", b"192.0.2.1"])
def test_a_proxy_may_not_and_hears_its_header(name: str, value: bytes) -> None:
    assert name in refusal("127.0.0.1", [HERE, (name.encode(), value)])
