"""Fault: the junk filter is killed, hangs, or answers nonsense while mail is handed in.

What the policy says of that must hold: mail passes unseen, or is stored and held; none is lost, refused or kept
waiting for longer than `[content] wait_s`, and once the filter is back it is asked again.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from outrider.base.errors import ContentRefusedError
from outrider.base.vocab import RecipientStatus
from outrider.engine.accept import Acceptor
from outrider.net.rspamd import RspamdClient
from outrider.policy.content import WhenDown
from outrider.services.content import ContentChecks
from outrider.services.settings import ContentSettings
from outrider.store import projects
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import PROJECT, EngineRoom, running, submission
from outrider.testing.http_peer import Act, HttpPeer, answer, drip, hang, say
from outrider.testing.junkfilter import GTUBE, PROGRAM, RunningRspamd
from outrider.testing.postgres import make_folder

PASS, HOLD = WhenDown
EXPECTED = {PASS: (RecipientStatus.QUEUED, ""), HOLD: (RecipientStatus.HELD, "content")}
LIES = json.dumps({"score": "none", "action": "no action"}).encode()


class Room:
    """A station 1 that asks the filter at `url`."""

    def __init__(self, store: Store, clock: RealClock) -> None:
        self.engine = EngineRoom(store, clock)

    def acceptor(self, url: str, when_down: WhenDown, *, wait_s: float = 5.0) -> Acceptor:
        engine = self.engine
        checks = ContentChecks(
            engine.store,
            ContentSettings(rspamd_url=url, when_down=when_down),
            RspamdClient(url, wait_s=wait_s, at_once=4, clock=engine.clock),
            clock=engine.clock,
            metrics=engine.metrics,
            logger=engine.journal.logger,
        )
        return engine.acceptor(contents=checks)

    async def state(self, accept: Acceptor, text: str = "Hello.") -> tuple[RecipientStatus, str]:
        """Hand in a mail, and return what became of it at once."""
        accepted = await accept(PROJECT, submission("ann@a.example", text=text))
        assert accepted.session_id is not None
        (one,) = (await self.engine.recipients(accepted.session_id)).values()
        return one.status, one.reason


@pytest.fixture
async def room(store: Store, clock: RealClock) -> Room:
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
    return Room(store, clock)


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


@pytest.mark.slow
@pytest.mark.needs(PROGRAM)
@pytest.mark.parametrize("when_down", [PASS, HOLD])
async def test_killed(room: Room, when_down: WhenDown, folder: Path) -> None:
    async with RunningRspamd.start(folder) as rspamd:
        accept = room.acceptor(rspamd.url, when_down)
        async with running(accept):
            assert await room.state(accept, "Your receipt.") == EXPECTED[PASS]
            with pytest.raises(ContentRefusedError):
                await room.state(accept, GTUBE)
            await rspamd.kill()
            for n in range(5):
                assert await room.state(accept, f"Receipt {n}.") == EXPECTED[when_down]


@pytest.mark.parametrize("when_down", [PASS, HOLD])
@pytest.mark.parametrize(
    "act",
    [hang(), drip(b"HTTP/1.1 200 OK\r\n" * 50), answer(200, LIES), answer(500, b"x"), say(b"220 mail ESMTP\r\n")],
    ids=["hangs", "drips", "lies", "fails", "speaks-smtp"],
)
async def test_hanging_or_lying(room: Room, when_down: WhenDown, act: Act) -> None:
    with HttpPeer([act]) as peer:
        accept = room.acceptor(peer.url, when_down, wait_s=0.1)
        async with running(accept):
            found = [await room.state(accept, f"Mail {n}.") for n in range(5)]
        assert set(found) == {EXPECTED[when_down]}
        assert len(peer.heard) <= 3, "after three nobody is made to wait"


async def test_back_again(room: Room, clock: RealClock) -> None:
    good: Sequence[Act] = [
        answer(200, json.dumps({"score": 20, "required_score": 15, "action": "reject", "symbols": {}}).encode())
    ]
    with HttpPeer([answer(503)] * 3 + list(good)) as peer:
        accept = room.acceptor(peer.url, HOLD)
        async with running(accept):
            for n in range(4):
                assert await room.state(accept, f"Mail {n}.") == EXPECTED[HOLD]
            clock.jump(3.1)
            with pytest.raises(ContentRefusedError):
                await room.state(accept, "Mail 3.")
