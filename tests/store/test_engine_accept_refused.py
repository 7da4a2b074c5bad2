"""Who is refused when mail is accepted: nothing of it for them, a line in the log, and nobody else reads of them."""

from outrider.base.vocab import EventKind, SuppressionScope
from outrider.engine.explain import Explainer
from outrider.engine.submission import Rejected
from outrider.services.log_search import EVER, EventSearch, Search
from outrider.services.mail import Mail
from outrider.services.recount import Recounter
from outrider.services.reports import Reports
from outrider.services.stats import StatKeeper, Stats
from outrider.store import messages, suppressions
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import (
    PROJECT,
    EngineRoom,
    Journal,
    counts,
    submission,
)
from tests.store.test_engine_accept import suppressed


async def test_who_left_a_list_gets_none_of_it_and_all_else(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    async with store.transaction() as tx:
        await suppressions.put(tx, [suppressed("ann@a.example", clock, scope=SuppressionScope.LIST, subject="weekly")])
    accepted = await room.accept(PROJECT, submission("ann@a.example", "bob@a.example", list_name="weekly"))
    assert accepted.rejected == (Rejected("ann@a.example", "recipient suppressed"),)
    for name in ("", "monthly", "Weekly"):
        assert (await room.accept(PROJECT, submission("ann@a.example", list_name=name))).rejected == ()


async def test_who_is_refused_stands_in_the_log_and_in_the_figures(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    async with store.transaction() as tx:
        await suppressions.put(tx, [suppressed("ann@a.example", clock, reason="recipient.invalid")])
    both = submission("bob@a.example", "Ann@a.example")
    for _ in range(2):
        session_id = (await room.accept(PROJECT, both, idempotency_key="once")).session_id
    assert session_id is not None
    told = await room.events(session_id)
    assert [(one.kind, one.recipient_id) for one in told] == [(EventKind.ACCEPTED, None), (EventKind.SUPPRESSED, None)]
    assert (told[1].reason, told[1].facts) == ("recipient.invalid", {"address": "Ann@a.example", "suppressed": "all"})
    nobody = await room.accept(PROJECT, submission("ann@a.example"))
    assert (nobody.session_id, (await counts(store))["event"]) == (None, 2), "of a mail to nobody nothing is stored"

    found = (
        await EventSearch(store, clock=clock).page(PROJECT, Search(since=EVER, recipient="ann@"), count_max=9)
    ).events
    assert [(one.kind, one.recipient, one.message_id) for one in found] == [
        (EventKind.SUPPRESSED, "Ann@a.example", session_id)
    ]
    listed = (await Mail(store, clock=clock).events(PROJECT, session_id, cursor="", count_max=9)).events
    assert [one.recipient for one in listed] == ["", "Ann@a.example"]
    shown = await Reports(store, clock=clock).session(PROJECT, session_id)
    assert [(one.address, [event.kind for event in one.events]) for one in shown.recipients] == [
        ("bob@a.example", [EventKind.ACCEPTED])
    ], "it is no event of the others"
    explained = await Explainer(store, clock=clock).show("bob@a.example", project_id=PROJECT)
    assert [one.kind for one in explained.events] == [EventKind.ACCEPTED]

    await StatKeeper(store, clock=clock, logger=Journal().logger).count()
    counted = {one.metric: one.count for one in await Stats(store, clock=clock).read(PROJECT)}
    assert counted == {"accepted": 2, "suppressed": 1, "blocked": 1}
    assert (await Recounter(store, clock=clock).recount()).differences == []


async def test_who_is_suppressed_is_not_shown_to_the_others(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    async with store.transaction() as tx:
        await suppressions.put(tx, [suppressed(key, clock) for key in ("ann@a.example", "eve@e.example")])
    to, cc = ("Ann <Ann@a.example>", "bob@b.example"), ("eve@e.example",)
    everybody = ("Ann@a.example", "bob@b.example", "eve@e.example", "cat@c.example")
    shown = await room.send(*everybody, shown_to=to, shown_cc=cc)
    blind = await room.send(*everybody, shown_to=to[:1], shown_cc=cc)
    alike = await room.send("bob@b.example", shown_to=to[1:])
    async with store.transaction() as tx:
        found = await messages.load(tx, [shown, blind, alike])
    assert [(found[one].body.shown_to, found[one].body.shown_cc) for one in (shown, blind)] == [(to[1:], ()), ((), ())]
    assert found[shown].message.content_hash == found[alike].message.content_hash, "each is stored as what it is"
