"""Rules tried on what was said: what no rule explains, what others would change, and wrong suppressions undone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from outrider.base.vocab import EventKind, Fate, Phase, RecipientStatus, SuppressionOrigin, SuppressionScope
from outrider.engine import feed
from outrider.engine.feed import Cursor, Event
from outrider.engine.heard import judge_again
from outrider.engine.settle import Outcome, Settler
from outrider.engine.upkeep import ensure_partitions
from outrider.knowledge import reply_rules
from outrider.mail.verp import Purpose
from outrider.net.pool import Attempt
from outrider.policy.classify import Classifier, Verdict, parse_rules
from outrider.policy.shaping import SMARTHOST
from outrider.services import rules
from outrider.services.inbound import ReportReader
from outrider.services.rules import Replay, Rules, Unknown
from outrider.store import inbound, queue, suppressions
from outrider.store.inbound import Inbound
from outrider.store.pool import Store
from outrider.store.suppressions import Past, Suppression
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import PROJECT, EngineRoom, classifier, running, usual_shaping
from outrider.wire.answer import Answer
from outrider.wire.reply import Reply

pytestmark = pytest.mark.newest

RULE = """
[[rule]]
id = "{id}"
reason = "{reason}"
pattern = '{pattern}'
fate = "bounced"
source = "a guess"
seen_on = 2026-11-24
samples = ["554 5.7.9 some"]
"""
ANN, BOB, EVE = "ann@a.example", "bob@b.example", "eve@c.example"
GONE = Reply(550, "5.1.1", "no such user")
TSS04 = Reply(553, "5.7.1", "[TSS04] Messages from 192.0.2.7 temporarily deferred due to user complaints")
ODD = Reply(554, "", "the moon is in the seventh house")
DAY_S = 86_400.0


def own(identifier: str, reason: str, pattern: str) -> Classifier:
    """Our rules, after one of an operator's."""
    return Classifier(reply_rules(parse_rules(RULE.format(id=identifier, reason=reason, pattern=pattern))))


BAD = own("own.tss", "recipient.invalid", "tss04")  # Takes a provider's complaint about us for a reader who is gone.
FULL = own("own.full", "recipient.full", "seventh house|tss04")


@pytest.fixture
def room_settings() -> dict[str, Any]:
    return {"settle_wait_s": 0.0}


class Desk:
    """Replies as they were settled, days apart, and what became of them."""

    def __init__(self, room: EngineRoom, clock: FakeClock) -> None:
        self.room, self.clock, self.store = room, clock, room.store
        self.rules = Rules(room.store, usual_shaping(), clock=clock)

    async def refuse(
        self,
        address: str,
        *replies: Reply,
        by: Classifier,
        phase: Phase = Phase.RCPT,
        provider: str = "yahoo",
        is_accepted: bool = False,
    ) -> list[UUID]:
        """Settle a mail for each reply, all accepted first; return the recipients."""
        for _ in () if is_accepted else replies:
            await self.room.send(address)
        claims = (await self._claims())[: len(replies)]
        settler = Settler(
            self.store,
            self.room.settings,
            writer="w",
            clock=self.clock,
            logger=self.room.journal.logger,
            metrics=self.room.metrics,
        )
        async with running(settler):
            for claim, reply in zip(claims, replies, strict=True):
                answer = Answer(phase, reply)
                verdict = by.judge(answer)
                self.clock.advance(1.0)
                ended = {Fate.DELIVERED: RecipientStatus.DELIVERED, Fate.BOUNCED: RecipientStatus.BOUNCED}
                assert await settler.settle(
                    Outcome(
                        claim=claim,
                        project_id=claim.project_id,
                        status=ended.get(verdict.fate, RecipientStatus.EXPIRED),
                        verdict=verdict,
                        answer=answer,
                        attempt=Attempt({claim.address: answer}, 0.1, "mx.b.example", "127.0.0.1"),
                        ended_at=self.clock.now(),
                        provider=provider,
                    )
                )
        return [claim.recipient_id for claim in claims]

    async def _claims(self) -> Sequence[queue.Claim]:
        async with self.store.transaction() as tx:
            lanes = [row["lane_id"] for row in await tx.fetch("SELECT lane_id FROM lane")]
            return await queue.first_due(tx, lanes, now=self.clock.now(), busy=[], count_max=100)

    async def pass_days(self, days: float) -> None:
        self.clock.advance(days * DAY_S)
        await ensure_partitions(self.store, self.clock)

    async def replay(self, by: Classifier, **options: Any) -> Replay:
        heard: list[int] = []
        found = await self.rules.replay(by, on_progress=heard.append, **options)
        assert heard[-1] == found.judged_count
        return found

    async def unknown(self, by: Classifier, **options: Any) -> Unknown:
        return await self.rules.unknown(by, on_progress=lambda _: None, **options)

    async def entries(self, address: str) -> list[Suppression]:
        async with self.store.transaction() as tx:
            return await suppressions.of_address(tx, PROJECT, address)

    async def past(self, address: str) -> list[Past]:
        async with self.store.transaction() as tx:
            return await suppressions.past(tx, PROJECT, address)

    async def put(self, address: str, recipient_id: UUID, origin: SuppressionOrigin) -> None:
        async with self.store.transaction() as tx:
            made = Suppression(
                project_id=PROJECT,
                address_key=address,
                scope=SuppressionScope.ALL,
                reason="recipient.invalid",
                origin=origin,
                recipient_id=recipient_id,
                created_at=self.clock.now(),
            )
            assert await suppressions.put(tx, [made]) == 1

    async def all_events(self) -> Sequence[Event]:
        return await feed.read(self.store, Cursor(), count_max=100)

    async def evidence_count(self) -> int:
        async with self.store.transaction() as tx:
            return len(await tx.fetch("SELECT FROM evidence"))


