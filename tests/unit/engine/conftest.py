"""What tests of the gates share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outrider.testing.clock import FakeClock
from outrider.testing.gateroom import GateRoom, Make


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Make]:
    """Make rooms; see at the end that each gave back everything."""
    rooms: list[GateRoom] = []

    def made(**settings: Any) -> GateRoom:
        room = GateRoom(tmp_path, settings.pop("clock", clock), **settings)
        room.__enter__()
        rooms.append(room)
        return room

    yield made
    for room in rooms:
        room.check_nothing_held()
        room.__exit__(None, None, None)
