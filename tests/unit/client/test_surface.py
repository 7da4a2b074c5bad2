import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

import pytest

from outrider.client import AsyncOutrider, Outrider, calls, template_calls
from outrider.client.records import Accepted, BatchAccepted, Event, Mail, Message, MessageListed
from outrider.client.surface import Surface
from outrider.testing.http_peer import HttpPeer
from tests.unit.client.conformance import KEY, OK

MAIL = Mail(sender="a@shop.example", to="b@partner.example", subject="s", text="t")
METHODS = [name for name in vars(Surface) if not name.startswith("_")]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", [Outrider, AsyncOutrider])
def test_every_method_has_the_parameters_and_the_words_of_its_call(
    name: str, kind: type[Outrider] | type[AsyncOutrider]
) -> None:
    method = getattr(kind("http://127.0.0.1:1", KEY), name)
    made = getattr(calls, name, None) or getattr(template_calls, name)
    assert inspect.signature(method).parameters == inspect.signature(made).parameters
    assert method.__doc__ == getattr(kind, name).__doc__ == made.__doc__
    assert method.__doc__


def test_every_call_is_a_method() -> None:
    made = {
        name
        for home in (calls, template_calls)
        for name, function in vars(home).items()
        if inspect.isfunction(function) and function.__module__ == home.__name__ and not name.startswith("_")
    }
    assert made == set(METHODS)


def test_type_checkers_may_read_the_package() -> None:
    assert Path(calls.__file__).parents[1].joinpath("py.typed").exists()


def types_when_blocking(outrider: Outrider) -> None:
    """mypy checks these: a program sees what comes back."""
    assert_type(outrider.send(MAIL), Accepted)
    assert_type(outrider.send_batch([MAIL], idempotency_key="a"), BatchAccepted)
    assert_type(outrider.show("id"), Message)
    assert_type(outrider.messages(tag="a"), Iterator[MessageListed])
    assert_type(outrider.follow_events(after="a"), Iterator[Event])


async def types_when_awaited(outrider: AsyncOutrider) -> None:
    assert_type(await outrider.send(MAIL), Accepted)
    assert_type(await outrider.send_batch([MAIL], idempotency_key="a"), BatchAccepted)
    assert_type(await outrider.show("id"), Message)
    assert_type(outrider.messages(tag="a"), AsyncIterator[MessageListed])
    assert_type(outrider.follow_events(after="a"), AsyncIterator[Event])


def test_importing_it_imports_neither_the_server_nor_what_it_needs() -> None:
    program = "import sys, outrider.client; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    found = {name for name in done.stdout.split() if name.partition(".")[0] in ("outrider", "aiohttp", "litestar")}
    assert {name for name in found if not name.startswith("outrider.client")} == {"outrider"}


async def test_the_types_are_true() -> None:
    with HttpPeer([OK]) as peer:
        with Outrider(peer.url, KEY) as blocking:
            assert isinstance(blocking.send(MAIL), Accepted)
        async with AsyncOutrider(peer.url, KEY) as awaited:
            assert isinstance(await awaited.send(MAIL), Accepted)