@pytest.fixture
def desk(room: EngineRoom, clock: FakeClock) -> Desk:
    return Desk(room, clock)


async def test_a_wrong_suppression_is_found_and_undone_and_a_right_one_stays(desk: Desk) -> None:
    (wrong,) = await desk.refuse(ANN, TSS04, by=BAD)
    await desk.refuse(BOB, GONE, by=BAD)
    found = await desk.replay(classifier())
    assert [(one.address_key, one.recipient_id, one.rule) for one in found.wrong] == [(ANN, wrong, "own.tss")]
    assert (found.judged_count, found.changed_count, found.wrong_count, found.removed_count) == (2, 1, 1, 0)
    (change,) = found.changes
    assert (change.old_reason, change.old_fate, change.count) == ("recipient.invalid", Fate.BOUNCED, 1)
    assert (change.new_fate, change.example[:16]) == (Fate.DEFERRED, "553 5.7.1 [TSS04")
    assert await desk.entries(ANN) != [], "nothing was applied"

    applied = await desk.replay(classifier(), applies=True)
    assert (applied.wrong_count, applied.removed_count) == (1, 1)
    assert await desk.entries(ANN) == []
    (past,) = await desk.past(ANN)
    version = classifier().rules_version
    assert past.removed_why.startswith(
        f"rules {version}: was recipient.invalid by rule own.tss, is {change.new_reason}"
    )
    assert [one.reason for one in await desk.entries(BOB)] == ["recipient.invalid"]
    again = await desk.replay(classifier(), applies=True)
    assert (again.wrong_count, again.removed_count) == (0, 0)
    assert await desk.room.send(ANN), "it gets mail again"


@pytest.mark.parametrize("origin", ["operator", "request", "import"])
async def test_what_an_operator_or_a_reader_made_is_never_touched(desk: Desk, origin: str) -> None:
    (recipient_id,) = await desk.refuse(ANN, ODD, by=classifier())
    await desk.put(ANN, recipient_id, SuppressionOrigin(origin))
    await desk.refuse(BOB, TSS04, by=BAD)
    found = await desk.replay(own("own.odd", "content.spam", "seventh house|tss04"), applies=True)
    assert (found.changed_count, found.removed_count) == (2, 1)
    assert [one.origin for one in await desk.entries(ANN)] == [origin]


