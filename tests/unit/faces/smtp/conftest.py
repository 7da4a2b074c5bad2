"""Receivers are tested on both loops: transports and TLS differ, and the real program has uvloop."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

ON_BOTH = ("test_catch.py", "test_inbound.py", "test_listener.py", "test_submission.py", "test_submission_hostile.py")
BOTH = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loops that a test of this folder runs on."""
    del config
    return BOTH if item.path.name in ON_BOTH else {"asyncio": asyncio.new_event_loop}
