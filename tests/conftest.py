"""What every test lives under: only loopback, repeatable chance, and loud words about what was not tested here.

The database fixtures are in `tests/store/conftest.py`; nothing heavy belongs in this file.
"""

import ipaddress
import os
import shutil
import socket
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

# "dev" looks for new examples on each run; "ci" repeats the same ones and prints the blob that reproduces a failure.
hypothesis.settings.register_profile("dev", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_REAL_CONNECT = socket.socket.connect
_REAL_CONNECT_EX = socket.socket.connect_ex
_REAL_SENDTO = socket.socket.sendto
_REAL_GETADDRINFO = socket.getaddrinfo


class NetworkBlockedError(RuntimeError):
    """A test wanted to leave this machine. Deliberately no OSError: code under test must not handle it."""


def _guard(family: int, address: object) -> None:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return
    assert isinstance(address, tuple)
    ip = _ip_of(address[0])
    if address[0] != "localhost" and (ip is None or not ip.is_loopback):
        raise NetworkBlockedError(f"tests speak to 127.0.0.0/8 and ::1 only, not to {address[0]}")


def _ip_of(host: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return None


def _getaddrinfo(host: str | bytes | None, *rest: Any, **named: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if name not in (None, "", "localhost") and _ip_of(name) is None:
        raise NetworkBlockedError(f"tests ask no resolver of the machine, not even for {name}")
    return _REAL_GETADDRINFO(host, *rest, **named)


class _GuardedMethods:
    """Stand in for the methods of `socket.socket` through which a packet leaves."""

    def connect(self: socket.socket, address: object) -> None:  # type: ignore[misc]
        _guard(self.family, address)
        _REAL_CONNECT(self, address)  # type: ignore[arg-type]

    def connect_ex(self: socket.socket, address: object) -> int:  # type: ignore[misc]
        _guard(self.family, address)
        return _REAL_CONNECT_EX(self, address)  # type: ignore[arg-type]

    def sendto(self: socket.socket, data: bytes, *rest: object) -> int:  # type: ignore[misc]
        _guard(self.family, rest[-1])
        return _REAL_SENDTO(self, data, *rest)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Let no test reach anything but this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, vars(_GuardedMethods)[name])
        patch.setattr(socket, "getaddrinfo", _getaddrinfo)
        yield


def lacking(mark: pytest.Mark) -> str:
    """Name what this machine lacks for a test so marked, "" when it lacks nothing."""
    if mark.name == "browser":
        return "" if any(map(shutil.which, CHROMIUM)) else "chromium"
    return ", ".join(program for program in mark.args if not shutil.which(program))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a program that this machine lacks."""
    for test in items:
        for mark in (*test.iter_markers("browser"), *test.iter_markers("needs")):
            if missing := lacking(mark):
                test.add_marker(pytest.mark.skip(reason=f"this machine lacks {missing}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly, above the closing line, what was not tested."""
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"!! NOT TESTED HERE: {report.nodeid}: {reason}", red=True, bold=True)
