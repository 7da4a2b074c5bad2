"""Return paths: which domain they are under, that every process reads them, and what a mail that uses them says."""

from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.vocab import RecordKind, Stream
from outrider.engine.prepare import Preparer
from outrider.mail import parse
from outrider.mail.verp import ForgedError, Purpose, Signer
from outrider.policy.simulate import BOUNCE_DOMAIN
from outrider.policy.simulate import DOMAIN as SIMULATOR
from outrider.services.return_paths import LIFE, ReturnPaths, signer_of
from outrider.store import domains, projects
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.store.queue import Claim
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import Keys
from outrider.testing.mailroom import Mailroom
from outrider.wire.smtp_client import Envelope, Features

pytestmark = pytest.mark.newest

VAULT = Vault(bytes(range(32)))
FROM = "shop.example"
OWN = "bounces.shop.example"
OF_DOMAIN = "b.shop.example"
SHARED = "bounces.platform.example"


def paths_of(store: Store, clock: FakeClock, shared: str = "") -> ReturnPaths:
    return ReturnPaths(store, signer_of(VAULT), shared_domain=shared, clock=clock)


async def set_domain(store: Store, project_id: UUID, domain: str) -> None:
    async with store.transaction() as tx:
        await projects.set_bounce_domain(tx, project_id, domain)


@pytest.fixture
async def shop(mailroom: Mailroom) -> UUID:
    return await mailroom.project("shop")


async def test_a_project_has_its_own_domain_or_the_shared_one_or_none(
    store: Store, clock: FakeClock, mailroom: Mailroom, shop: UUID
) -> None:
    other = await mailroom.project("other")
    await set_domain(store, shop, OWN)
    without, shared = paths_of(store, clock), paths_of(store, clock, SHARED)
    assert [await shared.domain_of(one, FROM, "a.example") for one in (shop, other)] == [OWN, SHARED]
    assert [await without.domain_of(one, FROM, "a.example") for one in (shop, other)] == [OWN, ""]


async def test_mail_to_the_simulator_has_one_in_any_case(store: Store, clock: FakeClock, shop: UUID) -> None:
    paths = paths_of(store, clock)
    for route in (SIMULATOR, f"gmail.{SIMULATOR}"):
        assert await paths.domain_of(shop, FROM, route) == BOUNCE_DOMAIN
    assert await paths.domain_of(shop, FROM, f"x{SIMULATOR}") == ""
    assert await paths_of(store, clock, SHARED).domain_of(shop, FROM, SIMULATOR) == SHARED


async def test_a_changed_domain_is_used_within_half_a_minute(store: Store, clock: FakeClock, shop: UUID) -> None:
    paths = paths_of(store, clock)
    assert await paths.domain_of(shop, FROM, "a.example") == ""
    await set_domain(store, shop, OWN)
    clock.advance(31)
    assert await paths.domain_of(shop, FROM, "a.example") == OWN


async def add_domain(
    store: Store,
    clock: FakeClock,
    mailroom: Mailroom,
    shop: UUID,
    *,
    is_verified: bool = True,
    is_checked: bool = False,
) -> Domain:
    """Add a domain with a return path of its own, on the operator's word or as its records were checked."""
    now = clock.now()
    domain = Domain(mailroom.new_id(), shop, FROM, now, now if is_verified else None)
    async with store.transaction() as tx:
        await domains.insert(tx, domain)
        await tx.execute("UPDATE domain SET return_path = $1, checked_at = $2", OF_DOMAIN, now if is_checked else None)
    return domain


async def see(store: Store, clock: FakeClock, domain: Domain, kind: RecordKind, host: str, state: str) -> None:
    """Keep what was seen of a record."""
    async with store.transaction() as tx:
        await tx.execute(
            """INSERT INTO domain_record (domain_id, project_id, kind, host, state, checked_at)
               VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT (domain_id, kind, host) DO UPDATE SET state = excluded.state""",
            domain.domain_id,
            domain.project_id,
            kind,
            host,
            state,
            clock.now(),
        )


async def test_a_sending_domain_has_its_own_on_the_operators_word(
    store: Store, clock: FakeClock, mailroom: Mailroom, shop: UUID
) -> None:
    await set_domain(store, shop, OWN)
    await add_domain(store, clock, mailroom, shop)
    paths = paths_of(store, clock, SHARED)
    assert await paths.domain_of(shop, FROM, "a.example") == OF_DOMAIN
    assert await paths.domain_of(shop, "other.example", "a.example") == OWN, "not another domain's"
    other = await mailroom.project("other")
    assert await paths.domain_of(other, FROM, "a.example") == SHARED, "not another project's"


async def test_a_domain_nobody_has_verified_has_none_of_its_own(
    store: Store, clock: FakeClock, mailroom: Mailroom, shop: UUID
) -> None:
    await add_domain(store, clock, mailroom, shop, is_verified=False)
    assert await paths_of(store, clock, SHARED).domain_of(shop, FROM, "a.example") == SHARED


