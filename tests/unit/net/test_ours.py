"""What the system lets us bind is ours; what it does not is named at the start."""

import socket

import pytest

from outrider.base.errors import ConfigError
from outrider.net import ours


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "127.9.8.7"])
def test_every_loopback_address_is_ours(address: str) -> None:
    assert ours.is_ours(address)


@pytest.mark.parametrize("address", ["192.0.2.10", "203.0.113.254", "2001:db8::25", "fe80::1"])
def test_an_address_of_the_documents_is_nobodys(address: str) -> None:
    assert not ours.is_ours(address)


def test_ipv6_loopback_is_ours_where_there_is_ipv6() -> None:
    assert ours.is_ours("::1") == has_ipv6()


def test_the_address_that_the_system_would_take_is_ours() -> None:
    assert ours.address_outward(["127.0.0.1", "::1"]) == "127.0.0.1"
    assert ours.address_outward([]) == ""
    if has_ipv6():
        assert ours.address_outward(["::1"]) == "::1"


def test_the_first_that_is_not_ours_is_named_with_its_setting() -> None:
    ours.check_ours({})
    ours.check_ours({"egress.sources.a.address": "127.0.0.2"})
    with pytest.raises(ConfigError, match=r"egress\.sources\.b\.address: 192\.0\.2\.10 is no address of this machine"):
        ours.check_ours({"egress.sources.a.address": "127.0.0.2", "egress.sources.b.address": "192.0.2.10"})


def test_what_the_system_cannot_say_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socket", full)
    with pytest.raises(ConfigError, match=r"net\.source: 127\.0\.0\.1 cannot be used: Too many open files"):
        ours.check_ours({"net.source": "127.0.0.1"})