async def test_an_operators_entry_stays_where_a_wrong_reply_came_after_it(desk: Desk) -> None:
    await desk.room.send(ANN)
    await desk.put(ANN, UUID(int=9), SuppressionOrigin.OPERATOR)
    await desk.refuse(ANN, TSS04, by=BAD, is_accepted=True)
    found = await desk.replay(classifier(), applies=True)
    assert (found.changed_count, found.wrong_count) == (1, 0)
    assert len(await desk.entries(ANN)) == 1


async def test_another_reply_that_makes_it_right_keeps_it(desk: Desk) -> None:
    """Two mails under way to one address: the first was refused for our pace, the second for what it is."""
    await desk.refuse(ANN, TSS04, GONE, by=BAD)
    assert [one.rule for one in await desk.entries(ANN)] == ["own.tss"]
    found = await desk.replay(classifier(), applies=True)
    assert (found.changed_count, found.wrong_count) == (1, 0)
    assert len(await desk.entries(ANN)) == 1


async def test_one_that_other_rules_would_have_made_for_another_reason_stays(desk: Desk) -> None:
    await desk.refuse(ANN, TSS04, by=BAD)
    found = await desk.replay(own("own.moved", "recipient.moved", "tss04"), applies=True)
    assert (found.changed_count, found.wrong_count) == (1, 0)


async def test_one_that_was_counted_is_undone_with_its_evidence(desk: Desk) -> None:
    for _ in range(5):
        await desk.refuse(ANN, TSS04, by=FULL)
        await desk.pass_days(4)
    assert [one.reason for one in await desk.entries(ANN)] == ["recipient.full"]
    assert (await desk.replay(FULL)).changed_count == 0
    found = await desk.replay(classifier(), applies=True)
    assert (found.changed_count, found.wrong_count, found.removed_count, found.withdrawn_count) == (5, 1, 1, 5)
    assert (await desk.entries(ANN), await desk.evidence_count()) == ([], 0)


async def test_one_whose_earlier_evidence_was_wrong_is_undone_too(desk: Desk) -> None:
    """The reply that made it is right, the four before it were not about the mailbox."""
    for reply in (TSS04, TSS04, TSS04, TSS04, Reply(552, "5.2.2", "mailbox full")):
        await desk.refuse(ANN, reply, by=FULL)
        await desk.pass_days(4)
    assert len(await desk.entries(ANN)) == 1
    found = await desk.replay(classifier(), applies=True)
    assert (found.changed_count, found.wrong_count, found.withdrawn_count) == (4, 1, 4)
    assert (await desk.entries(ANN), await desk.evidence_count()) == ([], 1)


async def test_one_whose_evidence_is_gone_stays(desk: Desk, store: Store) -> None:
    for _ in range(5):
        await desk.refuse(ANN, Reply(552, "5.2.2", "mailbox full"), by=classifier())
        await desk.pass_days(4)
    async with store.transaction() as tx:
        await suppressions.lift(tx, [(PROJECT, ANN)])
    found = await desk.replay(own("own.else", "content.spam", "nothing says this"), applies=True)
    assert (found.judged_count, found.wrong_count) == (5, 0)
    assert len(await desk.entries(ANN)) == 1


async def test_what_would_have_suppressed_is_counted_and_not_added(desk: Desk) -> None:
    await desk.refuse(ANN, ODD, by=classifier())
    found = await desk.replay(own("own.odd", "recipient.invalid", "seventh house"), applies=True)
    assert (found.changed_count, found.unmade_count, found.wrong_count) == (1, 1, 0)
    assert await desk.entries(ANN) == []


async def test_our_smart_hosts_refusal_of_us_counts_for_nobody(desk: Desk) -> None:
    relay = own("own.relay", "relay_denied", "seventh house")
    for _ in range(3):
        await desk.refuse(ANN, ODD, by=classifier(), provider=SMARTHOST)
        await desk.pass_days(4)
    found = await desk.replay(relay)
    assert (found.changed_count, found.unmade_count) == (3, 0)


async def test_a_long_log_is_read_page_by_page_and_days_bound_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_PAGE_COUNT", 2)
    monkeypatch.setattr(rules, "_WRONG_MAX", 1)
    addresses = [f"u{number}@b.example" for number in range(5)]
    for address in addresses:
        await desk.refuse(address, TSS04, by=BAD)
        await desk.pass_days(1)
    assert (await desk.replay(classifier(), days=3)).judged_count == 2
    monkeypatch.setattr(rules, "LISTED_COUNT_MAX", 3)
    found = await desk.replay(classifier(), applies=True)
    assert (found.judged_count, found.wrong_count, found.removed_count, len(found.wrong)) == (5, 5, 5, 3)
    assert [await desk.entries(address) for address in addresses] == [[]] * 5


