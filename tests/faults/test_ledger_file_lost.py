"""Fault: the file of the node's limits is deleted, cut short or overwritten while nobody runs.

What it remembered is gone: rates begin anew and a learned rate is forgotten. Nothing fails, and from then on every
limit holds, for a second process too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outrider.base.vocab import WaitKind
from outrider.testing.clock import FakeClock
from outrider.testing.gateroom import GateRoom, site_of

LIMITS: dict[str, dict[str, Any]] = {"gmail": {"rates": "2/h"}, "yahoo": {"connections": 2}}


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scribble(path: Path) -> None:
    path.write_bytes(b"\xa5" * path.stat().st_size)


def replace_by_another(path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\nexit 1\n")


async def spend(room: GateRoom) -> None:
    """Use up what may go to gmail in an hour."""
    room.answer(await room.entered())
    assert (await room.paused()).kind is WaitKind.RATE


@pytest.mark.parametrize("lose", [delete, cut, empty, scribble, replace_by_another])
async def test_a_new_one_begins_and_limits_hold_from_then(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    clock = FakeClock()
    with GateRoom(tmp_path, clock, limits=LIMITS) as room:
        await spend(room)
    with GateRoom(tmp_path, clock, limits=LIMITS) as room:
        assert (await room.paused()).kind is WaitKind.RATE, "without the fault it is remembered"
    lose(tmp_path / "gates")
    with GateRoom(tmp_path, clock, limits=LIMITS) as room, GateRoom(tmp_path, clock, slot=1, limits=LIMITS) as other:
        await spend(room)
        assert (await other.paused()).kind is WaitKind.RATE
        held = [await one.entered(site=site_of("yahoo")) for one in (room, other)]
        assert not room.slots.take("default", "yahoo")
        for one, entry in zip((room, other), held, strict=True):
            one.answer(entry)
        room.check_nothing_held()
