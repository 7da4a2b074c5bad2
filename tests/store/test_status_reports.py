"""Who asked for reports by mail, and those that wait: one for each action, sent once, forgotten with the wish."""

from datetime import timedelta
from uuid import UUID

from outrider.store import domains, status_reports
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.store.status_reports import NewReport, Wish
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


async def wish_of(store: Store, clock: FakeClock, mailroom: Mailroom, project_id: UUID, return_to: str) -> Wish:
    made = Wish(
        project_id=project_id,
        recipient_id=mailroom.new_id(),
        message_id=mailroom.new_id(),
        return_to=return_to,
        kinds=["DELAY", "FAILURE"],
        is_full=True,
        envelope_id="QQ 1",
        original="a@old.example",
        wished_at=clock.now(),
    )
    async with store.transaction() as tx:
        await status_reports.wish(tx, [made])
    return made


async def test_only_a_proven_domain_of_the_project_is_written_to(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    now = clock.now()
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    async with store.transaction() as tx:
        assert not await status_reports.has_any(tx)
        await domains.insert(tx, Domain(mailroom.new_id(), shop, "reports.example", now, now))
        await domains.insert(tx, Domain(mailroom.new_id(), shop, "unproven.example", now, None))
    good = await wish_of(store, clock, mailroom, shop, "ops@Reports.example")
    bad = [
        await wish_of(store, clock, mailroom, shop, "ops@unproven.example"),
        await wish_of(store, clock, mailroom, shop, "victim@elsewhere.example"),
        await wish_of(store, clock, mailroom, other, "ops@reports.example"),
    ]
    async with store.transaction() as tx:
        pairs = [(one.project_id, one.recipient_id) for one in (good, *bad)]
        assert await status_reports.wished(tx, pairs) == {good.recipient_id: good}
        assert await status_reports.wished(tx, [(other, good.recipient_id)]) == {}
        assert await status_reports.has_any(tx)


async def test_one_report_for_each_action_and_all_are_forgotten_with_the_wish(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    now, shop = clock.now(), await mailroom.project("shop")
    wish = await wish_of(store, clock, mailroom, shop, "ops@reports.example")

    def report(action: str) -> NewReport:
        return NewReport(
            report_id=mailroom.new_id(),
            project_id=shop,
            recipient_id=wish.recipient_id,
            action=action,
            reply="",
            host="",
            at=now,
        )

    async with store.transaction() as tx:
        await status_reports.insert(tx, [report("delayed"), report("failed")])
        await status_reports.insert(tx, [report("failed")])
        rows = await tx.fetch("SELECT action FROM status_report")
        assert sorted(row["action"] for row in rows) == ["delayed", "failed"]
        assert await status_reports.forget(tx, before=now) == 0
        assert await status_reports.forget(tx, before=now + timedelta(seconds=1)) == 1
        assert await tx.fetch("SELECT FROM status_report") == []
