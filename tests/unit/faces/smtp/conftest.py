"""The inbound face is tested on both loops: transports and TLS differ, and the real program has uvloop."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

BOTH = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loops that a test of this folder runs on."""
    del config
    return BOTH if item.path.name == "test_inbound.py" else {"asyncio": asyncio.new_event_loop}