@pytest.mark.parametrize("spf", [RecordKind.RETURN_PATH_SPF, RecordKind.SPF])
async def test_once_checked_it_is_used_while_its_records_pass(
    store: Store, clock: FakeClock, mailroom: Mailroom, shop: UUID, spf: RecordKind
) -> None:
    domain = await add_domain(store, clock, mailroom, shop, is_checked=True)
    paths = paths_of(store, clock, SHARED)

    async def used() -> str:
        clock.advance(31)
        return await paths.domain_of(shop, FROM, "a.example")

    assert await used() == SHARED, "nothing was seen"
    await see(store, clock, domain, RecordKind.RETURN_PATH, "old.shop.example", "passed")
    await see(store, clock, domain, spf, OF_DOMAIN, "passed")
    assert await used() == SHARED, "the MX of another host"
    await see(store, clock, domain, RecordKind.RETURN_PATH, OF_DOMAIN, "passed")
    assert await used() == OF_DOMAIN
    await see(store, clock, domain, spf, OF_DOMAIN, "failed")
    assert await used() == SHARED
    await see(store, clock, domain, RecordKind.DMARC, OF_DOMAIN, "failed")
    await see(store, clock, domain, spf, OF_DOMAIN, "passed")
    assert await used() == OF_DOMAIN
    await see(store, clock, domain, RecordKind.RETURN_PATH, OF_DOMAIN, "failed")
    assert await used() == SHARED, "lost again"


async def test_every_process_reads_what_any_of_them_made_and_nobody_elses(store: Store, clock: FakeClock) -> None:
    made = paths_of(store, clock).mint(UUID(int=1), OWN, Purpose.UNSUBSCRIBE)
    read = signer_of(VAULT).read(made, today=clock.now().date())
    assert (read.recipient_id, read.purpose) == (UUID(int=1), Purpose.UNSUBSCRIBE)
    assert read.expires_on == (clock.now() + LIFE).date() >= (clock.now() + timedelta(days=59)).date()
    with pytest.raises(ForgedError):
        signer_of(Vault(bytes(32))).read(made, today=clock.now().date())


# What goes out.


async def envelope(store: Store, clock: FakeClock, mailroom: Mailroom, shop: UUID, stream: Stream, to: str) -> Envelope:
    mail = await mailroom.mail(shop, [to], stream=stream)
    preparer = Preparer(store, Keys(), paths_of(store, clock), clock=clock, drafts_bytes_max=1_000_000)
    composed = (await preparer.compose({mail.message.message_id}))[mail.message.message_id]
    claim = Claim(
        recipient_id=mail.recipient_ids[0],
        message_id=mail.message.message_id,
        project_id=shop,
        address=to,
        lane_id=mail.lane_ids[to.rpartition("@")[2]],
        attempt=1,
        due_at=clock.now(),
        expires_at=mail.message.expires_at,
    )
    return (await preparer.maker(composed, claim))(Features())


async def test_the_envelope_sender_is_the_recipients_token(
    store: Store, clock: FakeClock, mailroom: Mailroom, shop: UUID
) -> None:
    await set_domain(store, shop, OWN)
    sent = await envelope(store, clock, mailroom, shop, Stream.TRANSACTIONAL, "ann@a.example")
    signer: Signer = signer_of(VAULT)
    assert sent.sender.endswith(f"@{OWN}")
    recipient_id = signer.read(sent.sender, today=clock.now().date()).recipient_id
    assert f"Message-ID: <{recipient_id.hex}@shop.example>".encode() in sent.content
    assert b"List-Unsubscribe" not in sent.content


async def test_without_a_domain_it_is_the_sender(
    store: Store, clock: FakeClock, mailroom: Mailroom, shop: UUID
) -> None:
    sent = await envelope(store, clock, mailroom, shop, Stream.MARKETING, "ann@a.example")
    assert sent.sender == "news@shop.example"
    assert b"List-Unsubscribe" not in sent.content


async def test_marketing_mail_says_how_to_leave_and_that_is_signed(
    store: Store, clock: FakeClock, mailroom: Mailroom, shop: UUID
) -> None:
    await set_domain(store, shop, OWN)
    sent = await envelope(store, clock, mailroom, shop, Stream.MARKETING, "ann@a.example")
    value = parse.read_header(sent.content).first("list-unsubscribe")
    assert value.startswith("<mailto:unsubscribe-")
    assert value.endswith(f"@{OWN}?subject=unsubscribe>")
    leave = value.removeprefix("<mailto:").partition("?")[0]
    read = signer_of(VAULT).read(leave, today=clock.now().date())
    assert read.purpose is Purpose.UNSUBSCRIBE
    assert read.recipient_id == signer_of(VAULT).read(sent.sender, today=clock.now().date()).recipient_id
    signatures = parse.read_header(sent.content).every("dkim-signature")
    assert len(signatures) == 2
    assert all("list-unsubscribe" in signature.lower().replace(" ", "") for signature in signatures)