async def test_a_late_bounce_is_judged_again_and_undone(desk: Desk, store: Store) -> None:
    (recipient_id,) = await desk.refuse(ANN, Reply(250, "2.0.0", "queued"), by=classifier(), phase=Phase.DOT)
    report = Path(__file__).parents[1] / "data/reports/postfix_user_unknown.eml"
    bad = own("own.any", "recipient.moved", "^550 5.1.1")
    async with store.transaction() as tx:
        mail = Inbound(
            inbound_id=UUID(int=1),
            recipient_id=recipient_id,
            purpose=Purpose.BOUNCE,
            sender="",
            client="192.0.2.1",
            content=report.read_bytes(),
            received_at=desk.clock.now(),
        )
        await inbound.insert(tx, [mail])
    reader = ReportReader(store, bad, clock=desk.clock, logger=desk.room.journal.logger, metrics=desk.room.metrics)
    assert await reader.read_batch() == 1
    (made,) = await desk.entries(ANN)
    assert (made.origin, made.reason) == (SuppressionOrigin.REPORT, "recipient.moved")
    assert (await desk.replay(bad)).changed_count == 0
    spam = own("own.any", "content.spam", "^550 5.1.1")
    found = await desk.replay(spam, applies=True)
    assert [(one.old_reason, one.new_reason, one.new_rule) for one in found.changes] == [
        ("recipient.moved", "content.spam", "own.any")
    ]
    assert (found.removed_count, await desk.entries(ANN)) == (1, [])


async def test_what_no_rule_explains_is_listed_by_what_it_says(desk: Desk) -> None:
    for number in range(3):
        words = f"<u{number}@b.example> the stars say no, ticket 2026112{number}"
        await desk.refuse(f"u{number}@b.example", Reply(554, "", words), by=classifier())
    await desk.refuse(BOB, Reply(454, "", "perhaps"), by=classifier(), provider="")
    await desk.refuse(EVE, GONE, by=classifier())
    found = await desk.unknown(classifier())
    assert [(one.count, one.reason, one.phase, one.provider, one.host) for one in found.groups] == [
        (3, "unknown.hard", "rcpt", "yahoo", "mx.b.example"),
        (1, "unknown.soft", "rcpt", "", "mx.b.example"),
    ]
    assert found.groups[0].example == "554 <u2@b.example> the stars say no, ticket 20261122"
    assert (found.group_count, found.reply_count, found.is_cut) == (2, 4, False)
    assert len((await desk.unknown(classifier(), count_max=1)).groups) == 1
    explained = await desk.unknown(own("own.stars", "policy.other", "the stars say"))
    assert [one.reason for one in explained.groups] == ["unknown.soft"], "a new rule takes its own off the list"


async def test_the_rarest_are_dropped_where_there_are_too_many(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_GROUPS_MAX", 2)
    for word in ("sun", "moon", "stars", "moon"):
        await desk.refuse(f"{word}@b.example", Reply(554, "", f"the {word} says no"), by=classifier())
    found = await desk.unknown(classifier())
    assert ([one.count for one in found.groups], found.is_cut) == ([2], True)


async def test_the_event_keeps_what_is_needed(desk: Desk) -> None:
    await desk.refuse(ANN, Reply(554, "", "a / b  c \n d"), by=classifier())
    (event,) = [event for event in await desk.all_events() if event.kind is EventKind.BOUNCED]
    assert {name: event.facts[name] for name in ("phase", "host", "provider", "rules", "code", "text")} == {
        "phase": "rcpt",
        "host": "mx.b.example",
        "provider": "yahoo",
        "rules": classifier().rules_version,
        "code": 554,
        "text": "a / b  c \n d",
    }
    verdict = judge_again(classifier(), event)
    assert verdict == Verdict(Fate.BOUNCED, "unknown.hard", rules_version=classifier().rules_version)
