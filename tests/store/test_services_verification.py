"""Domains are looked at through a real name server, and what is found has its consequences, each told once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import EventKind, KeyState, RecordCause, RecordKind, RecordState, Stream, WaitKind
from outrider.mail import dkim
from outrider.policy.record_finding import Finding
from outrider.policy.records import Wanted
from outrider.services.release import Releases
from outrider.store import domains, lanes
from outrider.store.lanes import GivenBack, LaneKey, Pause
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.dns import Fault, Node
from outrider.testing.engineroom import running
from outrider.testing.mailroom import WAIT_S, Mailroom
from tests.store.verifying import DAY, HOUR, NAME, SETTINGS, Office, node, open_office, states

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("quick_keys")]


class InstantClock(FakeClock):
    """Nobody waits."""

    async def sleep(self, delay_s: float) -> None:
        """Return at once."""


async def no_mail(_: int) -> int:
    """Have nothing to cancel."""
    return 0


@pytest.fixture
async def office(store: Store, clock: FakeClock) -> AsyncIterator[Office]:
    async with open_office(store, clock) as made:
        yield made


@pytest.fixture
async def shop(mailroom: Mailroom) -> UUID:
    return await mailroom.project("shop")


@pytest.fixture
async def passed(office: Office, shop: UUID) -> UUID:
    """Give a project whose domain has passed."""
    await office.pass_domain(shop)
    return shop


async def test_what_to_publish_is_complete_and_asks_nobody(office: Office, shop: UUID) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False, tracking_host="track.shop.example")
    report = await office.another(checker=Never()).report(shop, NAME.upper())
    shown = {(one.kind, one.type, one.host): one.value for one in report.records}
    selectors = [one.selector for one in report.records if one.kind is RecordKind.DKIM]
    assert len(selectors) == 2
    assert shown[RecordKind.DMARC, "TXT", f"_dmarc.{NAME}"] == "v=DMARC1; p=none; rua=mailto:dmarc@us.example"
    assert shown[RecordKind.RETURN_PATH, "MX", f"bounces.{NAME}"] == "10 mx.us.example"
    assert shown[RecordKind.RETURN_PATH_SPF, "TXT", f"bounces.{NAME}"] == "v=spf1 ip4:192.0.2.7 -all"
    assert shown[RecordKind.SPF, "TXT", NAME].startswith("v=spf1 ip4:192.0.2.7 ")
    assert shown[RecordKind.TRACKING, "CNAME", "track.shop.example"] == "mx.us.example"
    rsa = next(one for one in report.records if len(one.strings) > 1)
    assert ("".join(rsa.strings), max(map(len, rsa.strings))) == (rsa.value, 255)
    assert {one.state for one in report.records} == {RecordState.UNVERIFIED}


async def test_who_only_wants_to_look_gets_what_is_asked_and_changes_nothing(office: Office, shop: UUID) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False)
    office.zone.clear()
    wanted = await office.another(checker=Never()).wanted(shop, NAME.upper())
    assert [one.host for one in wanted] == [one.host for one in (await office.verification.report(shop, NAME)).records]
    assert (await office.identity.domain(shop, NAME)).checked_at is None
    with pytest.raises(NotFoundError):
        await office.verification.wanted(shop, "unknown.example")


async def test_a_domain_passes_once_all_is_there_and_then_it_signs_and_sends(office: Office, shop: UUID) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False)
    await office.senders.add(shop, f"noreply@{NAME}", "")
    nothing = await office.verification.verify(shop, NAME)
    assert (nothing.domain.state, nothing.domain.verified_at) == (RecordState.FAILED, None)
    assert all(one.advice for one in nothing.records)
    assert await office.keys.of_domain(shop, NAME) == []
    await office.publish(shop)
    del office.zone[f"_dmarc.{NAME}"]
    most = await office.verification.verify(shop, NAME)
    assert (most.domain.state, most.domain.verified_at) == (RecordState.FAILED, None), "a key alone does not do"
    assert (await office.events(), await office.told(shop)) == ([], []), "nothing was lost yet"
    await office.publish(shop)
    office.clock.advance(1)
    done = await office.verification.verify(shop, NAME)
    assert (done.domain.state, done.domain.verified_at) == (RecordState.PASSED, office.clock.now())
    assert set(states(done).values()) == {RecordState.PASSED}
    assert len(await office.keys.of_domain(shop, NAME)) == 2
    (listed,) = await office.senders.list(shop)
    assert listed.sender.may_send
    (event,) = await office.events()
    assert (event.kind, event.project_id, event.message_id) == (EventKind.DOMAIN_PASSED, shop, UUID(int=0))
    assert event.facts == {"domain": NAME}
    (notice,) = await office.told(shop)
    assert (notice.kind, notice.subject) == (EventKind.DOMAIN_PASSED, f"{NAME} has passed")
    again = await office.verification.verify(shop, NAME)
    assert again.domain.verified_at == done.domain.verified_at
    assert len(await office.told(shop)) == 1, "told once"


async def test_without_its_own_key_in_dns_nobody_proves_a_domain(
    office: Office, shop: UUID, mailroom: Mailroom
) -> None:
    thief = await mailroom.project("thief")
    for project_id in (shop, thief):
        await office.identity.add_domain(
            project_id, NAME, is_verified=False, algorithms=[dkim.ED25519_SHA256], return_path=""
        )
    await office.publish(shop)  # Both have the same selectors, and other keys.
    stolen = (await office.verification.verify(thief, NAME)).domain
    assert (stolen.state, stolen.verified_at) == (RecordState.FAILED, None)
    proven = (await office.verification.verify(shop, NAME)).domain
    assert (proven.state, proven.verified_at) == (RecordState.PASSED, office.clock.now())


async def test_a_domain_that_another_project_has_proven_is_proven_once_that_has_given_it_up(
    store: Store, office: Office, shop: UUID, mailroom: Mailroom
) -> None:
    late = await mailroom.project("late")
    await office.identity.add_domain(shop, NAME, is_verified=True)
    await office.identity.add_domain(late, NAME, is_verified=False)
    await office.publish(late)
    report = await office.verification.verify(late, NAME)
    assert (report.domain.verified_at, report.domain.state) == (None, RecordState.FAILED)
    assert "proven in another project" in report.note
    assert await office.told(late) == []
    releases = Releases(store, no_mail, clock=InstantClock(office.clock.now()), random_bits=lambda _: 0)
    await releases.release(shop, NAME)
    office.clock.advance(1)
    report = await office.verification.verify(late, NAME)
    assert (report.domain.verified_at, report.domain.state) == (office.clock.now(), RecordState.PASSED)


async def test_what_is_lost_is_warned_of_then_stopped_and_goes_on_when_it_is_there_again(
    office: Office, passed: UUID
) -> None:
    kept = dict(office.zone)
    office.clock.advance(DAY.total_seconds())
    del office.zone[f"_dmarc.{NAME}"]
    lost = await office.verification.verify(passed, NAME)
    assert (lost.domain.state, lost.domain.failing_since) == (RecordState.FAILED, office.clock.now())
    assert lost.stops_at == office.clock.now() + timedelta(seconds=SETTINGS.grace_s)
    assert states(lost)[RecordKind.DMARC] is RecordState.FAILED
    await office.identity.check(passed, NAME, Stream.MARKETING)
    office.clock.advance(SETTINGS.grace_s - 1)
    assert (await office.verification.verify(passed, NAME)).domain.stopped_at is None
    office.clock.advance(1)
    stopped = await office.verification.verify(passed, NAME)
    assert (stopped.domain.stopped_at, stopped.stops_at) == (office.clock.now(), None)
    with pytest.raises(CallerError):
        await office.identity.check(passed, NAME, Stream.MARKETING)
    await office.verification.verify(passed, NAME)
    office.zone.update(kept)
    office.clock.advance(1)
    back = await office.verification.verify(passed, NAME)
    assert (back.domain.state, back.domain.failing_since, back.domain.stopped_at) == (RecordState.PASSED, None, None)
    kinds = [EventKind.DOMAIN_PASSED, EventKind.DOMAIN_FAILED, EventKind.DOMAIN_STOPPED, EventKind.DOMAIN_PASSED]
    told = await office.events()
    assert [one.kind for one in told] == kinds == [one.kind for one in await office.told(passed)]
    assert told[1].facts["records"] == f"dmarc at _dmarc.{NAME}: missing"
    assert told[3].facts["was_stopped"] is True
    warning = (await office.told(passed))[1]
    assert f"dmarc at _dmarc.{NAME}" in warning.text
    assert f"{lost.stops_at:%Y-%m-%d %H:%M} UTC" in warning.text


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.SILENT, Fault.REFUSED])
async def test_dns_that_fails_changes_nothing(office: Office, passed: UUID, fault: Fault) -> None:
    before = await office.verification.report(passed, NAME)
    office.zone.update({name: node(old, fault=fault) for name, old in office.zone.items()})
    office.clock.advance(DAY.total_seconds())
    after = await office.verification.verify(passed, NAME)
    assert after.domain == msgspec.structs.replace(before.domain, checked_at=office.clock.now())
    assert states(after) == states(before)
    assert all(one.cause.is_temporary and one.advice for one in after.records)
    assert [one.value for one in after.records] == [one.value for one in before.records]
    assert len(await office.events()) == 1


async def test_nobody_is_stopped_by_a_look_that_saw_nothing(office: Office, passed: UUID) -> None:
    dmarc = office.zone.pop(f"_dmarc.{NAME}")
    await office.verification.verify(passed, NAME)
    office.zone[f"_dmarc.{NAME}"] = node(dmarc, fault=Fault.SERVFAIL)
    office.clock.advance(SETTINGS.grace_s + 1)
    silent = await office.verification.verify(passed, NAME)
    assert (silent.domain.state, silent.domain.stopped_at) == (RecordState.FAILED, None)
    del office.zone[f"_dmarc.{NAME}"]
    office.clock.advance(1)
    assert (await office.verification.verify(passed, NAME)).domain.stopped_at is not None


async def test_who_sends_on_somebodys_word_is_warned_once_and_never_stopped(office: Office, shop: UUID) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=True)
    for _ in range(3):
        office.clock.advance(SETTINGS.grace_s)
        report = await office.verification.verify(shop, NAME)
    assert (report.domain.state, report.domain.failing_since, report.domain.stopped_at) == (
        RecordState.FAILED,
        None,
        None,
    )
    assert report.domain.verified_at is not None
    (notice,) = await office.told(shop)
    assert (notice.kind, "on your word" in notice.text) == (EventKind.DOMAIN_FAILED, True)
    assert len(await office.keys.of_domain(shop, NAME)) == 2
    await office.identity.check(shop, NAME, Stream.MARKETING)


async def test_a_published_record_is_merged_with_ours_and_stays_so_while_dns_is_silent(
    office: Office, shop: UUID
) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False)
    office.zone[NAME] = Node(txt=("v=spf1 include:_spf.corp.example ~all", "some other text"))
    office.zone["_spf.corp.example"] = Node(txt=("v=spf1 ip4:198.51.100.0/24 -all",))
    report = await office.verification.verify(shop, NAME)
    spf = next(one for one in report.records if one.kind is RecordKind.SPF)
    assert "ip4:192.0.2.7" in spf.value
    assert "include:_spf.corp.example" in spf.value
    office.zone[NAME] = node(office.zone[NAME], fault=Fault.SERVFAIL)
    office.clock.advance(1)
    later = await office.verification.verify(shop, NAME)
    assert next(one for one in later.records if one.kind is RecordKind.SPF).value == spf.value
    told = await office.verification.report(shop, NAME)
    assert next(one for one in told.records if one.kind is RecordKind.SPF).value == spf.value


async def test_a_new_key_is_seen_and_signs_and_is_not_asked_for_before(office: Office, passed: UUID) -> None:
    (new, *_) = await office.keys.rotate(passed, NAME, algorithms=[dkim.ED25519_SHA256])
    office.clock.advance(1)
    waiting = await office.verification.verify(passed, NAME)
    assert waiting.domain.state is RecordState.PASSED, "its record is missing, and nobody needs it yet"
    record = next(one for one in waiting.records if one.selector == new.selector)
    assert (record.state, record.is_required, record.is_needed) == (RecordState.FAILED, False, True)
    await office.publish(passed)
    office.clock.advance(1)
    found = await office.verification.verify(passed, NAME)
    former = [one for one in found.records if "former key" in one.why]
    assert [(one.selector == new.selector, one.is_required, one.is_needed) for one in former] == [(False, False, True)]
    keys = {one.selector: one.state for one in await office.keys.entries(passed, NAME)}
    assert keys[new.selector] is KeyState.SIGNING


async def test_a_delegated_domain_passes_when_its_keys_are_in_the_operators_zone(
    store: Store, clock: FakeClock, office: Office, shop: UUID
) -> None:
    office = delegating(store, clock, office)
    await office.identity.add_domain(shop, NAME, is_verified=False)
    await office.keys.delegate(shop, NAME, is_delegated=True)
    await office.publish(shop)  # CNAMEs, two for each algorithm.
    early = await office.verification.verify(shop, NAME)
    assert early.domain.state is RecordState.FAILED, "they lead nowhere yet"
    for line in await office.keys.zone():
        office.zone[f"{line.name}.dkim.us.example"] = Node(txt=(line.record,))
    clock.advance(400)
    found = await office.verification.verify(shop, NAME)
    assert (found.domain.state, found.domain.verified_at is None) == (RecordState.PASSED, False)
    signing = [one.selector for one in await office.keys.of_domain(shop, NAME)]
    assert signing, "a domain that may send signs"
    clock.advance(700)  # The other waited until nobody remembers what its name had before.
    await office.keys.tend()
    clock.advance(1)
    assert {one.selector for one in await office.keys.of_domain(shop, NAME)} == {"or1", "oe1"}


async def test_a_key_that_is_lost_is_asked_for_though_another_signs(
    office: Office, passed: UUID, clock: FakeClock
) -> None:
    rsa = next(one for one in await office.keys.entries(passed, NAME) if one.algorithm == dkim.RSA_SHA256)
    del office.zone[rsa.host]
    for _ in range(2):
        clock.advance(1000)
        found = await office.verification.verify(passed, NAME)
        assert next(one for one in found.records if one.selector == rsa.selector).is_required
        assert found.domain.state is RecordState.FAILED
    assert [one.algorithm for one in await office.keys.of_domain(passed, NAME)] == [dkim.ED25519_SHA256]


def delegating(store: Store, clock: FakeClock, office: Office) -> Office:
    """Return the office of an operator that has a zone."""
    settings = msgspec.structs.replace(SETTINGS, dkim_zone="dkim.us.example")
    made = Office(store, clock, server=office.server, settings=settings)
    made.zone = office.zone
    return made


async def test_the_records_of_a_project_s_bounce_domain_are_those_of_the_domain_above_it(
    office: Office, shop: UUID
) -> None:
    for name in ("shop.example", "news.example"):
        await office.identity.add_domain(shop, name, is_verified=True)
    await office.identity.set_bounce_domain(shop, "b.shop.example")
    hosts = {one.host for one in (await office.verification.report(shop, "shop.example")).records}
    assert "b.shop.example" in hosts
    others = await office.verification.report(shop, "news.example")
    assert "b.shop.example" not in {one.host for one in others.records}


@pytest.mark.parametrize("act", ["report", "verify"])
async def test_a_domain_is_its_projects_alone(office: Office, passed: UUID, mailroom: Mailroom, act: str) -> None:
    other = await mailroom.project("other")
    with pytest.raises(NotFoundError):
        await getattr(office.verification, act)(other, NAME)
    with pytest.raises(CallerError):
        await getattr(office.verification, act)(passed, "no domain\r\n")


# Looking again.


async def test_the_worker_looks_again_daily_and_sooner_where_somebody_waits(
    office: Office, store: Store, shop: UUID
) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False)
    assert await office.verification.check_due() == 0, "nobody has published anything yet"
    office.clock.advance(600)
    assert await office.verification.check_due() == 1
    assert (await office.verification.report(shop, NAME)).domain.state is RecordState.FAILED
    await office.publish(shop)
    office.clock.advance(660)
    assert await office.verification.check_due() == 1
    assert (await office.verification.report(shop, NAME)).domain.state is RecordState.PASSED
    office.clock.advance(0.89 * SETTINGS.recheck_s)
    assert await office.verification.check_due() == 0
    office.clock.advance(0.22 * SETTINGS.recheck_s)
    del office.zone[f"_dmarc.{NAME}"]
    assert await office.verification.check_due() == 1
    assert (await office.verification.report(shop, NAME)).domain.failing_since is not None
    office.clock.advance(1.1 * HOUR.total_seconds())
    assert await office.verification.check_due() == 1


async def test_of_several_workers_one_looks(office: Office, mailroom: Mailroom) -> None:
    for number in range(12):
        project_id = await mailroom.project(f"p{number}")
        await office.identity.add_domain(project_id, f"d{number}.example", is_verified=False)
    office.clock.advance(600)
    counting = Counting()
    workers = [office.another(checker=counting) for _ in range(3)]
    counts = await asyncio.gather(*(worker.check_due() for worker in workers))
    assert sum(counts) == 12
    assert sorted(counting.names) == sorted(f"d{number}.example" for number in range(12))
    assert max(counts) <= 8
    assert counting.at_once_max <= 12


async def test_a_look_that_dies_is_made_by_somebody_else(office: Office, shop: UUID) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False)
    office.clock.advance(600)
    dying = asyncio.create_task(office.another(checker=Hanging()).check_due())
    async with asyncio.timeout(WAIT_S):
        while not Hanging.count:
            await asyncio.sleep(0)
    assert await office.verification.check_due() == 0
    dying.cancel()
    await asyncio.wait([dying])
    office.clock.advance(600)
    assert await office.verification.check_due() == 1


async def test_the_round_looks_and_catch_mode_does_not(office: Office, shop: UUID) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False)
    office.clock.advance(600)
    async with running(office.another(is_watching=False, checker=Never())):
        await office.clock.wait_for_sleepers(1)
    async with running(office.verification):
        await office.clock.wait_for_sleepers(1)
    assert (await office.verification.report(shop, NAME)).domain.checked_at == office.clock.now()


async def test_a_look_at_what_was_changed_meanwhile_is_made_anew(office: Office, shop: UUID) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False)

    async def change() -> None:
        await office.identity.change_domain(shop, NAME, {"return_path": f"b.{NAME}"})

    counting = Counting(change)
    report = await office.another(checker=counting).verify(shop, NAME)
    assert len(counting.names) == 2
    assert f"b.{NAME}" in {one.host for one in report.records if one.state is RecordState.FAILED}


async def test_a_look_that_ends_after_a_later_one_tells_nothing(office: Office, passed: UUID) -> None:
    async def look() -> None:
        office.clock.advance(1)
        await office.verification.verify(passed, NAME)

    report = await office.another(checker=Counting(look)).verify(passed, NAME)
    assert report.domain.state is RecordState.PASSED, "the later look saw all records"


async def test_a_domain_removed_meanwhile_is_gone(office: Office, shop: UUID) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False)

    async def remove() -> None:
        await office.identity.remove_domain(shop, NAME)

    with pytest.raises(NotFoundError):
        await office.another(checker=Counting(remove)).verify(shop, NAME)


async def test_what_strangers_publish_is_kept_whatever_it_is(office: Office, shop: UUID) -> None:
    await office.identity.add_domain(shop, NAME, is_verified=False)
    seen = ("nul \x00 in it", "half \ud800", "x" * 100_000, *map(str, range(100)))
    report = await office.another(checker=Counting(seen=seen)).verify(shop, NAME)
    (kept, *_) = [one.seen for one in report.records]
    assert kept[0] == "nul \N{REPLACEMENT CHARACTER} in it"
    assert (len(kept), max(map(len, kept))) == (20, 2_000)


async def test_waiting_lanes_are_looked_at_when_a_domain_goes_on(office: Office, store: Store, passed: UUID) -> None:
    dmarc = office.zone.pop(f"_dmarc.{NAME}")
    await office.verification.verify(passed, NAME)
    office.clock.advance(SETTINGS.grace_s)
    await office.verification.verify(passed, NAME)
    now, owner = office.clock.now(), UUID(int=5)
    key = LaneKey("default", "a.example", Stream.TRANSACTIONAL, passed, NAME)
    pause = Pause(now + DAY, WaitKind.DOMAIN, "stopped")
    async with store.transaction() as tx:
        lane_id = (await lanes.ensure(tx, [key]))[key]
        await tx.execute("UPDATE lane SET next_due_at = $1 WHERE lane_id = $2", now, lane_id)
        taken = await lanes.lease(
            tx, Stream.TRANSACTIONAL, pools=["default"], owner=owner, now=now, lease_until=now + HOUR, count_max=9
        )
        await lanes.release(tx, owner, [GivenBack(taken[0].lane_id, pause=pause)], now=now)
    office.zone[f"_dmarc.{NAME}"] = dmarc
    office.clock.advance(1)
    await office.verification.verify(passed, NAME)
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT pause_kind, next_due_at FROM lane WHERE lane_id = $1", lane_id)
    assert row is not None
    assert (row["pause_kind"], row["next_due_at"]) == (None, office.clock.now())


async def test_a_domain_changed_by_another_version_is_read_as_it_is(store: Store, office: Office, passed: UUID) -> None:
    async with store.transaction() as tx:
        found = await domains.by_name(tx, passed, NAME)
        assert await domains.stopped(tx) == []
    assert found == (await office.verification.report(passed, NAME)).domain


class Never:
    """A checker that nobody may ask."""

    async def check(self, wanted: Sequence[Wanted], domain: str) -> Sequence[Finding]:
        """Fail."""
        raise AssertionError(f"{domain} was looked at")


class Counting:
    """A checker that finds nothing anywhere, and lets something happen meanwhile, once."""

    def __init__(self, meanwhile: object = None, *, seen: Sequence[str] = ()) -> None:
        self.names: list[str] = []
        self.at_once = 0
        self.at_once_max = 0
        self._meanwhile = meanwhile
        self._seen = seen

    async def check(self, wanted: Sequence[Wanted], domain: str) -> Sequence[Finding]:
        """Find nothing."""
        self.names.append(domain)
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        meanwhile, self._meanwhile = self._meanwhile, None
        if callable(meanwhile):
            await meanwhile()
        await asyncio.sleep(0)
        self.at_once -= 1
        return [
            Finding(wanted=one, state=RecordState.FAILED, cause=RecordCause.MISSING, seen=self._seen) for one in wanted
        ]


class Hanging:
    """A checker that never answers."""

    count = 0

    async def check(self, wanted: Sequence[Wanted], domain: str) -> Sequence[Finding]:
        """Wait for ever."""
        Hanging.count += 1
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
