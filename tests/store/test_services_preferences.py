"""Preferences for a sender's own page: shown, changed all at once or not at all, and never what is blocked."""

import asyncio
from uuid import UUID

import pytest

from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.base.vocab import LeavingReason, SubscriptionState, SuppressionOrigin, SuppressionScope
from outrider.services.preferences import Preferences, Wanted, Word
from outrider.services.topics import Topics
from outrider.store import events, suppressions
from outrider.store.events import Event
from outrider.store.pool import Store
from outrider.store.suppressions import Suppression
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest

ANN = "Ann@A.example"
YES, NO = SubscriptionState.SUBSCRIBED, SubscriptionState.UNSUBSCRIBED


class Desk:
    """A project with two topics."""

    def __init__(self, store: Store, clock: FakeClock, shop: UUID) -> None:
        self.store, self.clock, self.shop = store, clock, shop
        self.service = Preferences(store, clock=clock)

    async def change(self, **wanted: object) -> dict[str, SubscriptionState]:
        found = await self.service.change(self.shop, ANN, Wanted(**wanted))  # type: ignore[arg-type]
        assert found == await self.service.show(self.shop, ANN.lower())
        return {"": found.marketing} | {one.name: one.state for one in found.topics}

    async def log(self) -> list[Event]:
        async with self.store.transaction() as tx:
            return list(await events.of_message(tx, self.shop, UUID(int=0), accepted_at=self.clock.now()))


@pytest.fixture
async def desk(store: Store, clock: FakeClock, mailroom: Mailroom) -> Desk:
    shop = await mailroom.project()
    for name in ("news", "offers"):
        await Topics(store, clock=clock).add(shop, name, title=name.title())
    return Desk(store, clock, shop)


async def test_all_is_left_but_for_what_is_chosen_and_all_comes_again(desk: Desk) -> None:
    word = Word(why=LeavingReason.NOT_RELEVANT, said="Not for me.")
    left = await desk.change(marketing=False, topics={"news": True}, word=word, client="192.0.2.9")
    assert left == {"": NO, "news": YES, "offers": NO}
    assert (await desk.change(topics={"offers": True})) == {"": NO, "news": YES, "offers": YES}
    assert (await desk.change(marketing=False, topics={"offers": True})) == {"": NO, "news": NO, "offers": YES}
    assert (await desk.change(topics={"news": True})) == {"": NO, "news": YES, "offers": YES}
    assert (await desk.change(marketing=True, topics={"news": False})) == {"": YES, "news": NO, "offers": YES}
    first = (await desk.log())[0]
    assert first.facts == {
        "address": ANN.lower(),
        "client": "192.0.2.9",
        "suppressed": "stream",
        "why": "not_relevant",
        "said": "Not for me.",
    }
    assert first.reply == "by the sender's own page"


async def test_the_same_twice_is_once_also_at_the_same_moment(desk: Desk) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(desk.change(marketing=False, topics={"news": True}))
    assert [one.facts["suppressed"] for one in await desk.log()] == ["stream", "list"]


async def test_nothing_is_changed_where_something_cannot_be(desk: Desk) -> None:
    for wanted, error, field in (
        ({"topics": {"news": False, "none": False}}, NotFoundError, "topics.none"),
        ({"topics": {"a\x00": True}}, NotFoundError, "topics.a\x00"),
    ):
        with pytest.raises(error) as caught:
            await desk.change(**wanted)
        assert caught.value.field == field
    for text in ("ann", "", "a@b@c"):
        with pytest.raises(CallerError) as wrong:
            await desk.service.show(desk.shop, text)
        assert wrong.value.field == "address"
    assert set((await desk.change()).values()) == {YES}
    assert await desk.log() == []


async def test_a_complaint_is_not_taken_back_for_the_reader(desk: Desk, clock: FakeClock) -> None:
    complaint = Suppression(
        project_id=desk.shop,
        address_key=ANN.lower(),
        scope=SuppressionScope.STREAM,
        subject="marketing",
        reason="complaint",
        origin=SuppressionOrigin.REQUEST,
        created_at=clock.now(),
    )
    async with desk.store.transaction() as tx:
        await suppressions.put(tx, [complaint])
    for wanted, field in (({"marketing": True}, "marketing"), ({"topics": {"news": True}}, "topics.news")):
        with pytest.raises(ConflictError) as caught:
            await desk.change(**wanted)
        assert caught.value.field == field
    assert set((await desk.change(topics={"news": False})).values()) == {SubscriptionState.BLOCKED}


@pytest.mark.parametrize("client", ["192.0.2.9\x00", "\ud800", "a\nb"])
async def test_a_client_that_cannot_be_kept_is_refused(desk: Desk, client: str) -> None:
    with pytest.raises(CallerError) as caught:
        await desk.change(marketing=False, client=client)
    assert caught.value.field == "client"
    assert await desk.log() == []
