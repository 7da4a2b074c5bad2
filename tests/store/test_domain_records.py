"""What was seen of records: replaced as a whole, gone with their domain, nobody else's."""

import msgspec

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.store import domain_records, domains
from outrider.store.domain_records import SeenRecord
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


def seen(clock: FakeClock, kind: RecordKind, host: str) -> SeenRecord:
    return SeenRecord(
        kind=kind,
        host=host,
        state=RecordState.FAILED,
        cause=RecordCause.TYPO,
        seen=["v=spf1 ip4:1 'quoted' \"twice\"", ""],
        advice="Nearly right.",
        publish="v=spf1 -all",
        checked_at=clock.now(),
        failing_since=clock.now(),
    )


async def test_what_was_seen_is_replaced_as_a_whole(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    project_id, other_id = await mailroom.project("one"), await mailroom.project("two")
    domain = Domain(mailroom.new_id(), project_id, "shop.example", clock.now())
    ids = (project_id, domain.domain_id)
    first = [
        seen(clock, RecordKind.DKIM, "a._domainkey.shop.example"),
        seen(clock, RecordKind.DKIM, "b._domainkey.shop.example"),
        seen(clock, RecordKind.SPF, "shop.example"),
    ]
    passed = msgspec.structs.replace(first[2], state=RecordState.PASSED, cause=RecordCause.NONE, failing_since=None)
    async with store.transaction() as tx:
        await domains.insert(tx, domain)
        assert await domain_records.of_domain(tx, *ids) == []
        await domain_records.replace(tx, *ids, list(reversed(first)))
        assert await domain_records.of_domain(tx, *ids) == first
        assert await domain_records.of_domain(tx, other_id, domain.domain_id) == []
        await domain_records.replace(tx, *ids, [passed])
        assert await domain_records.of_domain(tx, *ids) == [passed]
        assert await domains.remove(tx, *ids)
        assert await domain_records.of_domain(tx, *ids) == []
