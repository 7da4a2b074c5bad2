"""Which records are asked for, which may go, and which can be lost, on the real flow with a real name server."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import EventKind, MtaSts, RecordCause, RecordKind, RecordState, Stream
from outrider.engine.upkeep import ensure_partitions
from outrider.mail import dkim
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom
from tests.store.verifying import NAME, SETTINGS, Office, open_office, states

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("quick_keys")]


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


async def test_a_return_path_that_was_given_later_and_never_published_stops_nobody(office: Office, shop: UUID) -> None:
    """It is warned of, once, and used once it is there; a record that had passed and is lost stops all the same."""
    await office.identity.add_domain(shop, NAME, is_verified=False, return_path="")
    await office.publish(shop)
    assert (await office.verification.verify(shop, NAME)).domain.state is RecordState.PASSED
    await office.identity.change_domain(shop, NAME, {"return_path": f"b.{NAME}"})
    for _ in range(3):
        office.clock.advance(SETTINGS.grace_s / 2)
        report = await office.verification.verify(shop, NAME)
    assert (report.domain.state, report.domain.failing_since, report.stops_at) == (RecordState.FAILED, None, None)
    assert states(report)[RecordKind.RETURN_PATH] is RecordState.FAILED
    await office.identity.check(shop, NAME, Stream.MARKETING)
    warning = (await office.told(shop))[-1]
    assert (warning.kind, warning.subject) == (EventKind.DOMAIN_FAILED, f"DNS records of {NAME} are not there yet")
    assert "never been seen" in warning.text
    assert f"b.{NAME}" in warning.text
    assert [one.kind for one in await office.told(shop)] == [EventKind.DOMAIN_PASSED, EventKind.DOMAIN_FAILED]

    dmarc = office.zone.pop(f"_dmarc.{NAME}")
    office.clock.advance(1)
    await ensure_partitions(office.store, office.clock)
    lost = await office.verification.verify(shop, NAME)
    assert lost.stops_at == office.clock.now() + timedelta(seconds=SETTINGS.grace_s)
    office.clock.advance(SETTINGS.grace_s)
    stopped = await office.verification.verify(shop, NAME)
    assert stopped.domain.stopped_at is not None
    office.zone[f"_dmarc.{NAME}"] = dmarc
    office.clock.advance(1)
    back = await office.verification.verify(shop, NAME)
    assert (back.domain.stopped_at, back.domain.state) == (None, RecordState.FAILED)
    assert (await office.told(shop))[-1].subject == f"{NAME} goes on, with DNS records missing"
    assert (await office.events())[-1].facts["was_stopped"] is True
    await office.publish(shop)
    office.clock.advance(1)
    assert (await office.verification.verify(shop, NAME)).domain.state is RecordState.PASSED
    del office.zone[f"b.{NAME}"]
    office.clock.advance(1)
    assert (await office.verification.verify(shop, NAME)).stops_at is not None, "now that it was there it can be lost"


async def test_optional_records_are_shown_where_they_are_switched_on_and_looked_at(
    store: Store, clock: FakeClock, office: Office, passed: UUID
) -> None:
    settings = msgspec.structs.replace(SETTINGS, mta_sts_target="sts.us.example", tls_reports="tls@us.example")
    serving = Office(store, clock, server=office.server, settings=settings)
    serving.zone = office.zone
    optional = {RecordKind.MTA_STS, RecordKind.TLS_RPT, RecordKind.BIMI}
    plain = await serving.verification.report(passed, NAME)
    assert {one.kind for one in plain.records} & optional == {RecordKind.TLS_RPT}, "that is the operator's to say"
    bimi = {"bimi_logo": f"https://{NAME}/l.svg", "bimi_certificate": f"https://{NAME}/l.pem"}
    await serving.identity.change_domain(passed, NAME, {"mta_sts": MtaSts.ENFORCE, **bimi})
    shown = await serving.verification.report(passed, NAME)
    assert {(one.kind, one.type, one.host) for one in shown.records if one.kind in optional} == {
        (RecordKind.MTA_STS, "TXT", f"_mta-sts.bounces.{NAME}"),
        (RecordKind.MTA_STS, "CNAME", f"mta-sts.bounces.{NAME}"),
        (RecordKind.TLS_RPT, "TXT", f"_smtp._tls.bounces.{NAME}"),
        (RecordKind.BIMI, "TXT", f"default._bimi.{NAME}"),
    }
    assert "mode: enforce\r\nmx: mx.us.example\r\n" in shown.mta_sts_policy
    clock.advance(1)
    missing = await serving.verification.verify(passed, NAME)
    assert {one.state for one in missing.records if one.kind in optional} == {RecordState.FAILED}
    assert missing.domain.state is RecordState.PASSED, "they are optional"
    await serving.publish(passed)
    clock.advance(1)
    found = await serving.verification.verify(passed, NAME)
    assert {one.state for one in found.records if one.kind in optional} == {RecordState.PASSED}
    (logo,) = [one for one in found.records if one.kind is RecordKind.BIMI]
    assert (logo.cause, "p=quarantine" in logo.advice) == (RecordCause.NOT_ENFORCED, True), "DMARC says p=none"
    # Another policy has another id: who has published the old one is told, and nothing fails.
    await serving.identity.change_domain(passed, NAME, {"mta_sts": MtaSts.NONE})
    clock.advance(1)
    old = await serving.verification.verify(passed, NAME)
    causes = {one.type: (one.state, one.cause) for one in old.records if one.kind is RecordKind.MTA_STS}
    assert causes["TXT"] == (RecordState.PASSED, RecordCause.OTHER_VALUE)


async def test_where_the_operator_serves_no_policies_the_customer_does(office: Office, passed: UUID) -> None:
    await office.identity.change_domain(passed, NAME, {"mta_sts": MtaSts.TESTING})
    shown = await office.verification.report(passed, NAME)
    (record,) = [one for one in shown.records if one.kind is RecordKind.MTA_STS]
    assert (record.type, "where you serve it" in record.why) == ("TXT", True)
    assert "mode: testing" in shown.mta_sts_policy


async def test_the_record_of_a_retired_key_is_named_for_removal(office: Office, passed: UUID) -> None:
    (old,) = [one for one in await office.keys.entries(passed, NAME) if one.algorithm == dkim.ED25519_SHA256]
    await office.keys.rotate(passed, NAME, algorithms=[dkim.ED25519_SHA256])
    await office.publish(passed)
    office.clock.advance(1)
    assert (await office.verification.verify(passed, NAME)).removable == [], "it is checked yet"
    office.clock.advance(SETTINGS.retire_after_s)
    await office.keys.tend()
    report = await office.verification.report(passed, NAME)
    assert [(one.type, one.host, one.selector) for one in report.removable] == [("TXT", old.host, old.selector)]
    assert old.host not in {one.host for one in report.records}
    await office.keys.take_away(passed, NAME, old.selector)
    assert (await office.verification.report(passed, NAME)).removable == []
